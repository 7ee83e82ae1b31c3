"""`queue list`: what runs, what comes next and why not yet, what ended last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from publisher import console, records, render
from publisher.folding import Folded, best_of, fold
from publisher.options import AsJson, Batches, Format, Output, chosen, states_of
from publisher.scene import foreseen
from publisher.selectors import ALL, find_batch
from publisher.snapshot import Snapshot
from schemas.run import ENDED, PENDING, Best, State

if TYPE_CHECKING:
    from queue_worker.queue import BatchView, Queue, Row

HELP = console.help_text(
    "Show runs in the order of scheduling, with progress and what they wait for.",
    "queue list",
    "queue list -b lr-sweep",
    "queue list -s failed -o id | xargs publisher retry",
)
PENDING_SHOWN = 20  # lines
ENDED_SHOWN = 5
LOOKED_AT = (300, 3000)  # pending runs of which these lines are made: a batch is one line
MANY = 200  # runs of a batch that are not all shown when it is opened
ASKED_ONE_BY_ONE = 50  # queued runs
MEASURED = 300  # runs of a batch whose best value a list still looks for


def list_runs(
    states: Annotated[
        list[str] | None,
        typer.Option("-s", "--state", metavar="STATE", help="Only these, as in `-s held,failed`."),
    ] = None,
    batches: Batches = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only my runs.")] = False,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Only this user's.")] = "",
    most: Annotated[
        int, typer.Option("-n", metavar="N", min=0, help="At most N.", show_default=False)
    ] = 0,
    everything: Annotated[bool, typer.Option("--all", help="All, not only a screenful.")] = False,
    output: Output = Format.TABLE,
    as_json: AsJson = False,
) -> None:
    form = chosen(output, as_json)
    owner = console.settings().user if mine else user
    wanted = states_of(states or [])
    opened = bool(batches or wanted or most)  # asked for runs, so no batch is folded
    short = form is Format.TABLE and not (everything or wanted or most)
    queue = console.open_queue()
    view = View(wanted or ALL, owner, tuple(find_batch(queue, word) for word in batches or []))
    rows, matching = _rows(queue, view, most, short=short)
    seen = _seen(queue, rows, view)
    if form is not Format.ID:
        seen = foreseen(queue, seen, _line(rows, view))
    if form is not Format.TABLE:
        _print(seen, matching, form)
        return
    folded: Sequence[Row | Folded] = rows
    if not opened:
        folded = fold(rows, seen.batches, _bests(queue, seen.batches))
        folded = [*folded, *_behind(queue, seen.batches)] if short and not owner else folded
    shown = _screenful(folded) if short and not batches else folded
    console.out(render.list_lines(seen, console.width(), shown))
    hidden = matching - sum(entry.runs if isinstance(entry, Folded) else 1 for entry in shown)
    console.talk([*render.not_shown(hidden, view.batches), *render.hint(shown)])


@dataclass(frozen=True, slots=True)
class View:
    """Which runs are asked for."""

    states: frozenset[State]
    owner: str
    batches: Sequence[str]


def _rows(queue: Queue, view: View, most: int, *, short: bool) -> tuple[Sequence[Row], int]:
    """The rows to look at, and how many there are in all."""
    if view.batches:
        return _of_batches(queue, view, most, short=short)
    if view.owner:  # only the door's filter knows how many are somebody's
        rows = queue.list(states=view.states, user=view.owner)
        return rows[: most or None], len(rows)
    counts = queue.counts()
    matching = sum(counts[state] for state in view.states)
    if not short:
        return queue.list(states=view.states, limit=most), matching
    running = queue.list(states={State.RUNNING})
    pending = _pending(queue)
    ended = queue.list(states=ENDED, limit=ENDED_SHOWN)
    return [*running, *pending, *ended], matching


def _of_batches(queue: Queue, view: View, most: int, *, short: bool) -> tuple[Sequence[Row], int]:
    """All of a small batch; of a large one what goes on, comes next and ended last."""
    size = sum(sum(batch.counts.values()) for batch in queue.batches(*view.batches))
    parts: Sequence[tuple[frozenset[State], int]] = [(view.states, 0)]
    if short := short and not view.owner and size > MANY:
        parts = [(frozenset({State.RUNNING}), 0), (PENDING, PENDING_SHOWN), (ENDED, PENDING_SHOWN)]
    found = [
        row
        for batch in view.batches
        for states, limit in parts
        for row in queue.list(states=states, user=view.owner, batch=batch, limit=limit)
    ]
    return found[: most or None], size if short else len(found)


def _pending(queue: Queue) -> Sequence[Row]:
    """Enough of those that come next to fill the screen, also behind a large batch."""
    rows: Sequence[Row] = ()
    for limit in LOOKED_AT:
        rows = queue.list(states=PENDING, limit=limit)
        if len(rows) < limit or len({row.batch or row.id for row in rows}) >= PENDING_SHOWN:
            break
    return rows


def _seen(queue: Queue, rows: Sequence[Row], view: View) -> Snapshot:
    named = list(dict.fromkeys(row.batch for row in rows if row.batch))
    views = queue.batches(*named) if named else []
    waiting = [row for row in rows if row.state is State.WAITING]
    return Snapshot(
        now=queue.now(),
        rows=rows,
        ahead=_ahead(queue, rows, whole_line=not (view.owner or view.batches)),
        counts=queue.counts(),
        workers=queue.workers(),
        controls=queue.controls(),
        batches={batch.card.id: batch for batch in views},
        running=queue.list(states={State.RUNNING}),
        parents=queue.states(parent.id for row in waiting for parent in row.after),
    )


def _line(rows: Sequence[Row], view: View) -> Sequence[Row] | None:
    """The line as it was read already; None where only a part of it was."""
    if view.owner or view.batches or State.QUEUED not in view.states:
        return None
    return [row for row in rows if row.state is State.QUEUED]


def _screenful(entries: Sequence[Row | Folded]) -> Sequence[Row | Folded]:
    """What is going on: all that runs, what comes next, and the last few that ended."""
    running = [entry for entry in entries if entry.state is State.RUNNING]
    pending = [entry for entry in entries if entry.state in PENDING]
    ended = [entry for entry in entries if entry.state in ENDED]
    return [*running, *pending[:PENDING_SHOWN], *ended[:ENDED_SHOWN]]


def _behind(queue: Queue, shown: Mapping[str, BatchView]) -> list[Folded]:
    """Batches that wait behind so many runs that these were not looked through."""
    newest = queue.batches(limit=PENDING_SHOWN)
    waiting = [view for view in newest if any(view.counts.get(state) for state in PENDING)]
    return [Folded(view, ()) for view in reversed(waiting) if view.card.id not in shown]


def _ahead(queue: Queue, rows: Sequence[Row], *, whole_line: bool) -> dict[str, int]:
    """How many queued runs go before each; somebody's runs alone do not tell."""
    queued = [row for row in rows if row.state is State.QUEUED]
    if not whole_line and len(queued) <= ASKED_ONE_BY_ONE:
        places = {row.id: queue.position(row.id) for row in queued}
        return {run_id: place for run_id, place in places.items() if place is not None}
    if queued and not whole_line:
        queued = queue.list(states={State.QUEUED})
    return {row.id: place for place, row in enumerate(queued)}


def _bests(queue: Queue, batches: Mapping[str, BatchView]) -> dict[str, Best]:
    """The best value of each batch that is small enough to be looked through."""
    measuring = (State.RUNNING, State.FINISHED)
    found = {
        batch_id: best_of(queue.list(states=measuring, batch=batch_id))
        for batch_id, view in batches.items()
        if 0 < sum(view.counts.get(state, 0) for state in measuring) <= MEASURED
    }
    return {batch_id: best for batch_id, best in found.items() if best}


def _print(seen: Snapshot, matching: int, form: Format) -> None:
    match form:
        case Format.JSON:
            console.out_json(records.list_record(seen, matching))
        case Format.JSONL:
            console.out_raw(records.as_jsonl(records.row_record(row, seen) for row in seen.rows))
        case Format.CSV:
            runs = [records.row_record(row, seen) for row in seen.rows]
            console.out_raw(records.as_csv(runs, records.CSV_KEYS))
        case _:
            console.out([row.id for row in seen.rows])
