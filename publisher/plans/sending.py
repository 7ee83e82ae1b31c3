"""Planned runs go through the door, under ids of our own so that a repeat is recognised.

`place` is the one way in: the command line and the Python API both take it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from publisher.desk import console
from publisher.outlook.lengths import Eta
from publisher.outlook.obstacles import obstacle, unseen
from publisher.outlook.scene import outlook
from publisher.pages.watching import ending, follow, until_ended, verdict
from publisher.plans.duplicates import refusal, sort_out
from publisher.plans.plan import Batch, Needs, Planned, Wishes, batch_of, waiting_for
from publisher.plans.preflight import foresee
from publisher.plans.receipts import Sent, batch_lines, next_steps, sent_lines, sent_record
from schemas.config import NOTIFY
from schemas.errors import IdTaken, QueueRefuses, QueueUnreachable, TrainqError, UsageError
from schemas.run import Parent, State, new_id, new_nonce
from schemas.settings import Settings
from schemas.source import Loaded

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import Queue, Row, Submission, WorkerCard
    from schemas.run import Run

OWN = [field.name for field in fields(Planned) if field.name not in {"waits", "needs"}]
NEEDS = [field.name for field in fields(Needs)]
own_of, needs_of = attrgetter(*OWN), attrgetter(*NEEDS)  # ten thousand times in a large sweep


def notify_of(text: str, flag: str) -> str:
    """Who is told, or a refusal that shows what it may be."""
    if text and not re.fullmatch(NOTIFY, text):
        raise UsageError(f"{flag} '{text}' is nobody", fix="#channel, @me or none")
    return text


def place(
    queue: Queue,
    configs: Sequence[Loaded],
    planned: Sequence[Planned],
    wishes: Wishes,
    after: Sequence[tuple[str, Literal["ok", "any"]]],
    settings: Settings,
    *,
    again: bool,
    agree: Callable[[Sequence[Planned]], None],
) -> tuple[list[Sent], Batch | None]:
    """What of a plan is new goes into the queue once its parents are found and `agree` agrees."""
    parents = [(queue.resolve(name, user=wishes.user), end) for name, end in after]
    planned = waiting_for(planned, parents)
    if not again:
        planned = _new_ones(queue, planned)
    planned = foresee(planned, alive(queue), settings)
    agree(planned)
    batch = batch_of(configs, planned, wishes, new_id())
    return send(queue, planned, batch), batch


def alive(queue: Queue) -> list[WorkerCard]:
    """The cards of the workers that could take something."""
    return [worker.card for worker in queue.workers() if worker.alive]


def _new_ones(queue: Queue, planned: Sequence[Planned]) -> list[Planned]:
    """What has not been done before; a UsageError when that is nothing."""
    sorted_out = sort_out(planned, queue.same(*{run.digest for run in planned if run.digest}))
    if not sorted_out.fresh:
        raise refusal(sorted_out.known)
    console.talk(sorted_out.notes)
    return sorted_out.fresh


def send(
    queue: Queue,
    planned: Sequence[Planned],
    batch: Batch | None = None,
    make_id: Callable[[], str] = new_id,
) -> list[Sent]:
    """Queue all of them or none; the client repeats a lost question under the same ids."""
    from queue_worker.queue import BatchCard  # brings redis, which `validate` never needs

    card = BatchCard.model_validate(asdict(batch)) if batch else None
    while True:
        ids = distinct(len(planned), make_id)
        runs = [_submission(run, ids[i], ids, batch) for i, run in enumerate(planned)]
        try:
            receipts = queue.submit(runs, card)
        except IdTaken:  # by somebody else; nothing of ours was queued
            continue
        except QueueUnreachable as error:
            raise _unanswered(error, ids, batch) from error
        return [Sent(run, receipt) for run, receipt in zip(planned, receipts, strict=True)]


def _unanswered(error: QueueUnreachable, ids: Sequence[str], batch: Batch | None) -> TrainqError:
    """What is known of a submit that Redis did not answer, and what to do about it."""
    from queue_worker.queue import CHUNK

    if isinstance(error, QueueRefuses) and len(ids) <= CHUNK:
        return QueueRefuses(f"{error.what}; nothing was queued", where=error.where, fix=error.fix)
    look = f"queue list -b {batch.id}" if batch else f"queue show {ids[0]}"
    what, fix = "whether it was queued is not known", f"when Redis is back: {look}"
    if batch and len(ids) > CHUNK:
        what = "what was queued of it is not whole, so nothing of it starts"
        fix = f"{fix}, queue cancel -b {batch.id} and submit it again"
    return QueueUnreachable(f"{error.what}; {what}", where=error.where, fix=fix)


def distinct(number: int, make_id: Callable[[], str]) -> list[str]:
    """So many ids, no two alike: of ten thousand random ones two are, once in twenty submits."""
    ids: dict[str, None] = {}
    while len(ids) < number:
        ids[make_id()] = None
    return list(ids)


def _submission(run: Planned, run_id: str, ids: Sequence[str], batch: Batch | None) -> Submission:
    """A planned run under its id, waiting for others of the plan under theirs."""
    from queue_worker.queue import Submission

    waits = (Parent(id=ids[wait.index], on=wait.on) for wait in run.waits)
    said: dict[str, Any] = dict(zip(OWN, own_of(run), strict=True))
    said |= zip(NEEDS, needs_of(run.needs), strict=True)
    said |= {"id": run_id, "nonce": new_nonce(), "after": (*run.after, *waits)}
    return Submission.asked(**said | {"batch": batch.id if batch else run.batch})


def tell(
    queue: Queue,
    sent: Sequence[Sent],
    batch: Batch | None = None,
    *,
    print_id: bool,
    as_json: bool,
) -> None:
    """What was queued, to stdout; what to type next, to stderr."""
    if print_id:
        console.out([one.receipt.id for one in sent])
        return
    seen = outlook(queue)
    if etas := seen.etas:
        sent = [replace(one, eta=etas.get(one.receipt.id, Eta())) for one in sent]
    if as_json:
        console.out_json(sent_record(sent, batch))
    else:
        width = console.width()
        console.out(batch_lines(sent, batch, width) if batch else sent_lines(sent, width))
        console.hint(*next_steps(sent, batch))
        console.talk(_waits(queue, sent, seen))


def _waits(queue: Queue, sent: Sequence[Sent], seen: Snapshot) -> list[str]:
    """What keeps it from starting for now, so that nobody waits for a host that is misspelt."""
    if not seen.alive:
        return ["No worker is alive; on a GPU host: worker --gpu 0"]
    if told := unseen((one.run.needs.needs_host for one in sent), seen.workers):
        return told
    queued = next((one for one in sent if one.receipt.state is State.QUEUED), None)
    rows = queue.rows([queued.receipt.id]) if queued else []
    reasons = (obstacle(row, seen) for row in rows if row.state is State.QUEUED)
    return [f"It waits: {reason}" for reason in reasons if reason]


def stay(queue: Queue, sent: Sequence[Sent], *, following: bool, wait: bool) -> None:
    """Stay with what was queued until it has ended, and end the way it did."""
    ids = [one.receipt.id for one in sent]
    if following:
        ended: Sequence[Run | Row] = [follow(queue, ids[0], 0, lambda line: True)]
    elif wait:
        ended = until_ended(queue, ids)
        console.out(ending(run) for run in ended)
    else:
        return
    if error := verdict(ended, told=True):
        raise error
