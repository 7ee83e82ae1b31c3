"""What a list knows at one moment, and what follows from it: place, progress, and why not yet.

Pure: "lost", "position" and "why" are derived here and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from publisher.clock import brief
from schemas.run import Best, Progress, Run, State, Wish

if TYPE_CHECKING:
    from queue_worker.queue import Row, WorkerView

SHORT_METRICS = {"accuracy": "acc", "macro_f1": "f1"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows in scheduling order, and what is needed to explain them."""

    now: float
    rows: Sequence[Row]
    ahead: Mapping[str, int]  # of every queued run among the rows: how many go before it
    counts: Mapping[State, int]  # of all runs, shown or not
    workers: Sequence[WorkerView]

    @property
    def alive(self) -> list[WorkerView]:
        return [worker for worker in self.workers if worker.alive]


def why(row: Row | Run, seen: Snapshot) -> str:
    """Why a run stands where it stands, in one line for people."""
    match row.state:
        case State.RUNNING:
            return _why_running(row, seen.now)
        case State.QUEUED:
            return _why_queued(row, seen)
        case State.HELD:
            return f"held by {row.held_by}" + (f": {row.held_reason}" if row.held_reason else "")
        case State.WAITING:
            return "waits for its parents"
        case State.FAILED:
            return row.error or str(row.cause or "")
        case State.CANCELLED:
            return _why_cancelled(row)
        case State.SKIPPED:
            return row.error or "a parent failed"
        case State.FINISHED:
            return row.error  # of a gather run that lacks a part
        case _:
            return ""


def _why_running(row: Row | Run, now: float) -> str:
    if row.wish is Wish.CANCEL:
        return f"cancel asked by {row.wish_by}" + _quoted(row.wish_reason)
    if row.lease_until is not None and row.lease_until < now:
        return f"worker silent, lease over for {brief(now - row.lease_until)}"
    parts = [f"attempt {row.attempt}"] if row.attempt > 1 else []
    progress = row.progress
    if not progress.epochs or progress.doing not in ("", "training"):
        parts.append(progress.doing or "starting")
    elif progress.eta_s is not None:
        parts.append(f"done in {brief(progress.eta_s)}")
    return ", ".join(parts)


def _why_queued(row: Row | Run, seen: Snapshot) -> str:
    reason = _obstacle(row, seen)
    resumes = f"; resumes at step {row.checkpoint_step}" if row.checkpoint_step else ""
    return reason + resumes


def _obstacle(row: Row | Run, seen: Snapshot) -> str:
    alive = seen.alive
    if not alive:
        return "no worker is alive"
    if row.needs_host and row.needs_host not in {worker.card.host for worker in alive}:
        return f"needs {row.needs_host}, which has no worker"
    if row.checkpoint_step and row.runs_root not in {worker.card.runs_root for worker in alive}:
        return "its checkpoint is on a host without a worker"
    taking = [worker for worker in alive if not worker.card.draining]
    if not taking:
        return "every worker drains"
    if ahead := seen.ahead.get(row.id, 0):
        return f"{ahead} ahead"
    if not all(worker.run for worker in taking):
        return "starts now"
    if len(taking) == 1:
        return f"next, after {taking[0].run}"
    return f"next; all {len(taking)} workers busy"


def _why_cancelled(row: Row | Run) -> str:
    by = row.wish_by or row.ended_by
    kept = " (checkpoint kept)" if row.checkpoint_step else ""
    return (f"by {by}" if by else "") + _quoted(row.wish_reason) + kept


def _quoted(reason: str) -> str:
    return f': "{reason}"' if reason else ""


def elapsed(row: Row, now: float) -> float:
    """How long it has waited, runs, or ran."""
    if row.ended_at is not None:
        return row.ended_at - (row.started_at or row.ended_at)
    return now - (
        row.started_at if row.state is State.RUNNING and row.started_at else row.submitted_at
    )


def done(progress: Progress) -> str:
    """`14/20`: epochs."""
    return f"{progress.epoch}/{progress.epochs}" if progress.epochs else ""


def share(progress: Progress) -> float:
    """The part that is done, from 0 to 1, by steps where they are known."""
    if progress.steps:
        return min(progress.step / progress.steps, 1.0)
    return min(progress.epoch / progress.epochs, 1.0) if progress.epochs else 0.0


def best_text(best: Best | None) -> str:
    """`acc 0.912`."""
    if best is None:
        return ""
    return f"{SHORT_METRICS.get(best.metric, best.metric)} {number(best.value)}"


def number(value: float) -> str:
    """Three decimals where that says something, else three digits."""
    return f"{value:.3f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.2e}"
