"""`queue list`: what runs, what comes next and why not yet, what ended last."""

from __future__ import annotations

from typing import Annotated

import typer

from publisher.desk import completion, console
from publisher.desk.options import AsJson, Batches, Format, MaybeRuns, Output, chosen, states_of
from publisher.desk.selectors import ALL, find_batch, select
from publisher.outlook.snapshot import Snapshot
from publisher.pages import records, render
from publisher.pages.listing import View, listing
from schemas.errors import UsageError

HELP = console.help_text(
    "Show runs in the order of scheduling, with progress and what they wait for.",
    "queue list",
    "queue list -b lr-sweep",
    "queue list -s failed,skipped",
)


def list_runs(
    runs: MaybeRuns = None,
    states: Annotated[
        list[str] | None,
        typer.Option(
            "-s",
            "--state",
            metavar="STATE",
            help="Only these, as in `-s held,failed`.",
            autocompletion=completion.states,
        ),
    ] = None,
    batches: Batches = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only my runs.")] = False,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Only this user's.")] = "",
    most: Annotated[
        int, typer.Option("-n", metavar="N", min=0, help="At most N.", show_default=False)
    ] = 0,
    everything: Annotated[bool, typer.Option("--all", help="All, not only a screenful.")] = False,
    output: Output = Format.TABLE,
    as_json: AsJson = False,
) -> None:
    form = chosen(output, as_json)
    me = console.settings().user
    wanted = states_of(states or [])
    queue = console.open_queue()
    if runs and batches:
        raise UsageError("list takes runs, or -b BATCH, not both", fix="queue list RUN ...")
    named = tuple(select(queue, runs or (), me))
    view = View(
        states=wanted or ALL,
        owner=me if mine else user,
        batches=tuple(find_batch(queue, word, me) for word in batches or []),
        runs=named,
        most=most,
        short=form is Format.TABLE and not (everything or wanted or most or named),
        folded=form is Format.TABLE and not (batches or wanted or most or named),
        ids_only=form is Format.ID,
    )
    found = listing(queue, view)
    if form is not Format.TABLE:
        _print(found.seen, found.matching, form)
        return
    console.out(render.list_lines(found.seen, console.width(), found.entries))
    hints = render.hint(found.entries, found.seen)
    console.talk([*render.not_shown(found.hidden, view.batches), *hints])


def _print(seen: Snapshot, matching: int, form: Format) -> None:
    match form:
        case Format.JSON:
            console.out_json(records.list_record(seen, matching))
        case Format.JSONL:
            console.out_raw(records.as_jsonl(records.row_record(row, seen) for row in seen.rows))
        case Format.CSV:
            runs = [records.row_record(row, seen) for row in seen.rows]
            console.out_raw(records.as_csv(runs, records.CSV_KEYS))
        case _:
            console.out([row.id for row in seen.rows])
