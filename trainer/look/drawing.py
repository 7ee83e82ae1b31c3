"""Draws a contact sheet: rows of pictures with a word to each. Knows nothing of what they show."""

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
SIDE, GAP, LINE, NAME = 144, 8, 16, 160  # pixels: a picture, between two, a line of text, a name
LINES = 2  # of words below a picture
PAPER, INK, FAINT, EDGE = (255, 255, 255), (20, 20, 20), (110, 110, 110), (200, 200, 200)


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture, and what is to be said of it."""

    picture: Image.Image
    words: str = ""  # below it, on lines of their own


@dataclass(frozen=True, slots=True)
class Strip:
    """A row: its name, its pictures, and the heads of its columns where they are others."""

    name: str
    cells: Sequence[Cell | None]  # None: nothing in this column
    heads: Sequence[str] = ()


def sheet(title: str, strips: Sequence[Strip]) -> Image.Image:
    """All strips below each other, under one title."""
    columns = max(len(strip.cells) for strip in strips)
    height = 2 * GAP + LINE + sum(height_of(strip) for strip in strips)
    made = Image.new("RGB", (NAME + columns * (SIDE + GAP) + GAP, height), PAPER)
    pen, font = ImageDraw.Draw(made), ImageFont.load_default(12)
    pen.text((GAP, GAP), fitted(title, made.width - 2 * GAP, font), INK, font)
    top = 2 * GAP + LINE
    for strip in strips:
        draw(made, strip, top, font)
        top += height_of(strip)
    return made


def height_of(strip: Strip) -> int:
    return SIDE + LINES * LINE + GAP + (LINE if strip.heads else 0)


def draw(made: Image.Image, strip: Strip, top: int, font: Font) -> None:
    """One row of pictures."""
    pen = ImageDraw.Draw(made)
    below = top + (LINE if strip.heads else 0)
    for number, head in enumerate(strip.heads):
        pen.text((left_of(number), top), fitted(head, SIDE, font), FAINT, font)
    for row, line in enumerate(broken(strip.name, NAME - 2 * GAP, font)[: SIDE // LINE]):
        pen.text((GAP, below + row * LINE), line, INK, font)
    for number, cell in enumerate(strip.cells):
        if cell is None:
            continue
        left = left_of(number)
        shown = enlarged(cell.picture)
        made.paste(shown, (left, below))
        pen.rectangle((left - 1, below - 1, left + shown.width, below + shown.height), None, EDGE)
        for row, line in enumerate(broken(in_lines(cell.words, SIDE, font), SIDE, font)[:LINES]):
            pen.text((left, below + SIDE + row * LINE), line, FAINT, font)


def left_of(column: int) -> int:
    return NAME + column * (SIDE + GAP)


def enlarged(picture: Image.Image) -> Image.Image:
    """To the side of a cell; pixels stay to be seen where there are few."""
    few = max(picture.size) < SIDE
    way = Image.Resampling.NEAREST if few else Image.Resampling.LANCZOS
    return ImageOps.contain(picture.convert("RGB"), (SIDE, SIDE), way)


def fitted(words: str, width: int, font: Font) -> str:
    """As much of the words as there is room for."""
    if font.getlength(words) <= width:
        return words
    return next(
        short
        for end in range(len(words) - 1, -1, -1)
        if font.getlength(short := f"{words[:end]}...") <= width
    )


def in_lines(words: str, width: int, font: Font) -> str:
    """Words that are too long lose their middle: names of files differ at their ends."""
    if "\n" in words or len(broken(words, width, font)) <= LINES:
        return words

    def without(kept: int) -> str:
        return f"{words[: kept // 2]}...{words[len(words) - (kept - kept // 2) :]}"

    kept = bisect_right(
        range(len(words)), LINES, key=lambda n: len(broken(without(n), width, font))
    )
    return without(kept - 1)


def broken(words: str, width: int, font: Font) -> list[str]:
    """Words in lines, of which none is wider."""
    return [line for part in words.split("\n") for line in cut(part, width, font)]


def cut(words: str, width: int, font: Font) -> Iterator[str]:
    """The same of words without an end of line. What takes time is to measure them."""
    while font.getlength(words) > width and len(words) > 1:
        ends = range(2, len(words))  # a line has a letter, however wide
        fits = 1 + bisect_right(ends, float(width), key=lambda end: font.getlength(words[:end]))
        yield words[:fits]
        words = words[fits:]
    yield words


def jpeg(picture: Image.Image) -> bytes:
    """What photographs cost least in: a tenth of a PNG's time, a fifth of its size."""
    file = io.BytesIO()
    picture.save(file, "JPEG")
    return file.getvalue()


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
