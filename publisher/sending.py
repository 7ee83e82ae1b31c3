"""Planned runs go through the door, under ids of our own so that a repeat is recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from publisher import console
from publisher.plan import Planned
from publisher.receipts import Sent, next_steps, sent_lines, sent_record
from publisher.watching import ending, follow, until_ended, verdict
from schemas.errors import IdTaken, QueueUnreachable
from schemas.run import new_id, new_nonce

if TYPE_CHECKING:
    from queue_worker.queue import Queue


def send(
    queue: Queue, planned: Sequence[Planned], make_id: Callable[[], str] = new_id
) -> list[Sent]:
    """Queue all of them or none; the client repeats a lost question under the same ids."""
    from queue_worker.queue import Submission  # brings redis, which `validate` never needs

    while True:
        ids = [make_id() for _ in planned]
        runs = [
            Submission(id=run_id, nonce=new_nonce(), **asdict(run))
            for run_id, run in zip(ids, planned, strict=True)
        ]
        try:
            receipts = queue.submit(runs)
        except IdTaken:  # by somebody else; nothing of ours was queued
            continue
        except QueueUnreachable as error:
            raise QueueUnreachable(
                f"{error.what}; whether it was queued is not known",
                where=error.where,
                fix=f"when Redis is back: queue show {ids[0]}",
            ) from error
        return [Sent(run, receipt) for run, receipt in zip(planned, receipts, strict=True)]


def tell(queue: Queue, sent: Sequence[Sent], *, print_id: bool, as_json: bool) -> None:
    """What was queued, to stdout; what to type next, to stderr."""
    if as_json:
        console.out_json(sent_record(sent))
    elif print_id:
        console.out([one.receipt.id for one in sent])
    else:
        console.out(sent_lines(sent, console.width()))
        console.talk(next_steps(sent, queue.workers()))


def stay(queue: Queue, sent: Sequence[Sent], *, following: bool, wait: bool) -> None:
    """Stay with what was queued until it has ended, and end the way it did."""
    ids = [one.receipt.id for one in sent]
    if following:
        ended = [follow(queue, ids[0], 0, lambda line: True)]
    elif wait:
        ended = until_ended(queue, ids)
        console.out(ending(run) for run in ended)
    else:
        return
    if error := verdict(ended):
        raise error
