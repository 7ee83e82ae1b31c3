"""A batch as one line of a list, which opens: `queue list -b BATCH`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from publisher.outlook.lengths import Span, in_words
from publisher.outlook.obstacles import control_of, obstacle, signed
from schemas.run import ENDED, Best, State

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import BatchView, Row

# what a batch as a whole is: the first of these that any of its runs is
LIVELIEST = (
    *(State.RUNNING, State.QUEUED, State.HELD, State.WAITING),
    *(State.FAILED, State.SKIPPED, State.CANCELLED, State.FINISHED),
)

LOOKED_AT = 5  # runs of a batch that are asked what keeps them: they ask for the same, mostly


@dataclass(frozen=True, slots=True)
class Folded:
    """The runs of a batch that would stand in a list, as one line."""

    batch: BatchView
    rows: Sequence[Row]  # those that were listed, in their order
    best: Best | None = None

    @property
    def state(self) -> State:
        """The first that any of its runs is, but for what a retry has taken the place of."""
        counts, retried = self.batch.counts, self.batch.retried
        left = {state: number - retried.get(state, 0) for state, number in counts.items()}
        return next((s for s in LIVELIEST if left.get(s)), State.WAITING)

    @property
    def ended(self) -> int:
        return sum(number for state, number in self.batch.counts.items() if state in ENDED)

    @property
    def ended_at(self) -> float | None:
        """When the last of it ended; None while it goes on, or where no run of it was listed."""
        ends = [row.ended_at for row in self.rows if row.ended_at]
        return max(ends) if ends and self.state in ENDED else None

    @property
    def runs(self) -> int:
        return sum(self.batch.counts.values())


def fold(
    rows: Sequence[Row], batches: Mapping[str, BatchView], bests: Mapping[str, Best]
) -> list[Row | Folded]:
    """Every batch where the first of its runs stood; runs of no batch as they are."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        if row.batch in batches:
            members.setdefault(row.batch, []).append(row)
    entries: list[Row | Folded] = []
    for row in rows:
        if row.batch not in batches:
            entries.append(row)
        elif members[row.batch][0] is row:
            view = batches[row.batch]
            entries.append(Folded(view, members[row.batch], bests.get(row.batch)))
    return entries


def best_of(rows: Sequence[Row]) -> Best | None:
    """The best value among runs that measure the same thing; None when they do not."""
    bests = [row.best for row in rows if counts(row) and row.best]
    if not bests or len({best.metric for best in bests}) > 1:
        return None
    pick = min if "loss" in bests[0].metric else max
    return pick(bests, key=lambda best: best.value)


def counts(row: Row) -> bool:
    """Whether its value is one run's own: a gather run has the mean of others."""
    return row.kind == "train" and row.best is not None and isfinite(row.best.value)


def counted(view: BatchView, states: Sequence[State] = LIVELIEST) -> str:
    """`2 running, 6 queued, 3 failed (2 retried)`."""
    told = [(state, view.counts.get(state), view.retried.get(state)) for state in states]
    return ", ".join(
        f"{number} {state}" + (f" ({retried} retried)" if retried else "")
        for state, number, retried in told
        if number
    )


def why_folded(entry: Folded, seen: Snapshot, *, owners: bool) -> str:
    """How many of it stand where and what holds it; with its owner where there is no other room."""
    view = entry.batch
    control = control_of(seen.controls, "hold", f"batch:{view.card.id}")
    reason = f"held {signed(control)}" if control and entry.state not in ENDED else ""
    if not view.open:
        reason = "its submit is not complete"
    reason = reason or _stuck(entry, seen)
    done = f"done in {in_words(end)}" if (end := _last_end(entry, seen)) else ""
    left = counted(view, LIVELIEST[:-1])  # the progress says how many have finished
    whose = "" if owners else view.card.user
    stands = ": ".join(part for part in (whose, left) if part)
    return "; ".join(part for part in (reason, stands, done) if part)


def _stuck(entry: Folded, seen: Snapshot) -> str:
    """What keeps all of it from starting, where nothing of it runs; that no worker is alive stands
    below every list.
    """
    queued = [row for row in entry.rows if row.state is State.QUEUED]
    if entry.state is not State.QUEUED or not seen.alive:
        return ""
    reasons = {obstacle(row, seen) for row in queued[:LOOKED_AT]}
    return reasons.pop() if len(reasons) == 1 else ""


def _last_end(entry: Folded, seen: Snapshot) -> Span | None:
    """When all of it will have ended, where that is known of each of its runs."""
    going = [row for row in entry.rows if row.state not in ENDED]
    ends = [eta.end for row in going if (eta := seen.etas.get(row.id)) and eta.end]
    if not ends or len(ends) < entry.runs - entry.ended:
        return None
    return Span(max(end.early for end in ends), max(end.late for end in ends))
