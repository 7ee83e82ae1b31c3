"""Which run was best: one metric, its direction, and an order. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from schemas.run import Best, State

if TYPE_CHECKING:
    from queue_worker.queue import Row


@dataclass(frozen=True, slots=True)
class Result:
    """A run and the value that it is ranked by; None when it has no such value."""

    row: Row
    best: Best | None
    place: int | None = None
    retry: Row | None = None  # of a failed one: what came of trying it again


def result_of(row: Row, metric: str = "", measured: Mapping[str, Any] | None = None) -> Result:
    """By the run's own metric, or by another one that was measured at its best epoch."""
    if not metric or (row.best and row.best.metric == metric):
        return Result(row, row.best)
    value = numbers(measured or {}).get(metric)
    epoch = row.best.epoch if row.best else row.progress.epoch
    return Result(row, None if value is None else Best(metric=metric, value=value, epoch=epoch))


def numbers(measured: Mapping[str, Any]) -> dict[str, float]:
    """The metrics among what the trainer recorded at the end."""
    inner = measured.get("metrics")
    source = inner if isinstance(inner, Mapping) else measured
    return {k: v for k, v in source.items() if isinstance(v, int | float)}


def ranked(results: Iterable[Result]) -> list[Result]:
    """The best first, a ranking for each metric; what failed or has no value last, unplaced."""
    rankings: defaultdict[str, list[Result]] = defaultdict(list)
    unplaced: list[Result] = []
    for result in results:
        if result.row.state is State.FINISHED and result.best and isfinite(result.best.value):
            rankings[result.best.metric].append(result)
        else:
            unplaced.append(result)
    placed = [
        replace(result, place=place)
        for metric in sorted(rankings)
        for place, result in enumerate(sorted(rankings[metric], key=_order), start=1)
    ]
    return [*placed, *unplaced]


def _order(result: Result) -> float:
    assert result.best
    return result.best.value if "loss" in result.best.metric else -result.best.value
