"""`queue wait`: return when runs have ended, with an exit code that says how."""

from typing import Annotated

import typer

from publisher.desk import console
from publisher.desk.clock import parse_duration
from publisher.desk.options import All, Batches, MaybeRuns, Mine, States
from publisher.desk.selectors import ALL, choice, selected
from publisher.pages.watching import ending, until_ended, verdict
from schemas.run import ENDED

HELP = console.help_text(
    "Wait until runs have ended; the exit code says how.",
    "queue wait @last && queue results",
    "queue wait -b lr-sweep --timeout 2h",
    "queue wait 7f3k2q 7f3k2r --any",
)


def wait(
    runs: MaybeRuns = None,
    batches: Batches = None,
    states: States = None,
    mine: Mine = False,
    everything: All = False,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="Give up after 45s, 30m, 2h, 1h30m.")
    ] = "",
    first: Annotated[bool, typer.Option("--any", help="Return when the first has ended.")] = False,
) -> None:
    limit_s = parse_duration(timeout) if timeout else None
    queue = console.open_queue()
    chosen = choice(runs, batches, states, mine=mine, everything=everything)
    ids = selected(queue, chosen, console.settings().user, ALL if batches else ALL - ENDED)
    if not ids:
        console.talk(["nothing of it is left to wait for"])
    ended = until_ended(queue, ids, limit_s=limit_s, first=first)
    console.out(ending(run) for run in ended)
    if error := verdict(ended, told=True):
        raise error
    if ended:
        one = ended[0].id if len(ended) == 1 else ""
        console.talk([f"Next: queue show {one}" if one else "Next: queue results"])
