"""`queue export`: every run of a selection as a row, with config, metrics and cost."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from publisher.desk import console
from publisher.desk.options import Batches, MaybeRuns, Mine, States
from publisher.desk.selectors import choice, selected
from publisher.pages import records
from publisher.results.tables import as_markdown, columns_of
from schemas.errors import UsageError, count
from schemas.rundir import write_atomic

HELP = console.help_text(
    "Write runs as a table: what they are, config.*, metrics.* of the best epoch, time, cost.",
    "queue export > runs.csv",
    "queue export -b lr-sweep --to sweep.parquet",
    "queue export --mine -s finished -o md",
)


class Export(StrEnum):
    """What a table of runs can be written as."""

    CSV = "csv"
    JSONL = "jsonl"
    MD = "md"
    PARQUET = "parquet"


def export(
    runs: MaybeRuns = None,
    batches: Batches = None,
    mine: Mine = False,
    states: States = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="A file; its end says the format.")
    ] = None,
    output: Annotated[Export | None, typer.Option("-o", "--output", help="The format.")] = None,
) -> None:
    from publisher.results.gathered import run_rows  # reads configs' environments: 0.1 s of imports

    form = _format(to, output)
    named = choice(runs, batches, states, mine=mine)
    queue, settings = console.open_queue(), console.settings()
    meant = named if named.words or named.wide else choice((), everything=True)
    rows = run_rows(queue, selected(queue, meant, settings.user), settings.runs)
    if form is Export.PARQUET:
        from publisher.results.frames import parquet

        data = parquet(rows)
    else:
        columns = columns_of(rows)
        text = {
            Export.CSV: lambda: records.as_csv(rows, columns),
            Export.JSONL: lambda: records.as_jsonl(rows),
            Export.MD: lambda: as_markdown(rows, columns),
        }[form]()
        data = f"{text}\n".encode() if text else b""
    if to is None:
        console.out_raw(data.decode().removesuffix("\n"))
        return
    write_atomic(to, data)
    console.talk([f"{count(len(rows), 'run')} in {to}"])


def _format(to: Path | None, output: Export | None) -> Export:
    """What `-o` says, else the end of the file's name, else csv."""
    known = {str(each): each for each in Export}
    form = output or (known.get(to.suffix.removeprefix(".").lower()) if to else Export.CSV)
    if form is None:
        fix = f"-o {' | '.join(known)}"
        raise UsageError(f"--to {to}: its end says no format", fix=fix)
    if form is Export.PARQUET and to is None:
        raise UsageError("parquet is no text", fix="queue export --to runs.parquet")
    return form
