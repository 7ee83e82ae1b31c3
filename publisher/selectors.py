"""The one way in which people name runs; all are found before any is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queue_worker.queue import Queue


def select(queue: Queue, words: Sequence[str], user: str) -> list[str]:
    """The ids that were meant, each once; `@last` and `@failed` look at one's own runs."""
    return list(dict.fromkeys(queue.resolve(word, user=user) for word in words))
