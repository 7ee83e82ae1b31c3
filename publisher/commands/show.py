"""`queue show`: one run on one page, the cause first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from publisher import console, records
from publisher.options import AsJson, OneRun
from publisher.page import Page, page_lines
from publisher.snapshot import Snapshot, why
from schemas.run import Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Show one run: why it stands there, what to do about it, its config, history and last lines.",
    "queue show 7f3k2q",
    "queue show @failed",
    "queue show @last --json",
)


def show(run: OneRun, as_json: AsJson = False) -> None:
    queue = console.open_queue()
    record = queue.get(queue.resolve(run, user=console.settings().user))
    events, metrics = queue.events(run_id=record.id), queue.metrics(record.id)
    if as_json:
        ahead = queue.position(record.id)
        console.out_json(records.run_record(record, ahead, events, metrics))
        return
    page = Page(
        run=record,
        now=queue.now(),
        why=_why(queue, record),
        events=events,
        metrics=metrics,
        log=queue.log(record.id)[0],
        defaults=_defaults(),
    )
    console.out(page_lines(page, console.width()))


def _why(queue: Queue, run: Run) -> str:
    ahead = queue.position(run.id) if run.state is State.QUEUED else None
    places = {} if ahead is None else {run.id: ahead}
    seen = Snapshot(queue.now(), [], places, {}, queue.workers())
    return why(run, seen)


def _defaults() -> dict[str, Any]:
    from schemas.config import TrainConfig  # building its models takes 25 ms that only this needs

    return TrainConfig.model_validate({"model": {"name": "resnet18"}}).canonical()
