"""Flags that several verbs share, with one meaning and one wording each."""

from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated, Literal

import typer

from publisher.desk import completion
from publisher.desk.clock import DURATION, parse_duration
from schemas.errors import UsageError
from schemas.run import State

MOST_SEEDS, MOST_FOLDS, MOST_GPUS, PRIORITIES = 1000, 100, 64, 1000

ONE = "An id, a unique beginning of one, a name, @last or @failed."
SEVERAL = "Ids, unique beginnings of ids, names, @last, @failed."

SomeRuns = Annotated[
    list[str], typer.Argument(metavar="RUN", help=SEVERAL, autocompletion=completion.runs)
]
OneRun = Annotated[str, typer.Argument(metavar="RUN", help=ONE, autocompletion=completion.runs)]
MaybeRuns = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN", help=SEVERAL, autocompletion=completion.runs),
]
Batches = Annotated[
    list[str] | None,
    typer.Option(
        "-b",
        "--batch",
        metavar="BATCH",
        help="All of a batch: its id, name, or @last.",
        autocompletion=completion.batches,
    ),
]
Mine = Annotated[bool, typer.Option("--mine", help="My runs: all, or those that -s -b name.")]
States = Annotated[
    list[str] | None,
    typer.Option(
        "-s",
        "--state",
        metavar="STATE",
        help="All in these states: `-s held,failed`.",
        autocompletion=completion.states,
    ),
]
All = Annotated[bool, typer.Option("--all", help="All runs, of everybody.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask, however many are hit.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Shown to all.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs, to stdout.")]
PrintId = Annotated[bool, typer.Option("--print-id", help="Only the ids, to stdout.")]
Lists = Annotated[
    bool, typer.Option("-m", "--multi", help="A comma divides values: a run for each cell.")
]
Seeds = Annotated[
    int, typer.Option("--seeds", metavar="N", min=0, max=MOST_SEEDS, help="N runs, N seeds.")
]
Folds = Annotated[
    int, typer.Option("--folds", metavar="K", min=0, max=MOST_FOLDS, help="K folds and their mean.")
]
After = Annotated[
    list[str] | None,
    typer.Option(
        "--after",
        metavar="RUN[:ok|:any]",
        help="Start when this run has ended.",
        autocompletion=completion.runs,
    ),
]
On = Annotated[str, typer.Option("--on", metavar="HOST[:GPU]", help="Run only there.")]
TimeLimit = Annotated[
    str, typer.Option("--time-limit", metavar="TIME", help="As in 45m, 8h or 2d; then it saves.")
]
STATES = [str(state) for state in State]


class Format(StrEnum):
    """What a table may be printed as."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    ID = "id"


class Sheet(StrEnum):
    """What results may be printed as."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    MD = "md"
    ID = "id"


Sort = Annotated[
    str, typer.Option("--sort", metavar="METRIC", help="Rank by this metric of the best epoch.")
]
AsSheet = Annotated[Sheet, typer.Option("-o", "--output", help="What to print.")]
Output = Annotated[Format, typer.Option("-o", "--output", help="What to print.")]


def states_of(words: Sequence[str]) -> frozenset[State]:
    """The states that `-s held,failed -s queued` names."""
    names = [name for word in words for name in word.split(",") if name]
    for name in names:
        if name not in STATES:
            near = get_close_matches(name, STATES, n=1)
            fix = f"did you mean {near[0]}?" if near else ", ".join(STATES)
            raise UsageError(f"'{name}' is no state", fix=fix)
    return frozenset(State(name) for name in names)


def seconds_of(text: str, flag: str) -> float:
    """A time limit, `45m` or `1h30m`; nothing for 0."""
    if not text:
        return 0
    if DURATION.fullmatch(text) and text[-1].isalpha() and (seconds := parse_duration(text)):
        return seconds
    raise UsageError(f"{flag} '{text}' is no time", fix=f"{flag} 45m, 8h or 1h30m")


def host_of(text: str, flag: str) -> str:
    """`v100` or `v100:0`; what a lane's name could not hold is refused before it gets there."""
    if "|" in text or not text.isprintable():
        raise UsageError(f"{flag} '{text}' is no host", fix=f"{flag} HOST or {flag} HOST:GPU")
    return text


def parent_of(text: str) -> tuple[str, Literal["ok", "any"]]:
    """`7f3k2q`, `7f3k2q:ok` or `@last:any`: the run that was meant, and which end will do."""
    name, colon, on = text.rpartition(":")
    if not colon:
        return text, "ok"
    ends: dict[str, Literal["ok", "any"]] = {"ok": "ok", "any": "any"}
    if on not in ends:
        fix = f"--after {name}:ok or {name}:any"
        raise UsageError(f"--after '{text}': '{on}' is no end", fix=fix)
    return name, ends[on]


def chosen(output: Format, as_json: bool) -> Format:
    """`--json` is short for `-o json`."""
    return Format.JSON if as_json else output
