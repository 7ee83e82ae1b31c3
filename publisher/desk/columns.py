"""Rows and columns for any width of terminal: what holds nothing is left out, ids are never cut.

Rich's tables cut the first column first and cost a second at 5,000 rows; this is one pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from publisher.desk.text import Line, Piece, fit, fit_ends, piece

GAP = 2
TIGHT = 8  # cells that a text keeps on a terminal as narrow as a telephone


@dataclass(frozen=True, slots=True)
class Column:
    """How one column behaves when there is not enough room."""

    title: str
    least: int | None = None  # cells it may be cut down to; None: never cut
    want: int = 0  # cells it keeps as long as another one can still give
    drop: int = 0  # the highest goes first; 0 stays
    right: bool = False
    middle: bool = False  # is cut there
    below: bool = False  # stands on a line of its own where nothing else helps

    def minimum(self, natural: int) -> int:
        return natural if self.least is None else min(self.least, natural)

    def comfort(self, natural: int) -> int:
        return max(self.minimum(natural), min(self.want, natural))


Rows = Sequence[Sequence[Piece]]


@dataclass(frozen=True, slots=True)
class _Table:
    """Which columns stand beside each other, how wide, and which one below them."""

    columns: Sequence[Column]
    widths: dict[int, int]
    below: int | None = None


def layout(columns: Sequence[Column], rows: Rows, width: int) -> list[Line]:
    """A title line and a line a row, not wider than `width` where that can be had."""
    table = _table(columns, rows, width)
    lines = [_line(table, [piece(column.title, "dim") for column in columns])]
    for row in rows:
        lines.append(_line(table, row))
        if table.below is not None and row[table.below].text:
            lines.append(_indented(row[table.below], width))
    return lines


def shown_in(columns: Sequence[Column], rows: Rows, width: int) -> list[int]:
    """Which columns a table of this width has beside each other."""
    return list(_table(columns, rows, width).widths)


def _table(columns: Sequence[Column], rows: Rows, width: int) -> _Table:
    held = [index for index in range(len(columns)) if any(row[index].text for row in rows)]
    natural = {index: _natural(columns[index], rows, index) for index in held}
    shown = _that_fit(columns, held, natural, width)
    below = next((index for index in shown if columns[index].below), None)
    if below is None or _needed(columns, shown, natural) <= width:
        return _Table(columns, _widths(columns, shown, natural, width))
    tight = [c if c.least is None else replace(c, least=min(c.least, TIGHT)) for c in columns]
    beside = _that_fit(tight, [index for index in held if index != below], natural, width)
    return _Table(tight, _widths(tight, beside, natural, width), below)


def _natural(column: Column, rows: Sequence[Sequence[Piece]], index: int) -> int:
    return max(len(column.title), *(row[index].width for row in rows))


def _needed(columns: Sequence[Column], shown: Sequence[int], natural: dict[int, int]) -> int:
    """The least width of these columns beside each other."""
    return sum(columns[i].minimum(natural[i]) for i in shown) + GAP * (len(shown) - 1)


def _that_fit(
    columns: Sequence[Column], shown: Sequence[int], natural: dict[int, int], width: int
) -> list[int]:
    """The columns that remain when the dispensable ones have gone, one by one."""
    kept = list(shown)
    while _needed(columns, kept, natural) > width and any(columns[i].drop for i in kept):
        kept.remove(max(kept, key=lambda index: columns[index].drop))
    return kept


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


def _line(table: _Table, row: Sequence[Piece]) -> Line:
    cells = [_cell(table.columns[index], row[index], cut) for index, cut in table.widths.items()]
    parts = [part for cell in cells for part in (cell, Piece(" " * GAP))][:-1]
    while parts and not parts[-1].text.strip():
        parts.pop()
    if parts:
        parts[-1] = Piece(parts[-1].text.rstrip(), parts[-1].style)
    return parts


def _indented(cell: Piece, width: int) -> Line:
    shown = fit(cell, max(min(cell.width, width - GAP), 1))
    return [Piece(" " * GAP), shown]


def _cell(column: Column, cell: Piece, width: int) -> Piece:
    if column.right and cell.width < width:
        return Piece(" " * (width - cell.width) + cell.text, cell.style)
    return fit_ends(cell, width) if column.middle else fit(cell, width)
