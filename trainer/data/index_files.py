"""Reads a split that is written down: which images train, which validate."""

import csv
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.components.data import IndexFiles
from trainer.data.images import Images, enumerate_some
from trainer.data.tables import read_table
from trainer.faults import DataFault

VALIDATES, TRAINS, LEFT_OUT = 0, -1, -2
COLUMNS = ("image_path", "index")


def read_index_files(split: IndexFiles, images: Images, data_root: Path) -> npt.NDArray[np.int64]:
    """The fold of each of the source's own images: 0 validates, -1 trains, -2 does neither."""
    folds = np.full(images.own, LEFT_OUT)
    train = read_indices(data_root / split.train, images)
    validate = read_indices(data_root / split.validate_on, images)
    if both := sorted(train & validate):
        names = enumerate_some([images.names[index] for index in both])
        raise DataFault(
            f"{len(both)} images are in {split.train} and in {split.validate_on}: {names}",
            fix="an image trains or validates, never both",
        )
    folds[sorted(train)] = TRAINS
    folds[sorted(validate)] = VALIDATES
    return folds


def read_indices(table: Path, images: Images) -> set[int]:
    """The images that a table names, by name or by their row in the source's own table."""
    head: list[str] = []
    with (
        suppress(OSError, UnicodeDecodeError, csv.Error),  # reading it all says what is wrong
        table.open(newline="", encoding="utf-8-sig") as file,
    ):
        head = next(csv.reader(file), [])
    column = next((name for name in COLUMNS if name in head), COLUMNS[0])
    lines = read_table(table, [column], "a column image_path with names, or index with row numbers")
    of_word = {name: index for index, name in enumerate(images.names[: images.own])}
    if column == "index":
        of_word = {str(index): index for index in range(images.own)}
    for line in lines:
        if line[column] not in of_word:
            raise line.fault(
                f"is no image of the source: {column}={line[column]!r}",
                "names as the source's table has them, or its rows counted from 0",
            )
    return {of_word[line[column]] for line in lines}
