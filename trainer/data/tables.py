"""Reads the tables that people write: a column that is missing or a cell that makes no sense is
one line with its place.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import WIDEST, count
from trainer.data.images import enumerate_some
from trainer.faults import DataFault

FIX_ROOT = "check data.source, and that TRAINQ_DATA (or --data) is the folder it is below"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table; `number` is its line in the file."""

    table: Path
    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def fault(self, what: str, fix: str) -> DataFault:
        """What is wrong with this line."""
        return DataFault(f"{self.table} line {self.number} {what}", fix=fix)


def read_table(table: Path, columns: Sequence[str], fix: str, *, empty: bool = False) -> list[Line]:
    """The lines of a table that has these columns, each cell without the spaces around it."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                there = ", ".join(reader.fieldnames or ()) or "none"
                what = f"{table} has no column {', '.join(missing)}: it has {there[:WIDEST]}"
                raise DataFault(what, fix=fix)
            if twins := [name for name in columns if (reader.fieldnames or ()).count(name) > 1]:
                raise DataFault(f"{table} has two columns {twins[0]}", fix="take one of them out")
            lines = [
                Line(table, reader.line_num, {name: (row[name] or "").strip() for name in columns})
                for row in reader
            ]
    except OSError as error:
        raise DataFault(f"cannot read {table}: {error.strerror}", fix=FIX_ROOT) from error
    except (UnicodeDecodeError, csv.Error) as error:
        what = f"{table} is no table of comma-separated UTF-8 text: {error}"
        raise DataFault(what, fix="save it as CSV, UTF-8") from error
    if not lines and not empty:
        raise DataFault(f"{table} names no image", fix=fix)
    return lines


def refuse_twins(names: Sequence[str], where: str) -> None:
    """An image listed twice could be trained on and validate as well."""
    twins = [name for name, times in Counter(names).items() if times > 1]
    if twins:
        raise DataFault(
            f"{where} lists {count(len(twins), 'image')} more than once: {enumerate_some(twins)}",
            fix="one row an image: a twin could train and validate at once",
        )


def refuse_repeats(lines: Sequence[Line], names: Sequence[str]) -> None:
    """An image of the test set that is listed twice would be answered twice."""
    places: dict[str, list[str]] = {}
    for line, name in zip(lines, names, strict=True):
        places.setdefault(name, []).append(str(line.number))
    twins = [f"{name} (lines {', '.join(on)})" for name, on in places.items() if len(on) > 1]
    if twins:
        raise DataFault(
            f"{lines[0].table} lists {count(len(twins), 'test image')} more than once: "
            f"{enumerate_some(twins)}",
            fix="one row an image, as the answers have one: take the repeated rows out",
        )


def image_below(line: Line, column: str) -> str:
    """The file name of an image, which may not lead out of its folder."""
    name = line[column]
    if not name or "\0" in name or name.startswith("/") or ".." in name.split("/"):
        raise line.fault(
            f"names no image below the data root: {column}={name!r}",
            "a file name relative to the folder of images, without '..'",
        )
    return name
