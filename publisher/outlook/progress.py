"""How far a run is and how good, in a few characters. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.run import Best, Progress, State

if TYPE_CHECKING:
    from queue_worker.queue import Row

SHORT_METRICS = {"accuracy": "acc", "macro_f1": "f1"}


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
