"""Refuses a second machine of one name: each would take the other for rebooted, and reap its runs.

The cards of our own last boot look the same, but nobody renews them: they are waited out.
"""

from collections.abc import Callable

from queue_worker.door.records import WorkerCard
from queue_worker.queue import Queue
from schemas.errors import UsageError


def refuse(queue: Queue, card: WorkerCard, rest: Callable[[], bool]) -> None:
    """Return once no other boot of this host's name is alive; `rest` says whether to go on."""
    first: dict[str, float] = {}
    while rivals := _rivals(queue, card):
        for lane, seen_at in rivals.items():
            if seen_at > first.setdefault(lane, seen_at):
                raise UsageError(
                    f"another machine is called {card.host} too: {lane} lives there",
                    fix="set TRAINQ_HOST to another name on one of them",
                )
        if not rest():
            return


def _rivals(queue: Queue, card: WorkerCard) -> dict[str, float]:
    """Workers that bear our host's name and run on another boot, by when they were seen."""
    return {
        view.card.lane: view.seen_at
        for view in queue.workers()
        if view.alive and view.card.host == card.host and view.card.boot_id != card.boot_id
    }
