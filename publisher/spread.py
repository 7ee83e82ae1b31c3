"""A batch as one table: mean and spread over seeds and folds, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from math import isfinite
from statistics import fmean, stdev
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from publisher.columns import Column, layout
from publisher.plan import flat
from publisher.ranking import Result
from publisher.snapshot import SHORT_METRICS, number
from publisher.text import Line, line, piece
from schemas.run import State

if TYPE_CHECKING:
    from queue_worker.queue import Row

REPEATS = ("seed", "data.split.fold")  # what is averaged over
NO_PART = (*REPEATS, "name", "note", "notify")  # of what makes an experiment
NAMED = 20  # missing cells of one experiment; JSON has them all


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a batch, its value, and which repeat of its experiment it is."""

    result: Result
    config: Mapping[str, Any]  # dotted

    @property
    def row(self) -> Row:
        return self.result.row

    @property
    def seed(self) -> Any:
        return self.config.get("seed")

    @property
    def value(self) -> float | None:
        best = self.result.best
        finished = self.row.state is State.FINISHED
        return best.value if finished and best and isfinite(best.value) else None


@dataclass(frozen=True, slots=True)
class Group:
    """The repeats of one experiment."""

    label: Mapping[str, Any]  # what tells it from the other groups
    cells: Sequence[Cell]
    metric: str
    place: int | None = None

    @property
    def values(self) -> list[float]:
        return [cell.value for cell in self.cells if cell.value is not None]

    @property
    def missing(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.value is None]

    @property
    def mean(self) -> float | None:
        return fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The standard deviation of a sample; one value has none."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def gpu_hours(self) -> float:
        return sum(cell.row.ran_s * cell.row.gpus for cell in self.cells) / 3600


def cells_of(found: Iterable[tuple[Result, Mapping[str, Any]]]) -> list[Cell]:
    """The runs that count: no gather run, and of a run and its retries the last."""
    cells = [Cell(result, flat(config)) for result, config in found if result.row.kind == "train"]
    retried = {cell.row.retry_of for cell in cells}
    return [cell for cell in cells if cell.row.id not in retried]


def groups_of(cells: Sequence[Cell]) -> list[Group]:
    """The experiments of a batch, the best mean first."""
    alike: dict[str, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(_experiment(cell), []).append(cell)
    differing = _differing([members[0] for members in alike.values()])
    groups = [
        Group(
            label={key: members[0].config.get(key) for key in differing},
            cells=sorted(members, key=_repeat),
            metric=_metric(members),
        )
        for members in alike.values()
    ]
    ranked = sorted(groups, key=_order)
    places = {id(group): n for n, group in enumerate(ranked, 1) if group.mean is not None}
    return [Group(g.label, g.cells, g.metric, places.get(id(g))) for g in ranked]


def _experiment(cell: Cell) -> str:
    own = {key: value for key, value in cell.config.items() if key not in NO_PART}
    return dumps(own, sort_keys=True, default=str)


def _differing(cells: Sequence[Cell]) -> list[str]:
    keys = dict.fromkeys(key for cell in cells for key in cell.config if key not in NO_PART)
    first = cells[0].config if cells else {}
    return [key for key in keys if any(cell.config.get(key) != first.get(key) for cell in cells)]


def _repeat(cell: Cell) -> tuple[int, int, str]:
    fold = cell.row.fold
    seed = cell.seed if isinstance(cell.seed, int) else 0
    return (-1 if fold is None else fold, seed, cell.row.id)


def _metric(cells: Sequence[Cell]) -> str:
    return next((cell.result.best.metric for cell in cells if cell.result.best), "")


def _order(group: Group) -> tuple[bool, str, float]:
    mean = group.mean
    if mean is None:
        return (True, "", 0)
    return (False, group.metric, mean if "loss" in group.metric else -mean)


# ---- words ---------------------------------------------------------------------------------------

SPREAD = (
    Column("#", right=True),
    Column("MEAN"),
    Column("SPREAD"),
    Column("N", right=True),
    Column("RANGE", drop=2),
    Column("GPU-H", drop=1, right=True),
    Column("EXPERIMENT", least=16, want=30),
)


def spread_lines(groups: Sequence[Group], width: int) -> list[Line]:
    """A line an experiment; what failed or is not there yet is named, never left out."""
    if not groups:
        return [line("no such runs")]
    missing = [part for group in groups for part in _missing(group, width)]
    return [*layout(SPREAD, [_spread_row(group) for group in groups], width), *missing]


def _spread_row(group: Group) -> list[Any]:
    values, spread = group.values, group.spread
    metric = SHORT_METRICS.get(group.metric, group.metric)
    return [
        piece(group.place or "-"),
        piece(f"{metric} {number(group.mean)}" if group.mean is not None else "", "good"),
        piece(f"+-{number(spread)}" if spread is not None else "n = 1!" if values else ""),
        piece(f"{len(values)}/{len(group.cells)}", "" if not group.missing else "warn"),
        piece(f"{number(min(values))}..{number(max(values))}" if len(values) > 1 else ""),
        piece(f"{group.gpu_hours:.1f}" if group.gpu_hours >= 0.05 else ""),
        piece(label_of(group) or group.cells[0].row.name),
    ]


def _missing(group: Group, width: int) -> list[Line]:
    """`missing: optim.lr=0.001: 7f3k2q fold 2 failed, 7f3k2r fold 3 queued`."""
    if not group.missing:
        return []
    told = [f"{repeat_of(cell, group)} {cell.row.state}" for cell in group.missing]
    more = [f"and {len(told) - NAMED} more"] if len(told) > NAMED else []
    label = label_of(group)
    text = f"missing: {label + ': ' if label else ''}{', '.join([*told[:NAMED], *more])}"
    return [line(piece(part, "warn")) for part in wrap(text, width, subsequent_indent="  ")]


def repeat_of(cell: Cell, group: Group) -> str:
    """`7f3k2q fold 2 seed 1`; the seed only where seeds differ."""
    fold = f" fold {cell.row.fold}" if cell.row.fold is not None else ""
    several = len({str(one.seed) for one in group.cells}) > 1
    return cell.row.id + fold + (f" seed {cell.seed}" if several else "")


def label_of(group: Group) -> str:
    """`model.name=vit optim.lr=0.001`."""
    return " ".join(f"{key}={_short(value)}" for key, value in group.label.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---- for programs --------------------------------------------------------------------------------

SPREAD_KEYS = ("place", "metric", "mean", "spread", "n", "of", "min", "max", "gpu_hours", "label")


def group_record(group: Group) -> dict[str, Any]:
    """One experiment."""
    return {
        "place": group.place,
        "label": label_of(group),
        "differs": dict(group.label),
        "metric": group.metric or None,
        "mean": group.mean,
        "spread": group.spread,
        "n": len(group.values),
        "of": len(group.cells),
        "min": min(group.values, default=None),
        "max": max(group.values, default=None),
        "gpu_hours": round(group.gpu_hours, 4),
        "runs": [_cell_record(cell) for cell in group.cells],
        "missing": [cell.row.id for cell in group.missing],
    }


def _cell_record(cell: Cell) -> dict[str, Any]:
    return {
        "id": cell.row.id,
        "name": cell.row.name,
        "state": cell.row.state,
        "fold": cell.row.fold,
        "seed": cell.seed,
        "value": cell.value,
        "cause": cell.row.cause,
        "error": cell.row.error,
    }
