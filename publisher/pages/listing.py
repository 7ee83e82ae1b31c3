"""What a list of runs reads at the door: which rows, what explains them, what fits a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.outlook.scene import foreseen
from publisher.outlook.snapshot import Snapshot
from publisher.pages.folding import Folded, best_of, fold
from schemas.run import ENDED, PENDING, UNDONE, Best, State

if TYPE_CHECKING:
    from queue_worker.queue import BatchView, Queue, Row

PENDING_SHOWN = 20  # lines
ENDED_SHOWN = 5
LOOKED_AT = (300, 3000)  # pending runs of which these lines are made: a batch is one line
MANY = 200  # runs of a batch that are not all shown when it is opened
MEASURED = 300  # runs of a batch whose best value a list still looks for


@dataclass(frozen=True, slots=True)
class View:
    """Which runs are asked for, and how."""

    states: frozenset[State]
    owner: str = ""
    batches: Sequence[str] = ()
    runs: Sequence[str] = ()  # that are named one by one
    most: int = 0
    short: bool = True  # a screenful
    folded: bool = True  # a batch is one line
    ids_only: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What was found."""

    seen: Snapshot
    entries: Sequence[Row | Folded]  # the lines of a table
    matching: int  # runs, shown or not

    @property
    def hidden(self) -> int:
        """How many runs the lines leave out."""
        shown = (entry.runs if isinstance(entry, Folded) else 1 for entry in self.entries)
        return self.matching - sum(shown)


def listing(queue: Queue, view: View) -> Listing:
    """The runs that are asked for, and what explains them."""
    rows, matching = _rows(queue, view)
    seen = _seen(queue, rows, view)
    if not view.ids_only:
        seen = foreseen(queue, seen, _line(rows, view))
    entries: Sequence[Row | Folded] = rows
    if view.folded:
        entries = fold(rows, seen.batches, _bests(queue, seen.batches))
        if view.short and not view.owner:
            entries = [*entries, *_behind(queue, seen.batches)]
    if view.short and not view.batches:
        entries = _screenful(entries)
    return Listing(seen, entries, matching)


def _rows(queue: Queue, view: View) -> tuple[Sequence[Row], int]:
    """The rows to look at, and how many there are in all."""
    if view.runs:
        named = queue.rows(view.runs)
        rows = [r for r in named if r.state in view.states and view.owner in ("", r.user)]
        return rows[: view.most or None], len(rows)
    if view.batches:
        return _of_batches(queue, view)
    counts = queue.counts(view.owner)
    matching = sum(counts[state] for state in view.states)
    if not view.short:
        return queue.list(states=view.states, user=view.owner, limit=view.most), matching
    running = queue.list(states={State.RUNNING}, user=view.owner)
    pending = _pending(queue, view.owner)
    ended = queue.list(states=ENDED, user=view.owner, limit=ENDED_SHOWN)
    return [*running, *pending, *ended], matching


def _of_batches(queue: Queue, view: View) -> tuple[Sequence[Row], int]:
    """All of a small batch; of a large one what goes on, comes next and ended last."""
    size = sum(sum(batch.counts.values()) for batch in queue.batches(*view.batches))
    parts: Sequence[tuple[frozenset[State], int]] = [(view.states, 0)]
    if short := view.short and not view.owner and size > MANY:
        parts = [(frozenset({State.RUNNING}), 0), (PENDING, PENDING_SHOWN), (ENDED, PENDING_SHOWN)]
    found = [
        row
        for batch in view.batches
        for states, limit in parts
        for row in queue.list(states=states, user=view.owner, batch=batch, limit=limit)
    ]
    return found[: view.most or None], size if short else len(found)


def _pending(queue: Queue, owner: str) -> Sequence[Row]:
    """Enough of those that come next to fill the screen, also behind a large batch."""
    rows: Sequence[Row] = ()
    for limit in LOOKED_AT:
        rows = queue.list(states=PENDING, user=owner, limit=limit)
        if len(rows) < limit or len({row.batch or row.id for row in rows}) >= PENDING_SHOWN:
            break
    return rows


def _seen(queue: Queue, rows: Sequence[Row], view: View) -> Snapshot:
    named = list(dict.fromkeys(row.batch for row in rows if row.batch))
    views = queue.batches(*named) if named else []
    waiting = [row for row in rows if row.state is State.WAITING]
    undone = [row.id for row in rows if row.state in UNDONE]
    return Snapshot(
        now=queue.now(),
        rows=rows,
        ahead=_ahead(queue, rows, whole_line=not (view.owner or view.batches or view.runs)),
        counts=queue.counts(),
        workers=queue.workers(),
        controls=queue.controls(),
        batches={batch.card.id: batch for batch in views},
        running=queue.list(states={State.RUNNING}),
        parents=queue.states(parent.id for row in waiting for parent in row.after),
        retried=queue.retried(undone) if undone else {},
    )


def _line(rows: Sequence[Row], view: View) -> Sequence[Row] | None:
    """The line as it was read already; None where only a part of it was."""
    if view.owner or view.batches or view.runs or State.QUEUED not in view.states:
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
    queued = [row.id for row in rows if row.state is State.QUEUED]
    if not whole_line:
        return queue.positions(queued)
    return {run_id: place for place, run_id in enumerate(queued)}


def _bests(queue: Queue, batches: Mapping[str, BatchView]) -> dict[str, Best]:
    """The best value of each batch that is small enough to be looked through."""
    measuring = (State.RUNNING, State.FINISHED)
    found = {
        batch_id: best_of(queue.list(states=measuring, batch=batch_id))
        for batch_id, view in batches.items()
        if 0 < sum(view.counts.get(state, 0) for state in measuring) <= MEASURED
    }
    return {batch_id: best for batch_id, best in found.items() if best}
