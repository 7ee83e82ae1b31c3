"""Runs as rows of one table, whatever it is printed as: `config.*`, `metrics.*`, time, cost.

Pure: knows neither pandas nor a terminal; a column has one meaning everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from publisher.desk.clock import iso
from publisher.desk.dotted import flat
from publisher.desk.text import clean
from publisher.results.ranking import numbers
from schemas.run import Run

COMMIT = 12  # characters of a commit
TIMES = ("submitted_at", "started_at", "ended_at")


def run_row(run: Run, cards: Mapping[str, str], commit: str = "") -> dict[str, Any]:
    """One run; `cards` says what GPU a worker's lane is, `commit` what its folder wrote down."""
    best = run.best
    ran = (run.ended_at or run.started_at or 0) - (run.started_at or 0)
    return {
        "id": run.id,
        "name": run.name,
        "state": str(run.state),
        "kind": run.kind,
        "user": run.user,
        "batch": run.batch,
        "seed": run.config.get("seed"),
        "fold": run.fold,
        "metric": best.metric if best else None,
        "value": best.value if best else None,
        "best_epoch": best.epoch if best else None,
        "epochs": run.progress.epoch,
        "duration_s": round(ran, 3),
        "gpu_hours": round(run.ran_s * run.gpus / 3600, 6),
        "worker": run.worker,
        "gpu": cards.get(run.worker, ""),
        "code": run.ran_code or run.code,
        "git": commit[:COMMIT],
        "retry_of": run.retry_of,
        **{name: iso(getattr(run, name)) for name in TIMES},
        "cause": str(run.cause) if run.cause else None,
        "error": run.error,
        **{f"config.{key}": value for key, value in flat(run.config).items()},
        **{f"metrics.{key}": value for key, value in measured(run).items()},
    }


def measured(run: Run) -> dict[str, float]:
    """What was measured at the best epoch; of a run that has not finished, what is known of it."""
    known = {run.best.metric: run.best.value} if run.best else {}
    return {**known, **numbers(run.result)}


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every column that any row has: the fixed ones, then config, then metrics, each as first met.

    A run without a metric does not move the columns of the others.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    groups: dict[str, list[str]] = {"": [], "config": [], "metrics": []}
    for name in names:
        groups[name.partition(".")[0] if "." in name else ""].append(name)
    return [*groups[""], *groups["config"], *groups["metrics"]]


def as_markdown(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """A table for a pull request or a wiki."""
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(name)) for name in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    """A bar would end the cell, a line break the row."""
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return clean(text).replace("\\", "\\\\").replace("|", "\\|")
