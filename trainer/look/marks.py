"""What a chart is made of: lines, boxes and words on a sheet. Pure; SVG and PNG are drawn from it.

A colour is `#rrggbb`, or a role that page and picture give a colour each: ink, faint, grid, good,
bad, and s0 .. s7 for series.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]
SMALL = 12.0  # the size of letters; a sheet is as wide as a small phone, so they stay as large
LETTER = 0.6  # of a size: how wide a letter is at most, on average
# of a series beside its colour, for whoever sees none
DASHES: tuple[tuple[float, ...], ...] = ((), (6, 3), (2, 3), (9, 3, 2, 3))
SERIES = 8


@dataclass(frozen=True, slots=True)
class Line:
    """From point to point."""

    points: Sequence[Point]
    colour: str = "ink"
    width: float = 1.0
    dashes: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle; `says` is told to whoever points at it."""

    left: float
    top: float
    width: float
    height: float
    colour: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class Dot:
    """A filled circle."""

    at: Point
    radius: float
    colour: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; its baseline begins, has its middle or ends at a point."""

    at: Point
    text: str
    anchor: Anchor = "start"
    colour: str = "ink"
    size: float = SMALL
    says: str = ""


@dataclass(frozen=True, slots=True)
class Pixels:
    """A small picture, of which each pixel becomes a square."""

    picture: Image.Image
    left: float
    top: float
    width: float
    height: float


Mark = Line | Box | Dot | Words | Pixels


@dataclass(frozen=True, slots=True)
class Chart:
    """A sheet of so many units, what is on it, and what it shows in one sentence."""

    name: str  # of its file
    says: str
    width: float
    height: float
    marks: Sequence[Mark]


def cut(text: str, width: float, size: float = SMALL) -> str:
    """As much of a text as there is room for."""
    room = max(1, int(width / (size * LETTER)))
    return text if len(text) <= room else f"{text[: max(1, room - 1)]}…"


def mixed(colour: tuple[int, int, int], share: float) -> str:
    """White with so much of a colour."""
    red, green, blue = (round(255 + (part - 255) * share) for part in colour)
    return f"#{red:02x}{green:02x}{blue:02x}"


def readable_on(paper: str) -> str:
    """Black or white, whichever stands out more: on any colour that is 4.5 to 1 at least."""
    return "#000000" if contrast(paper, "#000000") >= contrast(paper, "#ffffff") else "#ffffff"


def contrast(one: str, other: str) -> float:
    """Of two colours, as WCAG counts it: 1 to 21."""
    dark, light = sorted((brightness(one), brightness(other)))
    return (light + 0.05) / (dark + 0.05)


def brightness(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
