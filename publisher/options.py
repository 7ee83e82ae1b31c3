"""Flags that several verbs share, with one meaning and one wording each."""

from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

import typer

from schemas.errors import UsageError
from schemas.run import State

ONE = "An id, a unique beginning of one, a name, @last or @failed."
SEVERAL = "Ids, unique beginnings of ids, names, @last, @failed."

SomeRuns = Annotated[list[str], typer.Argument(metavar="RUN", help=SEVERAL)]
OneRun = Annotated[str, typer.Argument(metavar="RUN", help=ONE)]
MaybeRuns = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help=SEVERAL)]
Batches = Annotated[
    list[str] | None,
    typer.Option("-b", "--batch", metavar="BATCH", help="All of a batch: its id or name."),
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask, however many are hit.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the run.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs, to stdout.")]
PrintId = Annotated[bool, typer.Option("--print-id", help="Only the ids, to stdout.")]
STATES = [str(state) for state in State]


class Format(StrEnum):
    """What a table may be printed as."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    ID = "id"


Output = Annotated[Format, typer.Option("-o", "--output", help="What to print.")]


def states_of(words: Sequence[str]) -> frozenset[State]:
    """The states that `-s held,failed -s queued` names."""
    names = [name for word in words for name in word.split(",") if name]
    for name in names:
        if name not in STATES:
            near = get_close_matches(name, STATES, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"-s '{name}' is no state", fix=f"{hint}states: {', '.join(STATES)}")
    return frozenset(State(name) for name in names)


def chosen(output: Format, as_json: bool) -> Format:
    """`--json` is short for `-o json`."""
    return Format.JSON if as_json else output
