"""Runs as experiments: mean and spread over seeds and folds, what is missing, what it cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from json import dumps
from math import isfinite
from statistics import fmean, stdev
from textwrap import wrap
from typing import Any

from publisher.desk.columns import Column, layout
from publisher.desk.dotted import flat
from publisher.desk.text import Line, line, piece
from publisher.outlook.progress import SHORT_METRICS, number
from publisher.results.tables import measured
from schemas.run import Run, State

REPEATS = ("seed", "data.split.fold")  # what is averaged over
NAMES = ("name", "note", "notify")
NO_PART = (*REPEATS, *NAMES)  # of what makes an experiment
REPEAT = re.compile(r"-(?:fold|seed|r)\d+(?=-|$)")  # of a name
NAMED = 20  # missing cells of one experiment; JSON has them all


@dataclass(frozen=True, slots=True)
class Cell:
    """One run, and which repeat of its experiment it is."""

    run: Run
    config: Mapping[str, Any]  # dotted
    measured: Mapping[str, float]  # at its best epoch
    before_s: float = 0  # GPU seconds of what it was retried from

    @property
    def gpu_s(self) -> float:
        return self.run.ran_s * self.run.gpus

    @property
    def seed(self) -> Any:
        return self.config.get("seed")

    @property
    def metric(self) -> str:
        return self.run.best.metric if self.run.best else ""

    def value(self, metric: str) -> float | None:
        """What counts: of a run that finished, and a number."""
        value = self.measured.get(metric)
        counts = value is not None and isfinite(value) and self.run.state is State.FINISHED
        return value if counts else None


@dataclass(frozen=True, slots=True)
class Group:
    """The repeats of one experiment."""

    label: Mapping[str, Any]  # what tells it from the other groups
    cells: Sequence[Cell]
    metric: str
    place: int | None = None

    @property
    def values(self) -> list[float]:
        return self.values_of(self.metric)

    @property
    def missing(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.value(self.metric) is None]

    def values_of(self, metric: str) -> list[float]:
        """One number for each repeat that has it."""
        return [value for cell in self.cells if (value := cell.value(metric)) is not None]

    @property
    def mean(self) -> float | None:
        return fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The standard deviation of a sample; one value has none."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def gpu_hours(self) -> float:
        return sum(cell.gpu_s + cell.before_s for cell in self.cells) / 3600


def cells_of(runs: Iterable[Run]) -> list[Cell]:
    """The runs that count: no gather run, and of a run and its retries the last.

    What a retry replaces is paid for all the same; under another config it is no replacement.
    """
    cells = [Cell(run, flat(run.config), measured(run)) for run in runs if run.kind == "train"]
    known = {cell.run.id: cell for cell in cells}
    old_of = {
        cell.run.id: old
        for cell in cells
        if (old := known.get(cell.run.retry_of)) and _experiment(old) == _experiment(cell)
    }
    replaced = {old.run.id for old in old_of.values()}
    return [replace(c, before_s=_before(c, old_of)) for c in cells if c.run.id not in replaced]


def _before(cell: Cell, old_of: Mapping[str, Cell]) -> float:
    """GPU seconds of the runs that this one replaces."""
    old = old_of.get(cell.run.id)
    return old.gpu_s + _before(old, old_of) if old else 0


def groups_of(cells: Sequence[Cell], metric: str = "") -> list[Group]:
    """The experiments among runs, the best mean first; by their own metric, or by this one."""
    alike: dict[str, list[Cell]] = {}
    for cell in cells:
        alike.setdefault(_experiment(cell), []).append(cell)
    return ranked_groups([*alike.values()], metric)


def ranked_groups(families: Sequence[Sequence[Cell]], metric: str = "") -> list[Group]:
    """These families of runs as groups, the best mean first, each with what tells it apart."""
    repeats = all(len(members) == 1 for members in families)  # then these too tell them apart
    differing = _differing([members[0] for members in families], NAMES if repeats else NO_PART)
    groups = [
        Group(
            label={key: members[0].config.get(key) for key in differing},
            cells=sorted(members, key=_repeat),
            metric=metric or _metric(members),
        )
        for members in families
    ]
    ranked = sorted(groups, key=_order)
    places = {id(group): n for n, group in enumerate(ranked, 1) if group.mean is not None}
    return [Group(g.label, g.cells, g.metric, places.get(id(g))) for g in ranked]


def metrics_of(cells: Iterable[Cell]) -> list[str]:
    """Every metric that any of them measured; first those that runs are ranked by."""
    known = [*cells]
    own = [cell.metric for cell in known if cell.metric]
    return list(dict.fromkeys([*own, *(name for cell in known for name in cell.measured)]))


def lower_is_better(metric: str) -> bool:
    """Of a loss and an error the smallest is the best."""
    return "loss" in metric


def _experiment(cell: Cell) -> str:
    own = {key: value for key, value in cell.config.items() if key not in NO_PART}
    return dumps(own, sort_keys=True, default=str)


def _differing(cells: Sequence[Cell], apart_from: Sequence[str]) -> list[str]:
    keys = dict.fromkeys(key for cell in cells for key in cell.config if key not in apart_from)
    first = cells[0].config if cells else {}
    return [key for key in keys if any(cell.config.get(key) != first.get(key) for cell in cells)]


def _repeat(cell: Cell) -> tuple[int, int, str]:
    fold = cell.run.fold
    seed = cell.seed if isinstance(cell.seed, int) else 0
    return (-1 if fold is None else fold, seed, cell.run.id)


def _metric(cells: Sequence[Cell]) -> str:
    return next((cell.metric for cell in cells if cell.metric), "")


def _order(group: Group) -> tuple[bool, str, float]:
    mean = group.mean
    if mean is None:
        return (True, "", 0)
    return (False, group.metric, mean if lower_is_better(group.metric) else -mean)


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
        piece(title_of(group)),
    ]


def _missing(group: Group, width: int) -> list[Line]:
    """`missing: optim.lr=0.001: 7f3k2q fold 2 failed, 7f3k2r fold 3 queued`."""
    if not group.missing:
        return []
    told = [f"{repeat_of(cell, group)} {cell.run.state}" for cell in group.missing]
    more = [f"and {len(told) - NAMED} more"] if len(told) > NAMED else []
    text = f"missing: {title_of(group)}: {', '.join([*told[:NAMED], *more])}"
    return [line(piece(part, "warn")) for part in wrap(text, width, subsequent_indent="  ")]


def repeat_of(cell: Cell, group: Group) -> str:
    """`7f3k2q fold 2 seed 1`; the seed only where seeds differ."""
    fold = f" fold {cell.run.fold}" if cell.run.fold is not None else ""
    several = len({str(one.seed) for one in group.cells}) > 1
    return cell.run.id + fold + (f" seed {cell.seed}" if several else "")


def title_of(group: Group) -> str:
    """What tells it from the others, or what its runs are called without their fold and seed."""
    return label_of(group) or name_of(group.cells)


def name_of(cells: Sequence[Cell]) -> str:
    """`birds` of `birds-fold0` and `birds-fold1`; of one run its own name."""
    first = cells[0].run.name
    return first if len(cells) == 1 else REPEAT.sub("", first)


def label_of(group: Group) -> str:
    """`model.name=vit optim.lr=0.001`."""
    return " ".join(f"{key}={_short(value)}" for key, value in group.label.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# ---- for programs --------------------------------------------------------------------------------

SPREAD_KEYS = (
    *("place", "metric", "mean", "spread", "n", "of", "min", "max", "gpu_hours", "label"),
    *("runs", "missing"),
)


def group_row(group: Group) -> dict[str, Any]:
    """One experiment where a cell of a table holds one value: ids joined by blanks."""
    ids = {"runs": group.cells, "missing": group.missing}
    told = {key: " ".join(cell.run.id for cell in cells) for key, cells in ids.items()}
    return {**group_record(group), **told}


def group_record(group: Group) -> dict[str, Any]:
    """One experiment."""
    return {
        "place": group.place,
        "label": title_of(group),
        "differs": dict(group.label),
        "metric": group.metric or None,
        "mean": group.mean,
        "spread": group.spread,
        "n": len(group.values),
        "of": len(group.cells),
        "min": min(group.values, default=None),
        "max": max(group.values, default=None),
        "gpu_hours": round(group.gpu_hours, 4),
        "runs": [_cell_record(cell, group.metric) for cell in group.cells],
        "missing": [cell.run.id for cell in group.missing],
    }


def _cell_record(cell: Cell, metric: str) -> dict[str, Any]:
    return {
        "id": cell.run.id,
        "name": cell.run.name,
        "state": cell.run.state,
        "fold": cell.run.fold,
        "seed": cell.seed,
        "value": cell.value(metric),
        "cause": cell.run.cause,
        "error": cell.run.error,
    }
