"""What the shell offers at a Tab: live ids and names. Quick, silent, and it starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from schemas.errors import TrainqError
from schemas.run import ENDED, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue

Offers = list[tuple[str, str]]  # a word and what it is

LIVE, OVER, BATCHES = 100, 30, 50  # that are looked at
NEWEST = (("@last", "my newest run"), ("@failed", "my newest failed run"))


def runs(incomplete: str) -> Offers:
    """Ids, then names, of what lives and of what ended last."""
    return _begun([*NEWEST, *_asked(_of_runs)], incomplete)


def batches(incomplete: str) -> Offers:
    """Ids, then names, of the newest batches."""
    return _begun(_asked(_of_batches), incomplete)


def states(incomplete: str) -> Offers:
    """States; after a comma the next one."""
    done, comma, begun = incomplete.rpartition(",")
    return _begun(((f"{done}{comma}{state}", "") for state in State), f"{done}{comma}{begun}")


def _begun(offers: Iterable[tuple[str, str]], incomplete: str) -> Offers:
    return [(word, about) for word, about in offers if word.startswith(incomplete)]


def _asked(read: Callable[[Queue], Iterator[tuple[str, str]]]) -> Offers:
    """What the queue knows, if it answers at once."""
    from publisher.desk.console import settings
    from queue_worker.queue import Queue  # 0.1 s that only a Tab needs

    try:
        queue = Queue.glimpse(settings())
        return [*read(queue)] if queue else []
    except (TrainqError, OSError):
        return []  # a Tab is no place for an error


def _of_runs(queue: Queue) -> Iterator[tuple[str, str]]:
    rows = queue.list(states=frozenset(State) - ENDED, limit=LIVE)
    rows += queue.list(states=ENDED, limit=OVER)
    yield from ((row.id, f"{row.name} {row.state}") for row in rows)
    yield from ((row.name, f"{row.id} {row.state}") for row in rows)


def _of_batches(queue: Queue) -> Iterator[tuple[str, str]]:
    cards = [view.card for view in queue.batches(limit=BATCHES)]
    yield from ((card.id, card.name) for card in cards)
    yield from ((card.name, card.id) for card in cards)
