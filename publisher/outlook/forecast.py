"""When runs start and end: the line is played forward, once fast and once slow. Pure.

Workers that are free take the first run that they may; what nobody can know stays unknown.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from publisher.outlook.fairness import cap_of
from publisher.outlook.lengths import Eta, History, Span, left, to_come
from publisher.outlook.obstacles import closed, forbidden_for_good, misfit
from schemas.run import ENDED, State

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import Row, WorkerCard

Pick = Callable[[Span], float]  # the early or the late end


def forecast(seen: Snapshot, pending: Sequence[Row], history: History) -> dict[str, Eta]:
    """Of every running run, and of each of these pending ones, which stand in their order."""
    fast = _Play(seen, history, lambda span: span.early).played(pending)
    slow = _Play(seen, history, lambda span: span.late).played(pending)
    etas = {row.id: Eta(end=left(row, history)) for row in seen.running}
    for row in pending:
        starts = _span(fast.starts.get(row.id), slow.starts.get(row.id))
        etas[row.id] = Eta(starts, _span(fast.ends.get(row.id), slow.ends.get(row.id)))
    return etas


def _span(one: float | None, other: float | None) -> Span | None:
    if one is None or other is None:
        return None
    return Span(min(one, other), max(one, other))  # a faster start may lead to a worse order


@dataclass(slots=True)
class _Play:
    """One way in which it may go: who is free when, what runs until when."""

    seen: Snapshot
    history: History
    pick: Pick
    starts: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    active: list[tuple[Row, float]] = field(default_factory=list)  # until when each runs

    def played(self, pending: Sequence[Row]) -> _Play:
        free = self._begin()
        todo = [row for row in pending if not forbidden_for_good(row, self.seen)]
        while free and todo:
            now, lane = heapq.heappop(free)
            card = self._card(lane)
            place = next((i for i, row in enumerate(todo) if self._may(row, card, now)), None)
            if place is None:
                if (later := self._next_change(now, todo)) is not None:
                    heapq.heappush(free, (later, lane))
                continue
            if (end := self._start(todo.pop(place), lane, now)) is not None:
                heapq.heappush(free, (end, lane))
        return self

    def _begin(self) -> list[tuple[float, str]]:
        """When each worker that takes runs is free; without those of which nobody knows."""
        running = {row.id: row for row in self.seen.running}
        for row in self.seen.running:
            span = left(row, self.history)
            until = self.pick(span) if span else float("inf")
            self.active.append((row, until))
            if span:
                self.ends[row.id] = until
        free = []
        for worker in self.seen.alive:
            card = worker.card
            held = running.get(worker.run)
            if closed(card, self.seen.controls) or (card.busy_with and not worker.run):
                continue
            if not worker.run:
                free.append((0.0, card.lane))
            elif held and held.id in self.ends:
                free.append((self.ends[held.id], card.lane))
        heapq.heapify(free)
        return free

    def _card(self, lane: str) -> WorkerCard:
        return next(worker.card for worker in self.seen.alive if worker.card.lane == lane)

    def _may(self, row: Row, card: WorkerCard, now: float) -> bool:
        ready = self._ready(row)
        return (
            ready is not None and ready <= now and not misfit(row, card) and self._below(row, now)
        )

    def _ready(self, row: Row) -> float | None:
        """When its parents have ended; None when nobody knows."""
        if row.state is not State.WAITING:
            return 0.0
        ends = [
            0.0 if self.seen.parents.get(parent.id) in ENDED else self.ends.get(parent.id)
            for parent in row.after
        ]
        known = [end for end in ends if end is not None]
        return max(known, default=0.0) if len(known) == len(ends) else None

    def _below(self, row: Row, now: float) -> bool:
        """Whether its person and its batch may have one more run then."""
        cap = cap_of(self.seen.controls, row.user)
        batch = self.seen.batches.get(row.batch)
        most = batch.card.max_parallel if batch else 0
        if not (cap or most):
            return True
        going = [one for one, until in self.active if until > now]
        return (not cap or sum(one.user == row.user for one in going) < cap) and (
            not most or sum(one.batch == row.batch for one in going) < most
        )

    def _start(self, row: Row, lane: str, now: float) -> float | None:
        """Note its start and, where that is known, its end; the end is when the worker is free."""
        self.starts[row.id] = now
        span = to_come(row, lane, self.history)
        end = now + self.pick(span) if span else None
        self.active.append((row, float("inf") if end is None else end))
        if end is not None:
            self.ends[row.id] = end
        return end

    def _next_change(self, now: float, todo: Sequence[Row]) -> float | None:
        """When a worker that found nothing may look again."""
        ready = (self._ready(row) for row in todo)
        moments = [until for _, until in self.active] + [at for at in ready if at is not None]
        return min((at for at in moments if now < at < float("inf")), default=None)
