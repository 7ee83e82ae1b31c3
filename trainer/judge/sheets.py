"""Tables of answers as competitions have them: read with care, and compared by their images."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import UsageError, count
from trainer.faults import DataFault

KEYS = ("ImageID", "image_path", "ID")  # what the users' competitions call an image ...
ANSWERS = ("ans", "target")  # ... and what its class
NAMED = 5


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of answers: the class of every image, and what it belongs to."""

    path: Path
    key: str
    answers: Mapping[str, int]
    groups: Mapping[str, str]


def read(path: Path, by: str = "") -> Sheet:
    """The answers of a file; what makes no sense is named with its line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = table.fieldnames or ()
            key, answer = one_of(KEYS, columns, path), one_of(ANSWERS, columns, path)
            if by and by not in columns:
                raise UsageError(f"--by {by}: {path} has no such column", fix=", ".join(columns))
            rows = [(table.line_num, cells) for cells in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFault(f"cannot read {path}: {error}") from error
    found: dict[str, int] = {}
    groups: dict[str, str] = {}
    for line, cells in rows:
        name, text = cells[key] or "", (cells[answer] or "").strip()
        if not name or not (text.isascii() and text.isdigit()):
            raise DataFault(
                f"{path} line {line} is no answer: {key}={name!r}, {answer}={text!r}",
                fix="a row needs an image and a class of 0 or more",
            )
        if name in found:
            raise DataFault(f"{path} line {line} answers {name} a second time")
        found[name], groups[name] = int(text), (cells[by] or "") if by else name
    if not found:
        raise DataFault(f"{path} has no answers")
    return Sheet(path, key, found, groups)


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
        parts = [
            f"{count(len(names), 'image')} {what} ({', '.join(names[:NAMED])}"
            + (", ...)" if len(names) > NAMED else ")")
            for names, what in ((missing, "without an answer"), (foreign, "not in the truth"))
            if names
        ]
        raise DataFault(f"{given.path} does not fit {right.path}: {' and '.join(parts)}")
