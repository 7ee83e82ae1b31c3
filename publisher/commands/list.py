"""`queue list`: what runs, what comes next and why not yet, what ended last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from publisher import console, records, render
from publisher.options import AsJson, Format, Output, chosen, states_of
from publisher.snapshot import Snapshot
from schemas.run import ENDED, PENDING, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue, Row

HELP = console.help_text(
    "Show runs in the order of scheduling, with progress and what they wait for.",
    "queue list",
    "queue list -s running,queued --mine",
    "queue list -s failed -o id | xargs publisher retry",
)
PENDING_SHOWN = 20
ENDED_SHOWN = 5


def list_runs(
    states: Annotated[
        list[str] | None,
        typer.Option("-s", "--state", metavar="STATE", help="Only these, as in `-s held,failed`."),
    ] = None,
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
    owner = console.settings().user if mine else user
    wanted = states_of(states or [])
    short = form is Format.TABLE and not (everything or wanted or most)
    queue = console.open_queue()
    rows, matching = _rows(queue, wanted or frozenset(State), owner, most, short=short)
    seen = Snapshot(
        now=queue.now(),
        rows=rows,
        ahead=_ahead(queue, rows, owner),
        counts=queue.counts(),
        workers=queue.workers(),
    )
    _print(seen, matching, form)


def _rows(
    queue: Queue, wanted: frozenset[State], owner: str, most: int, *, short: bool
) -> tuple[Sequence[Row], int]:
    """The rows to show, and how many there are in all."""
    if owner:  # only the door's filter knows how many are somebody's
        rows = queue.list(states=wanted, user=owner)
        return (_screenful(rows) if short else rows[: most or None]), len(rows)
    counts = queue.counts()
    matching = sum(counts[state] for state in wanted)
    if not short:
        return queue.list(states=wanted, limit=most), matching
    running = queue.list(states={State.RUNNING})
    pending = queue.list(states=PENDING, limit=PENDING_SHOWN)
    ended = queue.list(states=ENDED, limit=ENDED_SHOWN)
    return [*running, *pending, *ended], matching


def _screenful(rows: Sequence[Row]) -> Sequence[Row]:
    """What is going on: all that runs, what comes next, and the last few that ended."""
    running = [row for row in rows if row.state is State.RUNNING]
    pending = [row for row in rows if row.state in PENDING]
    ended = [row for row in rows if row.state in ENDED]
    return [*running, *pending[:PENDING_SHOWN], *ended[:ENDED_SHOWN]]


def _ahead(queue: Queue, rows: Sequence[Row], owner: str) -> dict[str, int]:
    """How many queued runs go before each; somebody's runs alone do not tell."""
    queued = [row for row in rows if row.state is State.QUEUED]
    if queued and owner:
        queued = queue.list(states={State.QUEUED})
    return {row.id: place for place, row in enumerate(queued)}


def _print(seen: Snapshot, matching: int, form: Format) -> None:
    runs = [records.row_record(row, seen) for row in seen.rows] if form is not Format.TABLE else []
    match form:
        case Format.TABLE:
            console.out(render.list_lines(seen, console.width()))
            console.talk(render.not_shown(len(seen.rows), matching))
            console.talk(render.hint(seen.rows))
        case Format.JSON:
            console.out_json(records.list_record(seen, matching))
        case Format.JSONL:
            console.out_raw(records.as_jsonl(runs))
        case Format.CSV:
            console.out_raw(records.as_csv(runs, records.CSV_KEYS))
        case Format.ID:
            console.out([row.id for row in seen.rows])
