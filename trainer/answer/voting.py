"""`trainer vote`: submission files vote, when nothing else is left of their models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import TrainqError, UsageError, count
from schemas.rundir import write_atomic
from trainer.faults import DataFault
from trainer.judge.sheets import Sheet, compare, filled, read

EPILOG = "Exit codes: 0 written; 2 usage; 3 the files are unreadable or do not belong together."
EVEN = 1e-9  # votes this close to each other are a tie


def vote(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Submission files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The submission file to write.")],
    weights: Annotated[str, typer.Option(help="How much each file counts, as 2,1,1.")] = "",
    class_weights: Annotated[
        str, typer.Option(help="Of tied classes the heaviest wins, as 1,1,1.5.")
    ] = "",
) -> None:
    """Let submission files vote: the class that most of them name.

    Ties go to the class that the earliest file names, so name your best file first. Columns, rows
    and order are those of the first file.

    \b
    trainer vote a.csv b.csv c.csv -o voted.csv
    trainer vote a.csv b.csv -o voted.csv --weights 2,1
    trainer vote a.csv b.csv -o voted.csv --class-weights 1,1,3
    """
    try:
        if out.exists() and any(file.exists() and out.samefile(file) for file in files):
            raise UsageError(f"{out} is one of the files that vote", fix="another -o")
        sheets = [read(file) for file in files]
        for sheet in sheets[1:]:
            compare(sheets[0], sheet)
        each = numbers(weights, "--weights") or [1.0] * len(sheets)
        if len(each) != len(sheets):
            said = f"{count(len(each), 'number')} for {count(len(sheets), 'file')}"
            raise UsageError(f"--weights has {said}", fix="one number a file")
        heavy = numbers(class_weights, "--class-weights")
        chosen = {name: winner(name, sheets, each, heavy) for name in sheets[0].answers}
        write_atomic(out, filled(files[0], sheets[0].answer, chosen.values()))
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    same = sum(len({sheet.answers[name] for sheet in sheets}) == 1 for name in chosen)
    typer.echo(f"{out}: {count(len(chosen), 'answer')}, {same} of them unanimous")


def numbers(text: str, flag: str) -> list[float]:
    """1,2.5 as numbers above 0."""
    try:
        found = [float(word) for word in text.split(",")] if text else []
    except ValueError:
        found = [0.0]
    if not all(0 < number < float("inf") for number in found):
        raise UsageError(f"{flag} '{text}' is no list of numbers above 0", fix=f"{flag} 2,1,1")
    return found


def winner(
    name: str, sheets: Sequence[Sheet], weights: Sequence[float], heavy: Sequence[float]
) -> int:
    """The answer to one image; of a tie the heaviest class, of those the earliest file's."""
    votes: dict[int, float] = {}
    for sheet, weight in zip(sheets, weights, strict=True):
        label = sheet.answers[name]
        votes[label] = votes.get(label, 0.0) + weight  # in the order of the files
        if heavy and label >= len(heavy):
            raise DataFault(
                f"{sheet.path} names class {label} of {name}, --class-weights has {len(heavy)}",
                fix="one number a class",
            )
    most = max(votes.values())
    tied = [label for label, got in votes.items() if got >= most - EVEN]
    return max(tied, key=lambda label: heavy[label] if heavy else 0.0)
