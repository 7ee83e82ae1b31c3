"""`queue wait`: return when runs have ended, with an exit code that says how."""

from typing import Annotated

import typer

from publisher import console
from publisher.clock import parse_duration
from publisher.options import Batches, MaybeRuns
from publisher.selectors import selected
from publisher.watching import ending, until_ended, verdict

HELP = console.help_text(
    "Wait until runs have ended; the exit code says how.",
    "queue wait @last && queue results",
    "queue wait -b lr-sweep --timeout 2h",
    "queue wait 7f3k2q 7f3k2r --any",
)


def wait(
    runs: MaybeRuns = None,
    batches: Batches = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="Give up after 45s, 30m, 2h, 1h30m.")
    ] = "",
    first: Annotated[bool, typer.Option("--any", help="Return when the first has ended.")] = False,
) -> None:
    limit_s = parse_duration(timeout) if timeout else None
    queue = console.open_queue()
    ids = selected(queue, runs or [], batches or [], console.settings().user)
    ended = until_ended(queue, ids, limit_s=limit_s, first=first)
    console.out(ending(run) for run in ended)
    if error := verdict(ended):
        raise error
