"""From a config's `data` to images: each layout has its reader, extra rows come after them.

Only names and labels are read here, and everything that is wrong with them is said; whether the
files are whole is `trainer.data.check`'s.
"""

from dataclasses import replace
from functools import singledispatch
from pathlib import Path

from schemas.components.data import Data, Weighted
from schemas.components.sources import Csv, Extra, Folders, Mask, SketchCsv, Source, TestRows
from schemas.components.spec import Spec
from schemas.errors import count
from trainer.data import mask, sketch
from trainer.data.images import Images, Row, enumerate_some, gathered
from trainer.data.tables import (
    FIX_ROOT,
    Line,
    image_below,
    read_table,
    refuse_repeats,
    refuse_twins,
)
from trainer.faults import ConfigFault, DataFault

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
Listing = tuple[list[Row], tuple[str, ...]]  # rows and classes


def read(data: Data, data_root: Path) -> Images:
    """The images of a config, its own rows first."""
    rows, classes = listing(data.source, data_root)
    where = str(data_root / data.source.root)
    refuse_twins([row.name for row in rows], where)
    if not rows:
        raise DataFault(f"{where} holds no image", fix=FIX_ROOT)
    if isinstance(data.sampler, Weighted) and len(data.sampler.weights) != len(classes):
        what = f"data.sampler has {count(len(data.sampler.weights), 'weight')} for {len(classes)}"
        names = enumerate_some(classes)
        raise ConfigFault(f"{what} classes", fix=f"one for each, in their order: {names}")
    for extra in data.extra:
        more = extra_rows(extra, data.source, classes, data_root)
        refuse_twins([row.name for row in more], str(data_root / extra.root))
        rows += more
    return gathered(rows, classes)


@singledispatch
def listing(source: Spec, data_root: Path) -> Listing:
    """The rows and the classes of a source."""
    raise TypeError(f"no reader for {source!r}")


@listing.register
def _(source: SketchCsv, data_root: Path) -> Listing:
    return sketch.read(source, data_root)


@listing.register
def _(source: Mask, data_root: Path) -> Listing:
    return mask.read(source, data_root)


@listing.register
def _(source: Folders, data_root: Path) -> Listing:
    root = data_root / source.root
    try:
        folders = sorted(path.name for path in mask.visible(root) if path.is_dir())
    except OSError as error:
        raise DataFault(f"cannot read {root}: {error.strerror}", fix=FIX_ROOT) from error
    classes = several(tuple(folders), str(root))
    rows = []
    for target, folder in enumerate(classes):
        found = sorted(picture.relative_to(root).as_posix() for picture in pictures(root / folder))
        if not found:
            raise DataFault(f"{root / folder} holds no image", fix="a folder a class, none empty")
        rows += [Row(name, root / name, target) for name in found]
    return rows, classes


def pictures(folder: Path) -> list[Path]:
    """The image files at any depth, without those that a dot hides."""
    return [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


@listing.register
def _(source: Csv, data_root: Path) -> Listing:
    root = data_root / source.root
    table = root / source.csv
    columns = [source.image, source.label, *([source.person] if source.person else [])]
    lines = read_table(table, columns, "name the columns: data.source.image, .label, .person")
    for line in lines:
        for column in columns:
            if not line[column]:
                raise line.fault(f"has no {column}", "fill it, or take the row out")
    words = {line[source.label] for line in lines}
    numbers = all(word.isascii() and word.isdigit() for word in words)
    classes = several(tuple(sorted(words, key=int if numbers else str)), str(table))
    number_of = {word: number for number, word in enumerate(classes)}
    rows = [
        Row(
            name := image_below(line, source.image),
            root / source.images / name,
            number_of[line[source.label]],
            line[source.person] if source.person else "",
        )
        for line in lines
    ]
    return rows, classes


def several(classes: tuple[str, ...], where: str) -> tuple[str, ...]:
    """The classes, when there is anything to tell apart."""
    if len(classes) < 2:
        what = "only one class" if classes else "no class"
        raise DataFault(f"{where} has {what}", fix="learning needs at least two classes")
    return classes


# ---- rows that only train, rows without answers --------------------------------------------------


def extra_rows(extra: Extra, source: Source, classes: tuple[str, ...], root: Path) -> list[Row]:
    """Rows of another origin; their names carry it, so that no two can be taken for one."""
    folder = root / extra.root / extra.images
    if extra.csv is None and isinstance(source, Mask):
        rows = [mask.row_of(face, source, extra.origin) for face in mask.people(folder)]
    else:
        table = root / extra.root / str(extra.csv)
        named = (extra.image, extra.label, extra.person, extra.confidence)
        columns = [column for column in named if column]
        lines = read_table(table, columns, "name the columns: data.extra has image, label, ...")
        rows = [extra_row(line, extra, classes, folder) for line in lines if sure(line, extra)]
        if not rows:
            what = f"{table} has no row of a {extra.confidence} of {extra.at_least:g} or more"
            raise DataFault(what, fix="a lower data.extra at_least, or leave it out")
    return [replace(row, name=f"{extra.origin}:{row.name}") for row in rows]


def sure(line: Line, extra: Extra) -> bool:
    """Whether a row's label is trusted."""
    if extra.confidence is None:
        return True
    try:
        return float(line[extra.confidence]) >= extra.at_least
    except ValueError:
        what = f"has no such confidence: {line[extra.confidence]!r}"
        raise line.fault(what, "a number from 0 to 1") from None


def extra_row(line: Line, extra: Extra, classes: tuple[str, ...], folder: Path) -> Row:
    """One row of the table; its label is a class of the source, by name or by number."""
    label, name = line[extra.label], image_below(line, extra.image)
    if label in classes:
        target = classes.index(label)
    elif label.isascii() and label.isdigit() and int(label) < len(classes):
        target = int(label)
    else:
        what = f"has no class of the source: {extra.label}={label!r}"
        raise line.fault(what, f"a number below {len(classes)}, or the name of a class")
    person = line[extra.person] if extra.person else ""
    return Row(name, folder / name, target, person, origin=extra.origin)


def test_images(test: TestRows, data_root: Path) -> dict[str, Path]:
    """The images to be answered, by the names that the answers go by, in the table's order."""
    root = data_root / test.root
    table = root / test.csv
    lines = read_table(table, [test.image], "name the column: data.test.image")
    names = [image_below(line, test.image) for line in lines]
    refuse_repeats(lines, names)
    return {name: root / test.images / name for name in names}
