"""`queue cancel`: end runs, with a checkpoint where one runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import console
from publisher.desk.options import All, Batches, MaybeRuns, Mine, Reason, States, Yes
from publisher.desk.selectors import ALL, choice, selected
from publisher.pages.consent import agree
from publisher.pages.watching import ending, until_ended
from schemas.run import ENDED, Run, State, Wish

if TYPE_CHECKING:
    from queue_worker.queue import Queue

NAMED = 6  # runs
HELP = console.help_text(
    "Cancel runs: pending ones at once, running ones after a checkpoint.",
    "queue cancel 7f3k2q",
    "queue cancel -b lr-sweep --reason 'wrong split'",
    "queue cancel 7f3k2q 7f3k2r --wait",
)


def cancel(
    runs: MaybeRuns = None,
    batches: Batches = None,
    states: States = None,
    mine: Mine = False,
    everything: All = False,
    reason: Reason = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when they have really ended.")
    ] = False,
    yes: Yes = False,
) -> None:
    queue, user = console.open_queue(), console.settings().user
    chosen = choice(runs, batches, states, mine=mine, everything=everything)
    ids = selected(queue, chosen, user, ALL - ENDED)
    if not ids:
        console.talk(["nothing of it is left to cancel"])
    agree(queue, ids, user, "cancel", yes=yes)
    for run_id in ids:
        before = queue.get(run_id)
        console.out([told(before, queue.cancel(run_id, by=user, reason=reason))])
    if wait:
        console.out(ending(run) for run in until_ended(queue, ids))
    if ids:
        console.talk(_next(queue, ids))


def _next(queue: Queue, ids: Sequence[str]) -> list[str]:
    """What to type now: wait for what still saves, or try again what has ended."""
    states = queue.states(ids)
    saving = [run_id for run_id in ids if states.get(run_id) not in ENDED]
    named = saving or ids
    if len(named) > NAMED:
        return ["Next: queue list" + ("" if saving else " -s cancelled")]
    return [("Next: queue wait " if saving else "Again: publisher retry ") + " ".join(named)]


def told(before: Run, after: Run) -> str:
    """What the cancel did, from how the run stood before and stands now."""
    name = f"{after.id} {after.name}"
    if before.state in ENDED:
        return f"{name}: already {before.state}"
    if after.state is State.CANCELLED:
        return f"{name}: cancelled"
    if after.state in ENDED:
        return f"{name}: had just {after.state}"
    if before.wish is Wish.CANCEL:
        return f"{name}: already asked by {before.wish_by}; it saves a checkpoint and ends"
    return f"{name}: asked; it saves a checkpoint on {after.worker} and ends"
