"""Reads the users' sketch layout: a table of labels and a folder of images a class.

Whatever is wrong with the data is said here, all of it, before anything is trained.
"""

import csv
import hashlib
import logging
import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.components.data import SketchCsv
from schemas.errors import count
from trainer.faults import DataFault

COLUMNS = ("class_name", "image_path", "target")
NAMED = 20  # missing images that the one-line error names; the log has them all
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Images:
    """Where the images are, what each shows, and what the classes are called."""

    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]  # as the table has them
    digest: str  # of names and targets: the same split of other data would be another split


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled image of the table."""

    line: int
    class_name: str
    image: str
    target: int


def read(source: SketchCsv, data_root: Path, alive: Callable[[], None]) -> Images:
    """The data set, after every image was seen to be there."""
    root = data_root / source.root
    table = root / source.train_csv
    rows = read_table(table)
    classes = class_names(rows, table)
    refuse_twins(rows, table)
    paths = tuple(root / source.images / row.image for row in rows)
    refuse_missing(paths, root, alive)
    labels = "".join(f"{row.image}\t{row.target}\n" for row in rows)
    digest = hashlib.sha256(labels.encode()).hexdigest()
    targets, names = tuple(row.target for row in rows), tuple(row.image for row in rows)
    return Images(paths, targets, classes, names, digest)


def read_table(table: Path) -> list[Row]:
    """The rows of the table; a cell that makes no sense is named with its line."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataFault(f"{table} has no column {', '.join(missing)}", fix=FIX_COLUMNS)
            rows = [parse_row(table, reader.line_num, cells) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFault(f"cannot read {table}: {error}", fix=FIX_ROOT) from error
    if not rows:
        raise DataFault(f"{table} names no image", fix=FIX_COLUMNS)
    return rows


FIX_COLUMNS = f"the table needs the columns {','.join(COLUMNS)} and a row an image"
FIX_ROOT = "check data.source, and that TRAINQ_DATA (or --data) is the folder it is below"


def parse_row(table: Path, line: int, cells: dict[str, str | None]) -> Row:
    """One row as values."""
    name, image, target = (cells[column] or "" for column in COLUMNS)
    if not name or not image or not target.isascii() or not target.isdigit():
        raise DataFault(
            f"{table} line {line} is no labelled image: class_name={name!r}, "
            f"image_path={image!r}, target={target!r}",
            fix="a row needs a class name, an image and a target of 0 or more",
        )
    return Row(line, name, image, int(target))


def class_names(rows: list[Row], table: Path) -> tuple[str, ...]:
    """The classes by target. A class has one target, a target one class, and none is left out."""
    target_of: dict[str, Row] = {}
    class_of: dict[int, Row] = {}
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


def refuse_twins(rows: list[Row], table: Path) -> None:
    """An image listed twice could be trained on and validate as well."""
    twins = [image for image, times in Counter(row.image for row in rows).items() if times > 1]
    if twins:
        raise DataFault(
            f"{table} lists {count(len(twins), 'image')} more than once: {enumerate_some(twins)}",
            fix="one row an image: a twin could train and validate at once",
        )


def refuse_missing(paths: tuple[Path, ...], root: Path, alive: Callable[[], None]) -> None:
    """Every image must be there and readable, or all that are not are named."""
    bad: list[str] = []
    for path in paths:
        alive()
        if why := trouble(path):
            bad.append(path.relative_to(root).as_posix())
            LOG.error("image %s %s", path, why)
    if bad:
        raise DataFault(
            f"{len(bad)} of {len(paths)} images are missing or unreadable: {enumerate_some(bad)}",
            where=str(root),
            fix="restore them, or take their rows out of the table; the log says what each lacks",
        )


def trouble(path: Path) -> str:
    """Why this file cannot be an image; empty when it may be one."""
    try:
        facts = path.stat()
    except OSError as error:
        return f"is missing ({error.strerror})"
    if not stat.S_ISREG(facts.st_mode):
        return "is not a file"
    if facts.st_size == 0:
        return "is empty"
    return "" if os.access(path, os.R_OK) else "may not be read"


def enumerate_some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
