"""What one run's page and its reasons need to know of the rest: a thin read at the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from publisher.outlook.forecast import forecast
from publisher.outlook.lengths import History, needs_sizes
from publisher.outlook.snapshot import Snapshot
from schemas.run import ENDED, Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue, Row

LINE = 150  # runs in line that are looked at
WAITING = 50  # runs that wait for others, and are looked at
PAST = 100  # finished runs that may tell how long others take


def scene_of(queue: Queue, run: Run) -> Snapshot:
    """The queue as it is around this run."""
    ahead = queue.position(run.id) if run.state is State.QUEUED else None
    line = queue.list(states={State.QUEUED}, limit=min(ahead, LINE)) if ahead else []
    named = list(dict.fromkeys(b for b in (run.batch, *(row.batch for row in line)) if b))
    seen = Snapshot(
        now=queue.now(),
        rows=[],
        ahead={} if ahead is None else {run.id: ahead},
        counts={},
        workers=queue.workers(),
        controls=queue.controls(),
        batches={view.card.id: view for view in (queue.batches(*named) if named else [])},
        running=queue.list(states={State.RUNNING}),
        parents=queue.states(parent.id for parent in run.after),
        retried=queue.retried([run.id]) if run.state in ENDED else {},
        line=[row for row in line if row.id != run.id],
    )
    return foreseen(queue, seen)


def outlook(queue: Queue) -> Snapshot:
    """When the runs in line start and end, as far as it is looked at, and who could take them."""
    seen = Snapshot(
        now=queue.now(),
        rows=[],
        ahead={},
        counts={},
        workers=queue.workers(),
        controls=queue.controls(),
        running=queue.list(states={State.RUNNING}),
    )
    return foreseen(queue, seen)


def foreseen(queue: Queue, seen: Snapshot, line: Sequence[Row] | None = None) -> Snapshot:
    """The same with what the line comes to, as far as it is looked at."""
    if not seen.alive:
        return seen
    if line is None:
        line = queue.list(states={State.QUEUED}, limit=LINE)
    waiting = queue.list(states={State.WAITING}, limit=WAITING)
    pending = [*line[:LINE], *waiting]
    if not pending and not seen.running:
        return seen
    past = queue.list(states={State.FINISHED}, limit=PAST)
    unknown = needs_sizes([*seen.running, *pending], past)
    history = History(past, queue.sizes([*unknown, *(row.id for row in past)]) if unknown else {})
    named = {row.batch for row in pending if row.batch} - set(seen.batches)
    around = replace(
        seen,
        batches={
            **seen.batches,
            **{v.card.id: v for v in (queue.batches(*named) if named else [])},
        },
        parents={**seen.parents, **queue.states(p.id for row in waiting for p in row.after)},
    )
    return replace(seen, etas=forecast(around, pending, history))
