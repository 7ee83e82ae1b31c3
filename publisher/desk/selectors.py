"""The one way in which people name runs; all are found before any is touched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.desk.options import states_of
from schemas.errors import NotFound, UsageError
from schemas.run import State

if TYPE_CHECKING:
    from queue_worker.queue import BatchView, Queue

NEWEST = 1000  # batches whose names are looked through
ALL = frozenset(State)


@dataclass(frozen=True, slots=True)
class Choice:
    """Runs as they are named on a command line: one by one, or by what they have in common."""

    words: Sequence[str] = ()
    batches: Sequence[str] = ()
    states: frozenset[State] = frozenset()
    mine: bool = False
    everything: bool = False

    @property
    def wide(self) -> bool:
        """Whether runs are meant that are not named."""
        return bool(self.batches or self.states or self.mine or self.everything)


def choice(
    words: Sequence[str] | None,
    batches: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    *,
    mine: bool = False,
    everything: bool = False,
) -> Choice:
    """What the flags of a verb say."""
    return Choice(words or (), batches or (), states_of(states or ()), mine, everything)


def select(queue: Queue, words: Sequence[str], user: str) -> list[str]:
    """The ids that were meant, each once; `@last` and `@failed` look at one's own runs."""
    return list(dict.fromkeys(queue.resolve(word, user=user) for word in words))


def selected(queue: Queue, chosen: Choice, user: str, may: Collection[State] = ALL) -> list[str]:
    """The runs that are named, and those with all that is asked for that the verb may touch."""
    if not chosen.words and not chosen.wide:
        raise UsageError("no run was named", fix="RUN ..., -b BATCH, --mine, -s STATE or --all")
    ids = select(queue, chosen.words, user)
    if not chosen.wide:
        return ids
    wanted = frozenset(may) & (chosen.states or ALL)
    if not wanted:
        names = ", ".join(sorted(chosen.states))
        raise UsageError(f"-s {names}: this verb is not for such runs", fix="queue --help")
    owner = user if chosen.mine else ""
    for batch in [find_batch(queue, word, user) for word in chosen.batches] or [""]:
        rows = queue.list(states=wanted, user=owner, batch=batch)
        # running ones last: a worker that a cancel frees must not take the next of them
        ids += [row.id for row in sorted(rows, key=lambda row: row.state is State.RUNNING)]
    return list(dict.fromkeys(ids))


def find_batch(queue: Queue, word: str, user: str = "") -> str:
    """The id of the batch that is meant: an id, the beginning of one, a name, or @last."""
    if word == "@last":
        return _newest_batch(queue, user)
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


def _newest_batch(queue: Queue, user: str) -> str:
    for view in queue.batches(limit=NEWEST):
        if user in ("", view.card.user):
            return view.card.id
    raise NotFound("there is no batch of yours yet", fix="publisher submit FILE -m key=1,2")


def batch_at(queue: Queue, batch_id: str) -> BatchView | None:
    """The batch with exactly this id."""
    return next(iter(queue.batches(batch_id)), None) if batch_id else None
