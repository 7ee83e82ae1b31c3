"""Text for people: cleaned of what could move a cursor, in pieces that carry a style.

Knows neither terminals nor runs; `console` paints the pieces.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len, set_cell_size

# colours, cursor moves, window titles: the whole sequence goes, not only its first character
ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of clean text in one style; made by `piece`."""

    text: str
    style: str = ""

    @property
    def width(self) -> int:
        """Cells on a terminal; a CJK character takes two."""
        return len(self.text) if self.text.isascii() else cell_len(self.text)


Line = Sequence[Piece]
INDENT = 11  # cells of the labels of a page


def piece(text: object, style: str = "") -> Piece:
    """Any value as a piece; this is where the text of users is cleaned."""
    return Piece(clean(str(text)), style)


def line(*parts: Piece | str) -> Line:
    """A line out of pieces and plain text."""
    return [part if isinstance(part, Piece) else piece(part) for part in parts]


def clean(text: str) -> str:
    """The text on one line, without escapes: a run's name cannot colour, erase or reorder."""
    if text.isprintable():
        return text
    return "".join(_visible(character) for character in ESCAPES.sub("", text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) == "Cf" else "?"  # Cf: marks of direction, joiners


def fit(cell: Piece, width: int) -> Piece:
    """The piece in exactly so many cells: padded, or cut with an ellipsis."""
    if cell.width <= width:
        return Piece(cell.text + " " * (width - cell.width), cell.style)
    return Piece(set_cell_size(cell.text, width - 1) + "…", cell.style)


def fit_ends(cell: Piece, width: int) -> Piece:
    """The same, cut in the middle: names of one batch begin alike and differ in their ends."""
    room = (width - 1) // 2
    end = next(n for n in range(len(cell.text) + 1) if cell_len(cell.text[n:]) <= room)
    head = width - 1 - cell_len(cell.text[end:])
    if cell.width <= width or head < 1:
        return fit(cell, width)
    return Piece(f"{set_cell_size(cell.text, head)}…{cell.text[end:]}", cell.style)


def headline(name: str, word: str, state: Piece, width: int) -> Line:
    """`vit-b  7f3k2q   x FAILED`: a long name gives way, never the id."""
    shown = piece(name, "bold")
    room = max(width - len(word) - state.width - 5, 1)
    cut = fit(shown, room) if shown.width > room else shown
    return line(cut, "  ", piece(word, "bold"), "   ", state)


def labelled(label: str, texts: Iterable[str], width: int, indent: int = INDENT) -> list[Line]:
    """Texts beside one label, each on as many lines as it needs."""
    rows = [part for text in texts for part in wrap(clean(text), max(width - indent, 20))]
    heads = [label, *[""] * len(rows)]
    return [
        [piece(f"  {head:<{indent - 2}}", "dim"), piece(part)]
        for head, part in zip(heads, rows, strict=False)
    ]


def plain(parts: Line) -> str:
    """The line without its styles."""
    return "".join(part.text for part in parts)
