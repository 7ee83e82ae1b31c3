"""`trainer score`: marks a file of answers against the truth, as a leaderboard would."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import TrainqError, UsageError, count
from trainer.faults import DataFault

if TYPE_CHECKING:
    from trainer.scores import Interval, PerClass

EPILOG = "Exit codes: 0 marked; 2 usage; 3 the files are unreadable or do not belong together."
KEYS = ("ImageID", "image_path", "ID")  # what the users' competitions call an image ...
ANSWERS = ("ans", "target")  # ... and what its class
NAMED = 5
SHOWN = 20  # classes; of more, those that went worst
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of answers: the class of every image, and what it belongs to."""

    path: Path
    key: str
    answers: Mapping[str, int]
    groups: Mapping[str, str]


def score(
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="A CSV with the right answers.")],
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS", help="A CSV as it was handed in.")],
    by: Annotated[
        str, typer.Option("--by", metavar="COLUMN", help="Of TRUTH: who an image is of.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, to stdout.")] = False,
) -> None:
    """Mark a submission file: accuracy, macro F1, every class, and how sure that is.

    Columns: ImageID,ans or ID,image_path,target. The interval draws images again, or with --by
    whole people, whose images are not independent.

    \b
    trainer score info.csv submission.csv
    trainer score gt.csv submission.csv --by person
    """
    try:
        right, given = read(truth, by), read(answers)
        compare(right, given)
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo("\n".join(marks(right, given, as_json)))


# ---- reading -------------------------------------------------------------------------------------


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


# ---- marking -------------------------------------------------------------------------------------


def marks(right: Sheet, given: Sheet, as_json: bool) -> list[str]:
    """The page, or the record."""
    import numpy as np

    from trainer import scores

    names = list(right.answers)
    true = np.array([right.answers[name] for name in names])
    guessed = np.array([given.answers[name] for name in names])
    classes = int(max(true.max(), guessed.max())) + 1
    matrix = scores.confusion(true, guessed, classes)
    number = {group: place for place, group in enumerate(dict.fromkeys(right.groups.values()))}
    groups = np.array([number[right.groups[name]] for name in names])
    likely = scores.intervals(true, guessed, groups, classes)
    values = {"accuracy": scores.accuracy(matrix), "macro_f1": scores.macro_f1(matrix)}
    each = scores.per_class(matrix)
    if as_json:
        return [record(values, likely, each, len(names), len(number))]
    drawn = "images" if len(number) == len(names) else f"{len(number):,} groups"
    return [
        *(f"{title(name):10}{told(value, likely[name])}" for name, value in values.items()),
        f"{len(names):,} images, {int(each.seen.sum())} classes; 95% intervals by drawing {drawn}",
        "",
        *table(each),
    ]


def title(name: str) -> str:
    return name.replace("macro_f1", "macro F1")


def told(value: float, likely: "Interval") -> str:
    return f"{value:.4f}   {likely.low:.4f} .. {likely.high:.4f}"


def table(each: "PerClass") -> list[str]:
    """A line a class; of many the worst, worst first."""
    order = [int(label) for label in each.seen.nonzero()[0]]
    more = len(order) - SHOWN
    if more > 0:
        order = sorted(order, key=lambda label: (each.f1[label], label))[:SHOWN]
    lines = [
        f"{label:5}  {each.support[label]:6,}  {each.precision[label]:9.3f}  "
        f"{each.recall[label]:6.3f}  {each.f1[label]:6.3f}"
        for label in order
    ]
    rest = [f"{more} better classes are not shown: --json"] if more > 0 else []
    return ["CLASS  IMAGES  PRECISION  RECALL      F1", *lines, *rest]


def record(
    values: Mapping[str, float],
    likely: "Mapping[str, Interval]",
    each: "PerClass",
    images: int,
    groups: int,
) -> str:
    """All of it for programs."""
    scored = {
        name: {"value": value, "low": likely[name].low, "high": likely[name].high}
        for name, value in values.items()
    }
    labels = [int(label) for label in each.seen.nonzero()[0]]
    rows = [
        {
            "class": label,
            "images": int(each.support[label]),
            "precision": float(each.precision[label]),
            "recall": float(each.recall[label]),
            "f1": float(each.f1[label]),
        }
        for label in labels
    ]
    facts = {"schema_version": SCHEMA_VERSION, "images": images, "groups": groups}
    return json.dumps({**facts, "scores": scored, "classes": rows}, indent=2)
