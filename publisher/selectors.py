"""The one way in which people name runs; all are found before any is touched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from schemas.errors import NotFound, UsageError, count
from schemas.run import State

if TYPE_CHECKING:
    from queue_worker.queue import BatchView, Queue

ASK_ABOVE = 20  # runs that a verb may hit without a question
NEWEST = 1000  # batches whose names are looked through
ALL = frozenset(State)


def select(queue: Queue, words: Sequence[str], user: str) -> list[str]:
    """The ids that were meant, each once; `@last` and `@failed` look at one's own runs."""
    return list(dict.fromkeys(queue.resolve(word, user=user) for word in words))


def selected(
    queue: Queue,
    words: Sequence[str],
    batches: Sequence[str],
    user: str,
    states: Collection[State] = ALL,
) -> list[str]:
    """The runs that are named, and those of the named batches that are in these states."""
    if not words and not batches:
        raise UsageError("no run was named", fix="RUN ... or -b BATCH")
    ids = select(queue, words, user)
    for word in batches:
        rows = queue.list(states=states, batch=find_batch(queue, word))
        # running ones last: a worker that a cancel frees must not take the next of them
        ids += [row.id for row in sorted(rows, key=lambda row: row.state is State.RUNNING)]
    return list(dict.fromkeys(ids))


def find_batch(queue: Queue, word: str) -> str:
    """The id of the batch that is meant: an id, the beginning of one, or a name."""
    if batch_at(queue, word) or (word and queue.list(batch=word, limit=1)):
        return word
    cards = [view.card for view in queue.batches(limit=NEWEST)]
    begun = [card.id for card in cards if word and card.id.startswith(word)]
    found = [card.id for card in cards if card.name == word] or begun
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:6])
        raise NotFound(f"{word!r} fits {len(found)} batches", where=shown, fix="give one id")
    raise NotFound(f"there is no batch {word!r}", fix="queue list shows batches")


def batch_at(queue: Queue, batch_id: str) -> BatchView | None:
    """The batch with exactly this id."""
    return next(iter(queue.batches(batch_id)), None) if batch_id else None


def question(queue: Queue, ids: Sequence[str], user: str, verb: str) -> str:
    """What a verb that hits many would hit, when that is worth a question; else ''."""
    if len(ids) == 1:
        return ""
    others: dict[str, int] = {}
    for owner in (queue.get(run_id).user for run_id in ids):
        if owner != user:
            others[owner] = others.get(owner, 0) + 1
    whose = ", ".join(f"{number} of {owner}" for owner, number in sorted(others.items()))
    if len(ids) <= ASK_ABOVE and not others:
        return ""
    return f"{verb} {count(len(ids), 'run')}" + (f" ({whose})" if whose else "")
