"""What one run's page and its reasons need to know of the rest: a thin read at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.snapshot import Snapshot
from schemas.run import Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue

LINE = 300  # queued runs before it that are looked at


def scene_of(queue: Queue, run: Run) -> Snapshot:
    """The queue as it is around this run."""
    ahead = queue.position(run.id) if run.state is State.QUEUED else None
    line = queue.list(states={State.QUEUED}, limit=min(ahead, LINE)) if ahead else []
    named = list(dict.fromkeys(b for b in (run.batch, *(row.batch for row in line)) if b))
    return Snapshot(
        now=queue.now(),
        rows=[],
        ahead={} if ahead is None else {run.id: ahead},
        counts={},
        workers=queue.workers(),
        controls=queue.controls(),
        batches={view.card.id: view for view in (queue.batches(*named) if named else [])},
        running=queue.list(states={State.RUNNING}),
        parents=queue.states(parent.id for parent in run.after),
        line=[row for row in line if row.id != run.id],
    )
