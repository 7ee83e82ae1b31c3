"""A chart as a picture of its own, for slides and chats: the same marks on light paper."""

from functools import singledispatch
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from trainer.look import palette
from trainer.look.marks import SMALL, Box, Chart, Dot, Line, Pixels, Point, Words

SCALE = 2  # pixels a unit, as sharp screens have them
FINE = 2  # drawn so many times larger, then smoothed
MOST = 2400  # pixels across
HEAD = 22.0  # units for what it shows
INK = palette.LIGHT["ink"]


class Pen:
    """Draws marks on a large sheet."""

    def __init__(self, chart: Chart) -> None:
        self.scale = FINE * min(SCALE, MOST / chart.width)
        size = round(chart.width * self.scale), round(chart.height * self.scale)
        self.sheet = Image.new("RGB", size, palette.LIGHT["paper"])
        self.draw = ImageDraw.Draw(self.sheet)

    def at(self, point: Point) -> Point:
        return point[0] * self.scale, point[1] * self.scale


def picture(chart: Chart) -> Image.Image:
    """The whole chart, below what it shows."""
    pen = Pen(chart)
    for mark in chart.marks:
        put(mark, pen)
    width, height = pen.sheet.width // FINE, pen.sheet.height // FINE
    head = round(HEAD * pen.scale / FINE)
    whole = Image.new("RGB", (width, height + head), palette.LIGHT["paper"])
    whole.paste(pen.sheet.resize((width, height), Image.Resampling.LANCZOS), (0, head))
    font = fitting(chart.says, SMALL * 1.1 * pen.scale / FINE, width * 0.96)
    ImageDraw.Draw(whole).text((width * 0.02, head * 0.7), chart.says, INK, font, "ls")
    return whole


def fitting(text: str, size: float, width: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Letters in which it takes one line."""
    whole = ImageFont.load_default(size).getlength(text)
    return ImageFont.load_default(size * min(1.0, width / max(whole, 1.0)))


@singledispatch
def put(mark: object, pen: Pen) -> None:
    """Draw one mark."""
    raise TypeError(f"no picture for {mark!r}")


@put.register
def _(mark: Line, pen: Pen) -> None:
    width = max(1, round(mark.width * pen.scale))
    for stroke in strokes(mark) if mark.dashes else [mark.points]:
        pen.draw.line([pen.at(p) for p in stroke], paint(mark.colour), width, joint="curve")


@put.register
def _(mark: Box, pen: Pen) -> None:
    ends = pen.at((mark.left, mark.top)), pen.at((mark.left + mark.width, mark.top + mark.height))
    pen.draw.rectangle(ends, paint(mark.colour))


@put.register
def _(mark: Dot, pen: Pen) -> None:
    pen.draw.circle(pen.at(mark.at), mark.radius * pen.scale, paint(mark.colour))


@put.register
def _(mark: Words, pen: Pen) -> None:
    font = ImageFont.load_default(mark.size * pen.scale)
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
    text = mark.text.replace("→", "").replace("↓", "")  # PIL's own letters have no arrows
    pen.draw.text(pen.at(mark.at), text, paint(mark.colour), font, anchor)


@put.register
def _(mark: Pixels, pen: Pen) -> None:
    size = round(mark.width * pen.scale), round(mark.height * pen.scale)
    left, top = pen.at((mark.left, mark.top))
    pen.sheet.paste(mark.picture.resize(size, Image.Resampling.NEAREST), (round(left), round(top)))


def paint(colour: str) -> str:
    return colour if colour.startswith("#") else palette.LIGHT[colour]


def strokes(mark: Line) -> list[list[Point]]:
    """The dashes of a line; they go on round its corners."""
    found: list[list[Point]] = []
    place, left = 0, mark.dashes[0]
    for (x, y), (to_x, to_y) in pairwise(mark.points):
        long = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
        done = 0.0
        while long - done > 1e-6:
            step = min(left, long - done)
            if place % 2 == 0:
                ends = [
                    (x + (to_x - x) * d / long, y + (to_y - y) * d / long)
                    for d in (done, done + step)
                ]
                found.append(ends)
            done, left = done + step, left - step
            if left <= 1e-6:
                place += 1
                left = mark.dashes[place % len(mark.dashes)]
    return found
