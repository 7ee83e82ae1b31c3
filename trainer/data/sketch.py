"""Reads the users' sketch layout: a table of labels and a folder of images a class."""

from dataclasses import dataclass
from pathlib import Path

from schemas.components.sources import SketchCsv
from trainer.data.images import Row
from trainer.data.tables import image_below, read_table
from trainer.faults import DataFault

COLUMNS = ("class_name", "image_path", "target")
FIX_COLUMNS = f"the table needs the columns {','.join(COLUMNS)} and a row an image"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row of the table."""

    line: int
    class_name: str
    image: str
    target: int


def read(source: SketchCsv, data_root: Path) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of the table and the classes."""
    root = data_root / source.root
    table = root / source.train_csv
    found = read_rows(table)
    folder = root / source.images
    rows = [Row(each.image, folder / each.image, each.target) for each in found]
    return rows, class_names(found, table)


def read_rows(table: Path) -> list[Labelled]:
    """The rows of the table; a cell that makes no sense is named with its line."""
    rows = []
    for line in read_table(table, COLUMNS, FIX_COLUMNS):
        name, image, target = (line[column] for column in COLUMNS)
        if not name or not image or not target.isascii() or not target.isdigit():
            raise line.fault(
                f"is no labelled image: class_name={name!r}, image_path={image!r}, "
                f"target={target!r}",
                "a row needs a class name, an image and a target of 0 or more",
            )
        rows.append(Labelled(line.number, name, image_below(line, "image_path"), int(target)))
    return rows


def class_names(rows: list[Labelled], table: Path) -> tuple[str, ...]:
    """The classes by target. A class has one target, a target one class, and none is left out."""
    target_of: dict[str, Labelled] = {}
    class_of: dict[int, Labelled] = {}
    for row in rows:
        for first in (
            target_of.setdefault(row.class_name, row),
            class_of.setdefault(row.target, row),
        ):
            if (first.class_name, first.target) != (row.class_name, row.target):
                raise DataFault(
                    f"{table} contradicts itself: {first.class_name!r} is {first.target} in line "
                    f"{first.line}, {row.class_name!r} is {row.target} in line {row.line}",
                    fix="a class has one target and a target one class",
                )
    gaps = sorted(set(range(len(class_of))) - set(class_of))
    if gaps:
        raise DataFault(
            f"{table} has {len(class_of)} classes but no target {gaps[0]}",
            fix="targets count from 0 without a gap",
        )
    if len(class_of) < 2:
        raise DataFault(f"{table} has only one class", fix="learning needs at least two classes")
    return tuple(class_of[target].class_name for target in range(len(class_of)))
