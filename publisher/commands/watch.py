"""`queue watch`: a screen of the queue, a batch or a run; a line for each change in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import completion, console, screen
from publisher.desk.options import ONE, Batches, Mine
from publisher.desk.selectors import ALL, find_batch
from publisher.desk.text import Line, Piece, line
from publisher.outlook.scene import scene_of
from publisher.pages import render
from publisher.pages.listing import View, listing
from publisher.pages.reasons import reasons_of
from publisher.pages.watched import Watched, change_line, run_lines, standing_line
from publisher.pages.watching import ending, patiently
from schemas.errors import QueueUnreachable, UsageError
from schemas.events import EventKind
from schemas.run import ENDED, State

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import Queue, Row

HELP = console.help_text(
    "Watch the queue, a batch or a run: a screen, or a line for each change in a pipe.",
    "queue watch",
    "queue watch -b lr-sweep",
    "queue watch 7f3k2q",
)
EVERY_S = 1.0
QUIET = frozenset({EventKind.CHECKPOINT})
Draw = Callable[[], tuple[Sequence[Line], bool]]  # the lines, and whether all has ended


def watch(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help=ONE, autocompletion=completion.runs)
    ] = "",
    batches: Batches = None,
    mine: Mine = False,
) -> None:
    if bool(run) + bool(batches) + mine > 1:
        raise UsageError("watch takes a run, or -b BATCH, or --mine", fix="queue watch RUN")
    queue, user = console.open_queue(), console.settings().user
    run_id = queue.resolve(run, user=user) if run else ""
    named = tuple(find_batch(queue, word, user) for word in batches or [])
    view = View(ALL, user if mine else "", named, folded=not (named or mine))
    try:
        if screen.can_redraw():
            draw = _run_screen(queue, run_id) if run_id else _list_screen(queue, view)
            _redraw(draw)
        else:
            _print_changes(queue, run_id, view)
    except KeyboardInterrupt:
        console.talk(["no longer watching; nothing was changed"])
        raise
    if run_id:
        console.talk([ending(queue.get(run_id)), f"Next: queue show {run_id}"])
    elif named:
        console.talk([f"all of it has ended.  Next: queue results -b {named[0]}"])


# ---- a screen ------------------------------------------------------------------------------------


def _redraw(draw: Draw) -> None:
    """Until all has ended; while Redis is away the last picture stays, and says so."""
    lines: Sequence[Line] = []
    over = False
    with screen.redrawn() as show:
        while not over:
            try:
                lines, over = draw()
            except QueueUnreachable as error:
                show([line(Piece(f"{error.what}; waiting for Redis", "warn")), *lines])
            else:
                show(lines)
            if not over:
                time.sleep(EVERY_S)


def _list_screen(queue: Queue, view: View) -> Draw:
    def draw() -> tuple[Sequence[Line], bool]:
        found = listing(queue, view)
        lines = render.list_lines(found.seen, screen.size()[0], found.entries)
        return lines, bool(view.batches) and _all_ended(found.seen.rows, found.hidden)

    return draw


def _all_ended(rows: Sequence[Row], hidden: int) -> bool:
    """Of a large batch what goes on is always among those that are read."""
    return bool(rows or hidden) and all(row.state in ENDED for row in rows)


def _run_screen(queue: Queue, run_id: str) -> Draw:
    half_life_s = console.settings().half_life_s

    def draw() -> tuple[Sequence[Line], bool]:
        run = queue.get(run_id)
        seen = scene_of(queue, run)
        one = Watched(
            run=run,
            seen=seen,
            reasons=reasons_of(run, seen, [], half_life_s),
            metrics=queue.metrics(run_id),
            log=queue.log(run_id)[0],
        )
        return run_lines(one, *screen.size()), run.state in ENDED

    return draw


# ---- lines for a pipe ----------------------------------------------------------------------------


def _print_changes(queue: Queue, run_id: str, view: View) -> None:
    """Where it stands, then a line for each change, until all that was named has ended."""
    after = f"{int(queue.now() * 1000)}-0"
    said: dict[str, int] = {}  # the epoch that was last told of a run
    first = True
    while True:
        rows, seen = patiently(_look, queue, run_id, view)
        events = patiently(queue.events, after=after)  # after the rows: an end is among them
        after = events[-1].id if events else after
        names = {row.id: row.name for row in rows}
        wanted = set(names) if run_id or view.batches or view.owner else None
        told = [event for event in events if event.kind not in QUIET]
        console.out(
            change_line(event, names.get(event.run, ""), seen.now)
            for event in told
            if wanted is None or event.run in wanted
        )
        console.out(
            standing_line(row, seen)
            for row in rows
            if (first and (run_id or row.state not in ENDED)) or _advanced(row, said)
        )
        said |= {row.id: row.progress.epoch for row in rows if row.state is State.RUNNING}
        first = False
        if (run_id or view.batches) and _all_ended(rows, 0):
            return
        time.sleep(EVERY_S)


def _look(queue: Queue, run_id: str, view: View) -> tuple[Sequence[Row], Snapshot]:
    """The rows that are watched, and what explains them."""
    if run_id:
        return queue.rows([run_id]), scene_of(queue, queue.get(run_id))
    seen = listing(queue, view).seen
    return seen.rows, seen


def _advanced(row: Row, said: dict[str, int]) -> bool:
    """Whether it has come to another epoch since it was last told."""
    return row.state is State.RUNNING and row.progress.epoch > said.get(row.id, 0)
