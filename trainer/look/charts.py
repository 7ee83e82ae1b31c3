"""The charts of a report: curves, bars, a reliability diagram and a confusion matrix. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from trainer.judge.scores import Calibration, Counts
from trainer.look import axes, marks, palette
from trainer.look.axes import Axes, plain, span, steps
from trainer.look.marks import Box, Chart, Dot, Line, Mark, Pixels, Point, Words, cut

WIDTH, FIELD = 360.0, 170.0  # of every chart, and how high the field of most is
ROW = 18.0  # of a legend, and of a bar
FEW = 30  # points of a curve get dots
WRITTEN = 26  # classes: more than that are pixels without numbers
CELL = 26.0
BINS = 20
MOST_LABEL = 180.0  # the room of a row's name


@dataclass(frozen=True, slots=True)
class Curve:
    """Values by epoch."""

    name: str
    points: Sequence[Point]


def curves(
    name: str,
    says: str,
    given: Sequence[Curve],
    under: str = "epoch",
    best: int | None = None,
    whole: bool = False,
) -> Chart:
    """Several curves on one field, with the epoch that was best."""
    legend, top = names([curve.name for curve in given] if len(given) > 1 else [])
    every = [point for curve in given for point in curve.points]
    x, y = [point[0] for point in every], span(point[1] for point in every)
    last = max(x) if max(x) > min(x) else min(x) + 1
    top += 0 if best is None else marks.SMALL
    place = Axes(axes.LEFT, top, WIDTH - axes.LEFT - axes.RIGHT, FIELD, (min(x), last), y)
    found: list[Mark] = [
        *legend,
        *place.drawn(under, epochs(min(x), last), steps(*y, whole=whole)),
    ]
    if best is not None and min(x) <= best <= last:
        foot = place.at(best, y[0])
        found.append(Line([(foot[0], top), foot], "faint", 1, (3, 3)))
        found.append(Words((foot[0], top - 3), "best", "middle", "faint"))
    for number, curve in enumerate(given):
        found += drawn(curve, number, place)
    return Chart(name, says, WIDTH, top + FIELD + axes.BOTTOM, found)


def epochs(first: float, last: float) -> list[float]:
    """Some of them, and the first one."""
    some = steps(first, last, 5, whole=True)
    near = (last - first) / 8
    return [first, *(each for each in some if each - first > near)]


def drawn(curve: Curve, number: int, place: Axes) -> Iterable[Mark]:
    """One curve; few points get dots that say their value."""
    colour, points = series(number), [p for p in curve.points if math.isfinite(p[1])]
    if points:
        yield Line([place.at(*point) for point in points], colour, 2, dashes(number))
    if len(points) <= FEW:
        for x, y in points:
            yield Dot(place.at(x, y), 2.5, colour, f"{curve.name} {x:g}: {y:.4g}")


def series(number: int) -> str:
    return f"s{number % marks.SERIES}"


def dashes(number: int) -> tuple[float, ...]:
    return marks.DASHES[number % len(marks.DASHES)]


def names(given: Sequence[str], solid: bool = False) -> tuple[list[Mark], float]:
    """A legend above the field, of lines or of bars, and where the field begins."""
    found: list[Mark] = []
    left, row = axes.LEFT, 0
    for number, name in enumerate(given):
        wide = 34 + len(name) * marks.SMALL * marks.LETTER
        if left + wide > WIDTH and left > axes.LEFT:
            left, row = axes.LEFT, row + 1
        height = ROW * row + 9
        ends = [(left, height), (left + 22, height)]
        line = Line(ends, series(number), 2, dashes(number))
        found.append(Box(left + 10, height - 6, 12, 12, series(number)) if solid else line)
        found.append(Words((left + 26, height + 4), name))
        left += wide
    return found, ROW * (row + 1) + 4 if given else 12.0


# ---- how sure ------------------------------------------------------------------------------------


def reliability(bins: Calibration) -> Chart:
    """How often it was right (dots) by how sure it was; on the line both are the same."""
    top = 12.0
    place = Axes(axes.LEFT, top, WIDTH - axes.LEFT - axes.RIGHT, FIELD + 60, (0, 1), (0, 1))
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1]
    labels = (percent, percent)
    found: list[Mark] = [*place.drawn("how sure it was", fifths, fifths, labels)]
    found.append(Line([place.at(0, 0), place.at(1, 1)], "faint", 1, (4, 3)))
    found.append(Words(place.at(0.02, 0.94), "how often it was right", "start", "faint"))
    there = [number for number in range(len(bins.images)) if bins.images[number]]
    points = [place.at(float(bins.confidence[n]), float(bins.accuracy[n])) for n in there]
    for number, (x, y) in zip(there, points, strict=True):
        _, ideal = place.at(0, float(bins.confidence[number]))
        found.append(Line([(x, ideal), (x, y)], "s1", 2))
    most = max(int(bins.images.max()), 1)
    for number, point in zip(there, points, strict=True):
        images, sure, right = (
            int(bins.images[number]),
            float(bins.confidence[number]),
            float(bins.accuracy[number]),
        )
        says = f"{images:,} images: {sure:.1%} sure, {right:.1%} right"
        found.append(Dot(point, 3 + 6 * math.sqrt(images / most), "s0", says))
    says = f"Reliability: expected calibration error {bins.error:.4f}"
    return Chart("calibration", says, WIDTH, top + FIELD + 60 + axes.BOTTOM, found)


def percent(value: float) -> str:
    return f"{value:.0%}"


# ---- bars ----------------------------------------------------------------------------------------


def histogram(
    name: str,
    says: str,
    values: Sequence[float],
    under: str,
    ends: tuple[float, float] | None = None,
    whole: bool = False,
) -> Chart:
    """How many images have which value; of whole numbers no half is written."""
    if whole and min(values) == max(values):
        ends = values[0] - BINS / 2, values[0] + BINS / 2
    counts, edges = np.histogram(np.asarray(values, np.float64), bins=BINS, range=ends)
    top, high = 12.0, float(max(int(counts.max(initial=0)), 1))
    across = float(edges[0]), float(edges[-1])
    place = Axes(axes.LEFT, top, WIDTH - axes.LEFT - axes.RIGHT, FIELD, across, (0, high * 1.05))
    found: list[Mark] = [
        *place.drawn(under, steps(*across, whole=whole), steps(0, high * 1.05, 4, whole=True))
    ]
    for number, images in enumerate(counts.tolist()):
        if images:
            left, up = place.at(float(edges[number]), images)
            right, _ = place.at(float(edges[number + 1]), 0)
            told = f"{plain(float(f'{edges[number]:.3g}'))} to "
            told += f"{plain(float(f'{edges[number + 1]:.3g}'))}: {images:,} images"
            found.append(
                Box(left + 0.5, up, max(right - left - 1, 1), place.floor - up, "s0", told)
            )
    return Chart(name, says, WIDTH, top + FIELD + axes.BOTTOM, found)


@dataclass(frozen=True, slots=True)
class Bar:
    """A name, and a number of each kind."""

    name: str
    values: tuple[int, ...]


def bars(name: str, says: str, given: Sequence[Bar], kinds: Sequence[str]) -> Chart:
    """Rows of stacked bars with the name of each and its numbers."""
    legend, top = names(kinds if len(kinds) > 1 else [], solid=True)
    longest = max((len(bar.name) for bar in given), default=0) * marks.SMALL * marks.LETTER
    label, tail = min(longest + 12, MOST_LABEL), 74.0
    most = max((sum(bar.values) for bar in given), default=0) or 1
    unit = (WIDTH - label - tail) / most
    found: list[Mark] = list(legend)
    for row, bar in enumerate(given):
        height, left = top + row * ROW, label
        written = cut(bar.name, label - 8)
        found.append(Words((label - 6, height + 13), written, "end", says=bar.name))
        for kind, value in enumerate(bar.values):
            if value:
                told = f"{bar.name}: {value:,} {kinds[kind]}"
                found.append(Box(left, height + 3, value * unit, ROW - 5, series(kind), told))
            left += value * unit
        numbers = " + ".join(f"{value:,}" for value in bar.values)
        found.append(Words((left + 5, height + 13), numbers, "start", "faint"))
    return Chart(name, says, WIDTH, top + ROW * max(len(given), 1) + 4, found)


# ---- what was taken for what ---------------------------------------------------------------------


def confusion(matrix: Counts, classes: Sequence[str]) -> Chart:
    """Rows are the truth; right answers blue, wrong ones orange, darker with their share."""
    says = f"Confusion matrix of {len(classes)} classes: rows are the truth, columns the answer"
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    small = len(classes) <= WRITTEN
    return (written if small else pixelled)(matrix, shares, classes, says)


def written(
    matrix: Counts, shares: "np.typing.NDArray[np.float64]", classes: Sequence[str], says: str
) -> Chart:
    """With a number in every cell that has one."""
    size = len(classes)
    longest = max(map(len, classes)) * marks.SMALL * marks.LETTER
    label, top = min(max(longest, 40.0), MOST_LABEL) + 30, 36.0
    side = max(CELL, min((WIDTH - label) / size, 60.0))
    width = max(WIDTH, label + size * side + 4)
    found: list[Mark] = [
        Words((label, 12), "answer →", "start", "faint"),
        Words((label - 6, top - 6), "truth ↓", "end", "faint"),
    ]
    for place, name in enumerate(classes):
        middle = label + (place + 0.5) * side
        found.append(Words((middle, top - 6), str(place), "middle", "faint", says=name))
        text = f"{cut(name, label - 36)} {place}"
        height = top + (place + 0.5) * side + 4
        found.append(Words((label - 6, height), text, "end", says=name))
    for row, column in zip(*matrix.nonzero(), strict=True):
        paint = palette.RIGHT if row == column else palette.WRONG
        colour = marks.mixed(paint, 0.12 + 0.88 * float(shares[row, column]))
        at = label + column * side, top + row * side
        times = int(matrix[row, column])
        told = f"{classes[row]} taken for {classes[column]}: {times:,}"
        found.append(Box(at[0], at[1], side - 1, side - 1, colour, told))
        where = at[0] + side / 2 - 0.5, at[1] + side / 2 + 4
        shown = f"{times}" if times < 10_000 else f"{times // 1000}k"
        size_ = min(marks.SMALL, (side - 3) / (len(shown) * marks.LETTER))
        found.append(Words(where, shown, "middle", marks.readable_on(colour), size_))
    edge = partial(Line, colour="grid")
    for number in range(size + 1):
        across, down = label + number * side - 0.5, top + number * side - 0.5
        found.append(edge([(label - 0.5, down), (label + size * side - 0.5, down)]))
        found.append(edge([(across, top - 0.5), (across, top + size * side - 0.5)]))
    return Chart("confusion", says, width, top + size * side + 4, found)


def pixelled(
    matrix: Counts, shares: "np.typing.NDArray[np.float64]", classes: Sequence[str], says: str
) -> Chart:
    """A pixel a cell: of many classes only the pattern can be seen."""
    size = len(classes)
    table = np.full((size, size, 3), 255.0)
    for row, column in zip(*matrix.nonzero(), strict=True):
        paint = np.array(palette.RIGHT if row == column else palette.WRONG)
        table[row, column] += (paint - 255) * (0.35 + 0.65 * shares[row, column])
    left, top, side = 50.0, 28.0, WIDTH - 50.0 - 14
    place = Axes(left, top, side, side, (0, size), (size, 0))
    found: list[Mark] = [
        Pixels(Image.fromarray(table.round().astype(np.uint8)), left, top, side, side),
        Words((left, 14), "truth ↓, answer →: numbers of classes", "start", "faint"),
    ]
    for number in steps(0, size, 5, whole=True):
        across, down = place.at(number, number)
        found.append(Words((left - 6, down + 4), f"{number:g}", "end", "faint"))
        found.append(Words((across, place.floor + 16), f"{number:g}", "middle", "faint"))
    for edge in ((0, 0, size, 0), (0, size, size, size), (0, 0, 0, size), (size, 0, size, size)):
        found.append(Line([place.at(*edge[:2]), place.at(*edge[2:])], "grid"))
    return Chart("confusion", says, WIDTH, top + side + 24, found)
