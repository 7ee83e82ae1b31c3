"""Holds of more than one run: from the flags to a scope, and what a receipt says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk.selectors import Choice, batch_at, find_batch
from schemas.errors import NotFound, UsageError, count
from schemas.run import PENDING, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue, Row

ASK_ABOVE = 20  # runs that may be held without a question

User = Annotated[str, typer.Option("--user", metavar="NAME", help="All runs of this person.")]
Lane = Annotated[str, typer.Option("--worker", metavar="LANE", help="What this worker may take.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything, of everybody.")]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold is laid on, as the door names it, as people do, and as it is typed."""

    name: str  # all, user:<name>, batch:<id>, worker:<lane>
    words: str
    typed: str
    owner: str = ""  # whose runs it hits; empty: those of more than one

    @property
    def is_batch(self) -> bool:
        return self.name.startswith("batch:")


def scopes_of(
    queue: Queue, batches: Sequence[str], user: str, lane: str, everything: bool
) -> list[Scope]:
    """What the flags name; all of it is found before any is touched."""
    found = [_batch(queue, find_batch(queue, word)) for word in batches]
    found += [_person(queue, user)] if user else []
    found += [_worker(queue, lane)] if lane else []
    found += [Scope("all", "everything", "--all")] if everything else []
    return found


def _batch(queue: Queue, batch_id: str) -> Scope:
    view = batch_at(queue, batch_id)
    name, owner = (view.card.name, view.card.user) if view else ("", "")
    return Scope(f"batch:{batch_id}", f"batch {batch_id} {name}".rstrip(), f"-b {batch_id}", owner)


def _person(queue: Queue, user: str) -> Scope:
    known = {person.user for person in queue.share()}
    if user not in known:
        raise NotFound(f"nobody called {user!r} has runs", where=", ".join(sorted(known)))
    return Scope(f"user:{user}", f"runs of {user}", f"--user {user}", user)


def _worker(queue: Queue, lane: str) -> Scope:
    lanes = {view.card.lane for view in queue.workers()}
    lanes |= {one.scope.removeprefix("worker:") for one in queue.controls()}
    if lane not in lanes:
        workers = ", ".join(view.card.lane for view in queue.workers()) or "none is alive"
        raise NotFound(f"there is no worker {lane!r}", where=f"workers: {workers}")
    return Scope(f"worker:{lane}", f"worker {lane}", f"--worker {lane}")


def one_kind(chosen: Choice, scopes: Sequence[Scope], verb: str) -> None:
    """Runs one by one, or something larger; both at once is more likely a mistake."""
    runs = bool(chosen.words) or chosen.wide
    if runs and scopes:
        raise UsageError(
            f"{verb} takes runs, or one of -b --user --worker --all, not both",
            fix=f"queue {verb} -s STATE or --mine takes runs one by one",
        )
    if not runs and not scopes:
        raise UsageError("nothing was named", fix=f"queue {verb} RUN ... or -b BATCH")


def question_of(queue: Queue, scope: Scope, user: str, verb: str) -> str:
    """`hold everything: 31 pending runs`, when that is worth a question; else ''."""
    if scope.name.startswith("worker:"):
        return ""
    hit = pending_in(queue, scope)
    if scope.owner == user and hit <= ASK_ABOVE:
        return ""
    return f"{verb} {scope.words}: {count(hit, 'pending run')}"


def pending_in(queue: Queue, scope: Scope) -> int:
    """How many runs will not start because of it."""
    kind, _, name = scope.name.partition(":")
    if kind == "batch":
        view = batch_at(queue, name)
        return sum(view.counts.get(state, 0) for state in PENDING) if view else 0
    if kind == "user":
        return sum(person.pending for person in queue.share() if person.user == name)
    return sum(queue.counts()[state] for state in PENDING)


def held_line(queue: Queue, scope: Scope, *, new: bool) -> str:
    """`batch k3p9aa lr-sweep: held, 6 pending runs wait; what runs goes on`."""
    if not new:
        return f"{scope.words}: already held so"
    if scope.name.startswith("worker:"):
        said = "held, it takes nothing new"
    else:
        said = f"held, {count(pending_in(queue, scope), 'pending run')} will not start"
    return f"{scope.words}: {said}; what runs goes on"


def held_in(queue: Queue, scope: Scope) -> Sequence[Row]:
    """What is held one by one among the runs of a batch or a person."""
    kind, _, name = scope.name.partition(":")
    batch, user = (name if kind == word else "" for word in ("batch", "user"))
    return queue.list(states={State.HELD}, batch=batch, user=user) if batch or user else []


def released_line(queue: Queue, scope: Scope, *, lifted: bool) -> str:
    """What a release did, and what is still held one by one."""
    said = "released" if lifted else "was not held"
    if not (held := held_in(queue, scope)):
        return f"{scope.words}: {said}"
    again = f"queue release {scope.typed}" if scope.is_batch else "queue list -s held"
    return f"{scope.words}: {said}; {count(len(held), 'run')} held one by one: {again}"
