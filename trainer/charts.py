"""Charts as SVG text, for a page that must carry everything in itself. Pure; knows no runs."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # told apart by everybody (Okabe and Ito)
WIDTH, HEIGHT = 330, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 22
GRID, INK, QUIET = "#e3e6ea", "#24292f", "#6a737d"
MAP_SIDE = 460  # of a confusion matrix


def lines(title: str, series: Mapping[str, Points], mark: float | None = None) -> str:
    """Curves over one axis; `mark` is where the best epoch was."""
    every = [point for points in series.values() for point in points]
    if not every:
        return ""
    x_low, x_high = ends([x for x, _ in every])
    y_low, y_high = padded(*ends([y for _, y in every]))

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        down = TOP + (y_high - y) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    parts = [text(LEFT, 14, title, bold=True)]
    for value in ticks(y_low, y_high):
        _, y = place(x_low, value)
        parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(text(LEFT - 5, y + 4, f"{value:g}", anchor="end", colour=QUIET))
    for value in {x_low, x_high} if x_low != x_high else {x_low}:
        x, _ = place(value, y_low)
        parts.append(text(x, HEIGHT - 6, f"{value:g}", anchor="middle", colour=QUIET))
    if mark is not None:
        x, _ = place(mark, y_low)
        line = f'<path d="M{x} {TOP}V{HEIGHT - BOTTOM}" stroke="{QUIET}" stroke-dasharray="3 3"/>'
        parts.append(line)
    for colour, (name, points) in zip(COLOURS, series.items(), strict=False):
        parts.append(curve([place(*point) for point in points], colour, name))
    return svg(WIDTH, HEIGHT, [*parts, *legend(list(series))])


def curve(points: Points, colour: str, name: str) -> str:
    """A line, with dots where there are few."""
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="2.5"/>' for x, y in points if len(points) <= 30)
    return (
        f'<g fill="{colour}" stroke="none"><title>{escape(name)}</title>{dots}'
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/></g>'
    )


def legend(names: Sequence[str]) -> list[str]:
    """Names in their colours, at the top right."""
    parts, x = [], float(WIDTH - RIGHT)
    for name, colour in reversed(list(zip(names, COLOURS, strict=False))):
        parts.append(text(x, 14, name, anchor="end", colour=colour, bold=True))
        x -= 12 + 6.8 * len(name)
    return parts if len(names) > 1 else []


def calibration(bins: Sequence[tuple[float, float, int]]) -> str:
    """How often right (y) where so sure (x); on the diagonal confidence keeps its word."""
    side, most = HEIGHT, max((images for *_, images in bins), default=1) or 1
    inner = side - 2 * TOP

    def place(x: float, y: float) -> tuple[float, float]:
        return round(LEFT + x * inner, 1), round(side - TOP - y * inner, 1)

    (x0, y0), (x1, y1) = place(0, 0), place(1, 1)
    parts = [
        text(LEFT, 14, "how often right, by how sure", bold=True),
        f'<rect x="{x0}" y="{y1}" width="{inner}" height="{inner}" fill="none" stroke="{GRID}"/>',
        f'<path d="M{x0} {y0}L{x1} {y1}" stroke="{QUIET}" stroke-dasharray="3 3"/>',
    ]
    for value in (0.0, 0.5, 1.0):
        x, y = place(value, value)
        parts.append(text(x, side - 8, f"{value:g}", anchor="middle", colour=QUIET))
        parts.append(text(x0 - 5, y + 4, f"{value:g}", anchor="end", colour=QUIET))
    for sure, right, images in bins:
        if images:
            x, y = place(sure, right)
            radius = round(2 + 6 * math.sqrt(images / most), 1)
            told = f"{images} images: {sure:.0%} sure, {right:.0%} right"
            parts.append(
                f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{COLOURS[0]}" fill-opacity="0.7">'
                f"<title>{told}</title></circle>"
            )
    return svg(LEFT + inner + 60, side, parts)


def matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """A confusion matrix: rows are the truth, and dark is a large share of a row."""
    number = len(classes)
    cell = min(34.0, MAP_SIDE / number)
    room = 8 + 6 * min(18, max(map(len, classes)))
    parts = []
    for row, (name, line) in enumerate(zip(classes, counts, strict=True)):
        whole = sum(line) or 1
        y = round(room + row * cell, 1)
        if cell >= 9:
            down = y + cell / 2 + 3.5
            parts.append(text(room - 5, down, cut(name), anchor="end", size=min(11, cell)))
            parts.append(turned(room + (row + 0.6) * cell, room - 5, cut(name), min(11, cell)))
        for column, times in enumerate(line):
            if not times:
                continue
            x, share = round(room + column * cell, 1), times / whole
            colour = COLOURS[0] if row == column else COLOURS[1]
            told = f"{escape(name)} taken for {escape(classes[column])}: {times}"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell:.1f}" height="{cell:.1f}" fill="{colour}" '
                f'fill-opacity="{0.12 + 0.88 * share:.2f}"><title>{told}</title></rect>'
            )
            if cell >= 18:
                ink = "#fff" if share > 0.5 else INK
                middle = x + cell / 2
                parts.append(text(middle, y + cell / 2 + 4, str(times), "middle", ink, size=10))
    side = number * cell
    parts.append(
        f'<rect x="{room}" y="{room}" width="{side:.1f}" height="{side:.1f}" fill="none" '
        f'stroke="{QUIET}"/>'
    )
    return svg(room + side + 4, room + side + 4, parts)


# ---- pieces --------------------------------------------------------------------------------------


def svg(width: float, height: float, parts: Sequence[str]) -> str:
    """A chart that shrinks with the page."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" role="img">{"".join(parts)}</svg>'
    )


def text(
    x: float,
    y: float,
    words: str,
    anchor: str = "start",
    colour: str = INK,
    *,
    bold: bool = False,
    size: float = 11,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}" '
        f'font-size="{size:g}"{weight}>{escape(words)}</text>'
    )


def turned(x: float, y: float, words: str, size: float) -> str:
    return (
        f'<text transform="translate({x:.1f} {y:.1f}) rotate(-90)" fill="{INK}" '
        f'font-size="{size:g}">{escape(words)}</text>'
    )


def cut(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:15]}..."


def ends(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low, low + 1)


def padded(low: float, high: float) -> tuple[float, float]:
    """A little air above and below."""
    air = (high - low) * 0.06
    return low - air, high + air


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between them."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [round(step * number, 12) for number in range(first, math.floor(high / step) + 1)]
