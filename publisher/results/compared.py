"""Experiments side by side: what differs, what came out, what it cost. Pure.

A column an experiment; what does not fit beside each other stands below, nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count as numbers
from statistics import fmean, stdev
from textwrap import wrap
from typing import Any

from publisher.desk.text import Line, Piece, clean, fit, line, piece
from publisher.outlook.progress import number
from publisher.results.spread import Cell, Group, lower_is_better, metrics_of, name_of, repeat_of
from schemas.run import State

KEY_WIDTH = 24
LEAST = 16  # cells of a column
NO_SCORES = frozenset({"lr"})  # what is measured, and is neither good nor bad
ALONE = "one run each: --seeds or --folds would tell a gain from luck"
GAP = 2


def compared_lines(groups: Sequence[Group], width: int) -> list[Line]:
    """Blocks of as many columns as fit, then every run that gave no value."""
    rows = [*_rows(groups)]
    label = min(KEY_WIDTH, max(len(row[0]) for row in rows))
    room = max((width - label) // (LEAST + GAP), 1)
    blocks = -(-len(groups) // room)
    per = -(-len(groups) // blocks)  # evenly, not one alone in the last
    lines: list[Line] = []
    for start in range(0, len(groups), per):
        part = [(key, cells[start : start + per]) for key, cells in rows]
        lines += [line()] if start else []
        lines += _block(part, label, width)
    return [
        *lines,
        *_missing(groups, width),
        *([line(Piece(ALONE, "dim"))] if _lone(groups) else []),
    ]


def _block(rows: Sequence[tuple[str, Sequence[Piece]]], label: int, width: int) -> Iterator[Line]:
    widths = [
        max(cell.width for cell in column) for column in zip(*(c for _, c in rows), strict=True)
    ]
    while label + sum(widths) + GAP * len(widths) > width and max(widths) > LEAST:
        widths[widths.index(max(widths))] -= 1
    for key, cells in rows:
        shown = [fit(cell, room) for cell, room in zip(cells, widths, strict=True)]
        last = shown[-1]
        shown[-1] = Piece(last.text.rstrip(), last.style)
        parts = [part for cell in shown for part in (Piece(" " * GAP), cell)]
        yield [fit(piece(key, "dim"), label), *parts]


def _rows(groups: Sequence[Group]) -> Iterator[tuple[str, list[Piece]]]:
    heads = (heading(group, n) for n, group in zip(numbers(1), groups, strict=False))
    yield "", [piece(head, "bold") for head in heads]
    yield "runs", [piece(runs_of(group), "warn" if group.missing else "") for group in groups]
    for key in groups[0].label:
        yield key, [piece(_short(group.label[key])) for group in groups]
    for metric in metrics_of(cell for group in groups for cell in group.cells):
        best = None if metric in NO_SCORES else best_of(groups, metric)
        yield metric, [_value(group, metric, best, lone=_lone(groups)) for group in groups]
        if metric == groups[0].metric and best is not None:
            yield "  behind the best", [_behind(group, best) for group in groups]
    yield "GPU hours", [piece(f"{group.gpu_hours:.2f}") for group in groups]


def heading(group: Group, place: int) -> str:
    """The run of one, the name of several, numbered where names would be alike."""
    only = group.cells[0].run
    return only.id if len(group.cells) == 1 else f"{place} {name_of(group.cells)}"


def runs_of(group: Group) -> str:
    """`3 finished`, `3 of 5`, `1 failed`."""
    ended = sum(cell.run.state is State.FINISHED for cell in group.cells)
    if len(group.cells) == 1:
        return str(group.cells[0].run.state)
    return f"{ended} finished" if ended == len(group.cells) else f"{ended} of {len(group.cells)}"


def best_of(groups: Sequence[Group], metric: str) -> float | None:
    """The best mean of a metric."""
    means = [fmean(values) for group in groups if (values := group.values_of(metric))]
    return (min if lower_is_better(metric) else max)(means) if means else None


def _lone(groups: Sequence[Group]) -> bool:
    """Whether runs are compared, not experiments: none has a spread, and one sentence says so."""
    return all(len(group.cells) == 1 for group in groups)


def _value(group: Group, metric: str, best: float | None, *, lone: bool) -> Piece:
    """`0.912 +-0.003 *`: the star is the best; one value among spreads says that it has none."""
    values = group.values_of(metric)
    if not values:
        return piece("-", "dim")
    star = best is not None and fmean(values) == best
    spread = f" +-{number(stdev(values))}" if len(values) > 1 else "" if lone else " n=1!"
    return piece(number(fmean(values)) + spread + (" *" if star else ""), "good" if star else "")


def _behind(group: Group, best: float) -> Piece:
    mean = group.mean
    return piece("-" if mean is None else f"{mean - best:+.4f}" if mean != best else "")


def _missing(groups: Sequence[Group], width: int) -> Iterator[Line]:
    for place, group in enumerate(groups, 1):
        for cell in group.missing:
            whose = heading(group, place)
            of = "" if whose == cell.run.id else f"{whose}: "
            text = f"no value: {of}{_why(cell, group)}"
            for part in wrap(text, width, subsequent_indent="  "):
                yield line(piece(part, "warn"))


def _why(cell: Cell, group: Group) -> str:
    told = f": {clean(cell.run.error)}" if cell.run.error else ""
    return f"{repeat_of(cell, group)} {cell.run.state}{told}"


def _short(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# ---- for programs --------------------------------------------------------------------------------


def compared_row(group: Group, place: int) -> dict[str, Any]:
    """One experiment in one row: what differs, then mean, spread and number of every metric."""
    row: dict[str, Any] = {
        "experiment": heading(group, place),
        "runs": " ".join(cell.run.id for cell in group.cells),
        "missing": " ".join(cell.run.id for cell in group.missing),
        "n": len(group.values),
        "of": len(group.cells),
        "gpu_hours": round(group.gpu_hours, 4),
        **{f"config.{key}": value for key, value in group.label.items()},
    }
    for metric in metrics_of(group.cells):
        values = group.values_of(metric)
        row[f"metrics.{metric}"] = fmean(values) if values else None
        row[f"metrics.{metric}.spread"] = stdev(values) if len(values) > 1 else None
    return row
