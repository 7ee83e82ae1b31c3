"""`queue show`: one run on one page, the cause first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import completion, console
from publisher.desk.options import ONE, AsJson
from publisher.desk.selectors import batch_at, find_batch
from publisher.outlook.scene import scene_of
from publisher.outlook.standing import why
from publisher.pages.batchpage import BatchPage, batch_lines, next_of
from publisher.pages.dossier import batch_page_record, run_record
from publisher.pages.folding import best_of
from publisher.pages.page import Page, page_lines
from publisher.pages.reasons import next_commands
from schemas.errors import NotFound
from schemas.run import Run, State
from schemas.usual import usual

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Show one run: why it stands there, what to do about it, its config, history and last lines.",
    "queue show 7f3k2q",
    "queue show @failed",
    "queue show lr-sweep --json",
)
MEASURED = frozenset({State.RUNNING, State.FINISHED})


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BATCH", help=f"{ONE} Or a batch.", autocompletion=completion.runs
        ),
    ],
    as_json: AsJson = False,
) -> None:
    queue, user = console.open_queue(), console.settings().user
    try:
        run_id = queue.resolve(run, user=user)
    except NotFound:
        if not _show_batch(queue, run, as_json=as_json):
            raise
        return
    record = queue.get(run_id)
    events, metrics = queue.events(run_id=record.id), queue.metrics(record.id)
    children = queue.states(queue.children(record.id))
    seen, rival = scene_of(queue, record), _rival(queue, record)
    page = Page(
        run=record,
        now=seen.now,
        why=why(record, seen),
        events=events,
        metrics=metrics,
        log=queue.log(record.id)[0],
        defaults=usual(),
        parents=seen.parents,
        children=children,
        controls=seen.controls,
        rival=rival,
        retries=[*seen.retried.values()],
    )
    if as_json:
        console.out_json(run_record(page, seen))
        return
    console.out(page_lines(page, console.width()))
    if record.state is not State.FAILED:  # whose page begins with what to do
        first, *more = _next(record, seen)
        whole = [f"All of it: queue show {record.batch}"] if record.kind == "gather" else []
        console.hint(f"Next: {first}", *more, *whole)


def _next(run: Run, seen: Snapshot) -> list[str]:
    """What to type now; this page itself is no answer."""
    if run.state is State.QUEUED:
        return [f"queue why {run.id}", *next_commands(run, seen)]
    if run.state is State.FINISHED:
        return [f"queue results -b {run.batch}" if run.batch else "queue results"]
    return next_commands(run, seen)


def _rival(queue: Queue, run: Run) -> Run | None:
    """The best of its batch, where all of it measures the same thing."""
    rows = queue.list(states=MEASURED, batch=run.batch) if run.batch else []
    best = best_of(rows)
    return next((queue.get(row.id) for row in rows if best and row.best == best), None)


def _show_batch(queue: Queue, word: str, *, as_json: bool) -> bool:
    """The page of a batch, where that was meant."""
    try:
        batch_id = find_batch(queue, word)
    except NotFound as no_batch:
        if "there is no batch" in no_batch.what:
            return False
        raise
    view, rows = batch_at(queue, batch_id), queue.list(batch=batch_id)
    if view is None:  # runs of an older client, which kept no card
        return False
    controls = queue.controls()
    if as_json:
        console.out_json(batch_page_record(view, rows, controls))
        return True
    page = BatchPage(view, rows, queue.now(), controls)
    console.out(batch_lines(page, console.width()))
    first, *more = next_of(page)
    console.hint(f"Next: {first}", *more)
    return True
