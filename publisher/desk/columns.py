"""Rows and columns for any width of terminal: what holds nothing is left out, ids are never cut.

Rich's tables cut the first column first and cost a second at 5,000 rows; this is one pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from publisher.desk.text import Line, Piece, fit, fit_ends, piece

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """How one column behaves when there is not enough room."""

    title: str
    least: int | None = None  # cells it may be cut down to; None: never cut
    want: int = 0  # cells it keeps as long as another one can still give
    drop: int = 0  # the highest goes first; 0 stays
    right: bool = False
    middle: bool = False  # is cut there

    def minimum(self, natural: int) -> int:
        return natural if self.least is None else min(self.least, natural)

    def comfort(self, natural: int) -> int:
        return max(self.minimum(natural), min(self.want, natural))


Rows = Sequence[Sequence[Piece]]


def layout(columns: Sequence[Column], rows: Rows, width: int) -> list[Line]:
    """A title line and a line a row, not wider than `width` where that can be had."""
    shown = shown_in(columns, rows, width)
    natural = {index: _natural(columns[index], rows, index) for index in shown}
    widths = _widths(columns, shown, natural, width)
    titles = [piece(column.title, "dim") for column in columns]
    return [_line(columns, row, shown, widths) for row in [titles, *rows]]


def shown_in(columns: Sequence[Column], rows: Rows, width: int) -> list[int]:
    """Which columns a table of this width has."""
    held = [index for index in range(len(columns)) if any(row[index].text for row in rows)]
    natural = {index: _natural(columns[index], rows, index) for index in held}
    return _that_fit([columns[index] for index in held], held, natural, width)


def _natural(column: Column, rows: Sequence[Sequence[Piece]], index: int) -> int:
    return max(len(column.title), *(row[index].width for row in rows))


def _that_fit(
    columns: Sequence[Column], shown: Sequence[int], natural: dict[int, int], width: int
) -> list[int]:
    """The columns that remain when the dispensable ones have gone, one by one."""
    kept = dict(zip(shown, columns, strict=True))

    def needed() -> int:
        cells = (column.minimum(natural[index]) for index, column in kept.items())
        return sum(cells) + GAP * (len(kept) - 1)

    while needed() > width and any(column.drop for column in kept.values()):
        del kept[max(kept, key=lambda index: kept[index].drop)]
    return list(kept)


def _widths(
    columns: Sequence[Column], shown: Sequence[int], natural: dict[int, int], width: int
) -> dict[int, int]:
    """Natural widths, less what is too much: first down to what columns want, then to the least."""
    widths = {index: natural[index] for index in shown}
    missing = sum(widths.values()) + GAP * (len(shown) - 1) - width
    flexible = [(index, columns[index]) for index in reversed(shown)]
    for limit in (Column.comfort, Column.minimum):
        for index, column in flexible:
            cut = max(min(missing, widths[index] - limit(column, widths[index])), 0)
            widths[index] -= cut
            missing -= cut
    return widths


def _line(
    columns: Sequence[Column], row: Sequence[Piece], shown: Sequence[int], widths: dict[int, int]
) -> Line:
    cells = [_cell(columns[index], row[index], widths[index]) for index in shown]
    parts = [part for cell in cells for part in (cell, Piece(" " * GAP))][:-1]
    while parts and not parts[-1].text.strip():
        parts.pop()
    if parts:
        parts[-1] = Piece(parts[-1].text.rstrip(), parts[-1].style)
    return parts


def _cell(column: Column, cell: Piece, width: int) -> Piece:
    if column.right and cell.width < width:
        return Piece(" " * (width - cell.width) + cell.text, cell.style)
    return fit_ends(cell, width) if column.middle else fit(cell, width)
