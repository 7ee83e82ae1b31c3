"""Suspected labels as tables that the data section takes: `relabel` of the mask layout, a corrected
copy of the table of the others.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from functools import singledispatch
from pathlib import Path

from schemas.components.sources import GENDERS, MASKS, Ages, Csv, Mask, SketchCsv, Source
from schemas.errors import UsageError
from trainer.data import mask
from trainer.data.images import enumerate_some
from trainer.data.mask import Face
from trainer.data.tables import FIX_ROOT, read_table
from trainer.faults import DataFault

Labels = Mapping[str, int]  # of images, by name


@singledispatch
def corrected(source: object, labels: Labels, classes: Sequence[str], data_root: Path) -> bytes:
    """The table with these labels; the config names it."""
    raise UsageError(
        "this layout has no table that labels could be corrected in",
        fix="move the files, or list them in a table: data.source.kind=csv",
    )


@corrected.register
def _(source: SketchCsv, labels: Labels, classes: Sequence[str], data_root: Path) -> bytes:
    table = data_root / source.root / source.train_csv
    columns, rows = read(table)
    for row in rows:
        if (label := labels.get(row["image_path"].strip())) is not None:
            row |= {"class_name": classes[label], "target": str(label)}
    return written(columns, rows)


@corrected.register
def _(source: Csv, labels: Labels, classes: Sequence[str], data_root: Path) -> bytes:
    table = data_root / source.root / source.csv
    columns, rows = read(table)
    for row in rows:
        if (label := labels.get(row[source.image].strip())) is not None:
            row[source.label] = classes[label]
    return written(columns, rows)


@corrected.register
def _(source: Mask, labels: Labels, classes: Sequence[str], data_root: Path) -> bytes:
    """Beside the rows that `relabel` has already."""
    root = data_root / source.root
    faces, before = list(mask.people(root / source.images)), []
    if source.relabel:
        table = root / source.relabel
        faces = mask.relabelled(faces, read_table(table, mask.RELABEL, ",".join(mask.RELABEL)))
        before = read(table)[1]
    by_name = {face.name: face for face in faces}
    if away := [name for name in labels if name not in by_name]:
        raise DataFault(f"{root / source.images} lacks {enumerate_some(away)}")
    rows = [relabel(by_name[name], label, source) for name, label in labels.items()]
    return written(mask.RELABEL, [*before, *rows])


def relabel(face: Face, label: int, source: Mask) -> dict[str, str]:
    """A row that makes a picture be of another class: only what differs, an age the nearest."""
    worn, gender, group = {
        "all": (label // 6, label // 3 % 2, label % 3),
        "mask": (label, None, None),
        "gender": (None, label, None),
        "age": (None, None, label),
    }[source.task]
    row = {"id": face.person, "image": face.stem, "mask": "", "gender": "", "age": ""}
    if worn is not None and MASKS[worn] != face.mask:
        row["mask"] = MASKS[worn]
    if gender is not None and GENDERS[gender] != face.gender:
        row["gender"] = GENDERS[gender]
    if group is not None and mask.age_group(face.age, source.age_limits) != group:
        row["age"] = str(nearest(face.age, group, source.age_limits))
    return row


def nearest(age: int, group: int, limits: Ages) -> int:
    """The age of a group that is nearest to another age."""
    low, high = ((0, limits[0] - 1), (limits[0], limits[1] - 1), (limits[1], 150))[group]
    return min(max(age, low), high)


def tables(source: Source, data_root: Path) -> list[Path]:
    """What it reads its labels from: nothing else may be written there."""
    root = data_root / source.root
    names = [getattr(source, key, None) for key in ("relabel", "train_csv", "csv")]
    return [root / name for name in names if name]


def key_for(source: Source) -> str:
    """Where a config names the table."""
    return {"mask": "relabel", "sketch_csv": "train_csv", "csv": "csv"}.get(source.kind, "")


def read(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    """A table with all its columns."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataFault(f"cannot read {table}: {why}", fix=FIX_ROOT) from error


def written(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()
