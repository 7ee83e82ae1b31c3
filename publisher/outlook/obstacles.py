"""What keeps a queued run from being claimed: holds, caps, and what no worker offers. Pure.

The claim decides the same in Lua; here it is only put into words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from schemas.run import State

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import Control, Row, WorkerCard, WorkerView
    from schemas.run import Run

BREAKER = "trainq"  # who signs what nobody has asked for
NAMED = 6  # hosts in a sentence


def obstacle(row: Row | Run, seen: Snapshot) -> str:
    """The first thing in the way of a queued run; '' when only others are before it."""
    if reason := forbidden(row, seen):
        return reason
    if not seen.alive:
        return "no worker is alive"
    fitting = [worker for worker in seen.alive if not misfit(row, worker.card)]
    if not fitting:
        return _what_is_missing(row, seen.alive)
    if free := [worker for worker in fitting if not closed(worker.card, seen.controls)]:
        busy = [worker.card for worker in free if worker.card.busy_with and not worker.run]
        if len(busy) == len(free):
            return f"{busy[0].lane}: {busy[0].busy_with}"
        return ""
    reasons = {worker.card.lane: closed(worker.card, seen.controls) for worker in fitting}
    if set(reasons.values()) == {"drains"}:
        return "every worker drains"
    return "; ".join(f"{lane} {reason}" for lane, reason in reasons.items())


def forbidden(row: Row | Run, seen: Snapshot) -> str:
    """The hold or cap that applies to the run, whoever might take it."""
    return forbidden_for_good(row, seen) or _capped(row, seen)


def forbidden_for_good(row: Row | Run, seen: Snapshot) -> str:
    """What does not pass by itself: holds, and a batch whose submit is not complete."""
    if reason := next(holds(row, seen.controls), ""):
        return reason
    batch = seen.batches.get(row.batch)
    if batch and not batch.open:
        return "the submit of its batch is not complete"
    return "it is held" if row.state is State.HELD else ""


def holds(row: Row | Run, controls: Sequence[Control]) -> Iterator[str]:
    """Every hold that is wider than the run, the widest first."""
    for scope, what in (
        ("all", "everything is held"),
        (f"user:{row.user}", f"runs of {row.user} are held"),
        (f"batch:{row.batch}", "its batch is held"),
    ):
        if control := control_of(controls, "hold", scope):
            yield f"{what} {signed(control)}"


def _capped(row: Row | Run, seen: Snapshot) -> str:
    cap = control_of(seen.controls, "cap", f"user:{row.user}")
    if (
        cap
        and cap.value
        and (now := sum(one.user == row.user for one in seen.running)) >= cap.value
    ):
        return f"{row.user} runs {now}, the cap is {cap.value}"
    batch = seen.batches.get(row.batch)
    most = batch.card.max_parallel if batch else 0
    now = sum(one.batch == row.batch for one in seen.running)
    if 0 < most <= now:
        return f"its batch runs {now}, --max-parallel is {most}"
    return ""


def misfit(row: Row | Run, card: WorkerCard) -> str:
    """Why this worker will never take the run as it is; '' when it could."""
    if row.needs_host and row.needs_host not in (card.host, card.lane):
        return f"needs {row.needs_host}"
    if row.gpus > card.gpus:
        return f"needs {row.gpus} GPUs"
    if 0 < card.offer_mb < claimed_mb(row):
        return f"needs {gib(claimed_mb(row))}"
    if row.checkpoint_step and row.runs_root != card.runs_root:
        return "its checkpoint is elsewhere"
    return ""


def claimed_mb(row: Row | Run) -> int:
    """The memory that a claim asks for: it knows whole GiB only."""
    return -(-row.memory_mb // 1024) * 1024


def _what_is_missing(row: Row | Run, alive: Sequence[WorkerView]) -> str:
    cards = [worker.card for worker in alive]
    if row.needs_host:
        cards = [card for card in cards if row.needs_host in (card.host, card.lane)]
    if not cards:
        return f"needs {row.needs_host}, which has no worker"
    if row.gpus > max(card.gpus for card in cards):
        most = max(card.gpus for card in cards)
        return f"needs {row.gpus} GPUs; no worker holds more than {most}"
    if all(0 < card.offer_mb < claimed_mb(row) for card in cards):
        roomy = max(cards, key=lambda card: card.offer_mb)
        others = roomy.busy_with or roomy.shared_with
        return f"needs {gib(claimed_mb(row))}; {roomy.lane} offers {gib(roomy.offer_mb)}" + (
            f" ({others})" if others else ""
        )
    if all(row.checkpoint_step and row.runs_root != card.runs_root for card in cards):
        return "its checkpoint is on a host without a worker"
    return "no worker has all it needs: " + ", ".join(needs(row))


def unseen(wanted: Iterable[str], workers: Sequence[WorkerView]) -> list[str]:
    """A line for each place where runs are to go and no worker has shown itself: it may be
    misspelt, or its worker starts later.
    """
    cards = [worker.card for worker in workers]
    seen = {name for card in cards for name in (card.host, card.lane)}
    return [_unseen(place, cards) for place in dict.fromkeys(wanted) if place and place not in seen]


def _unseen(place: str, cards: Sequence[WorkerCard]) -> str:
    """Of a host that is known its GPUs are named, else the hosts."""
    there = {card.lane for card in cards if card.host == place.partition(":")[0]}
    known = sorted(there or {card.host for card in cards})
    more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
    only = f", only on {', '.join(known[:NAMED])}{more}" if known else ""
    return f"No worker was seen on {place} yet{only}"


def needs(row: Row | Run) -> Iterator[str]:
    """What a run asks of a worker."""
    if row.needs_host:
        yield f"host {row.needs_host}"
    if row.gpus > 1:
        yield f"{row.gpus} GPUs"
    if row.memory_mb:
        yield f"{gib(row.memory_mb)} of GPU memory"
    if row.checkpoint_step:
        yield "its checkpoint"


def closed(card: WorkerCard, controls: Sequence[Control]) -> str:
    """Why a worker takes nothing new: `is held by trainq: ...`; '' when it takes runs."""
    for kind, word in (("hold", "is held"), ("drain", "drains")):
        for scope in (f"worker:{card.lane}", f"host:{card.host}"):
            if control := control_of(controls, kind, scope):
                return f"{word}, {signed(control)}"
    return "drains" if card.draining else ""


def resumed_by(controls: Sequence[Control]) -> list[str]:
    """What lets workers go on that nobody but a circuit breaker has paused."""
    paused = (c.scope for c in controls if c.kind == "hold" and c.by == BREAKER)
    return [f"worker resume {scope[7:]}" for scope in paused if scope.startswith("worker:")]


def control_of(controls: Sequence[Control], kind: str, scope: str) -> Control | None:
    """The control of this kind over exactly this."""
    found = (one for one in controls if one.kind == kind and one.scope == scope)
    return next(found, None)


def signed(control: Control) -> str:
    """`by bo: until the data are fixed`."""
    return f"by {control.by}" + (f": {control.reason}" if control.reason else "")


def gib(mb: int) -> str:
    """`11.7 GiB`, `300 MiB`."""
    return f"{mb / 1024:.1f} GiB".replace(".0 ", " ") if mb >= 1024 else f"{mb} MiB"
