"""Tables of answers as competitions have them: read with care, and compared by their images."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageError, count
from trainer.faults import DataFault

KEYS = ("ImageID", "image_path", "ID")  # what the users' competitions call an image ...
ANSWERS = ("ans", "target")  # ... and what its class
NAMED = 5
MOST = 10_000  # classes; a larger number is an ID in the wrong column, and would fill the memory


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of answers: the class of every image, and what it belongs to."""

    path: Path
    key: str
    answer: str
    answers: Mapping[str, int]
    groups: Mapping[str, str]


def read(path: Path, by: str = "") -> Sheet:
    """The answers of a file; what makes no sense is named with its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = list(table.fieldnames or ())
            key, answer = one_of(KEYS, columns, path), one_of(ANSWERS, columns, path)
            if twins := [name for name in (key, answer, by) if name and columns.count(name) > 1]:
                raise DataFault(f"{path} has two columns {twins[0]}", fix="take one of them out")
            if by and by not in columns:
                raise UsageError(f"--by {by}: {path} has no such column", fix=", ".join(columns))
            rows = [(table.line_num, cells) for cells in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise DataFault(f"cannot read {path}: {why}", fix="a CSV file, UTF-8") from error
    found: dict[str, int] = {}
    groups: dict[str, str] = {}
    for line, cells in rows:
        name, text = ((cells[column] or "").strip() for column in (key, answer))
        if not name or not (text.isascii() and text.isdigit()):
            raise DataFault(
                f"{path} line {line} is no answer: {key}={name!r}, {answer}={text!r}",
                fix="a row needs an image and a class of 0 or more",
            )
        if len(text) > len(str(MOST)) or int(text) >= MOST:
            raise DataFault(
                f"{path} line {line} is no answer: {answer} of {name} is {text[:20]}",
                fix=f"a class is a number below {MOST:,}",
            )
        if name in found:
            raise DataFault(
                f"{path} line {line} answers {name} a second time", fix="one row an image"
            )
        found[name], groups[name] = int(text), (cells[by] or "") if by else name
    if not found:
        raise DataFault(f"{path} has no answers")
    return Sheet(path, key, answer, found, groups)


def one_of(known: Sequence[str], columns: Sequence[str], path: Path) -> str:
    """The first known column that is there."""
    for name in known:
        if name in columns:
            return name
    raise DataFault(
        f"{path} has no column {' or '.join(known)}: it has {', '.join(columns) or 'none'}",
        fix="the first line names the columns: ImageID,ans or ID,image_path,target",
    )


def compare(right: Sheet, given: Sheet) -> None:
    """Both must speak of the same images."""
    missing = [name for name in right.answers if name not in given.answers]
    foreign = [name for name in given.answers if name not in right.answers]
    if missing or foreign:
        away = f"not in {right.path.name}"
        parts = [
            f"{count(len(names), 'image')} {what} ({', '.join(names[:NAMED])}"
            + (", ...)" if len(names) > NAMED else ")")
            for names, what in ((missing, "without an answer"), (foreign, away))
            if names
        ]
        what = f"{given.path} does not fit {right.path}: {' and '.join(parts)}"
        raise DataFault(what, fix="both need the same images, each once")


def filled(table: Path, answer: str, answers: Iterable[int]) -> bytes:
    """A table with other answers, in the order of its rows; every other cell stays as it is."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        columns, *rows = [cells for cells in csv.reader(file) if cells]
    columns += [] if answer in columns else [answer]
    place, text = columns.index(answer), io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(columns)
    for cells, label in zip(rows, answers, strict=True):
        before = [*cells[:place], *[""] * (place - len(cells))]
        out.writerow([*before, label, *cells[place + 1 :]])
    return text.getvalue().encode()
