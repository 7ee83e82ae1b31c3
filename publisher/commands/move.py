"""`queue move`: change the priority of pending runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from publisher import console
from publisher.options import Batches, MaybeRuns, Yes
from publisher.selectors import question, selected
from schemas.run import PENDING, Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Change the priority of pending runs; a point is worth a day of waiting.",
    "queue move 7f3k2q --priority 5",
    "queue move -b lr-sweep --priority -1",
    "queue move 7f3k2q 7f3k2r --priority 0",
)


def move(
    priority: Annotated[
        int, typer.Option("--priority", metavar="N", min=-1000, max=1000, help="Higher goes first.")
    ],
    runs: MaybeRuns = None,
    batches: Batches = None,
    yes: Yes = False,
) -> None:
    queue, user = console.open_queue(), console.settings().user
    ids = selected(queue, runs or [], batches or [], user, PENDING)
    console.confirm(question(queue, ids, user, "move"), yes=yes)

    def move_one(run_id: str) -> str:
        before = queue.get(run_id)
        after = queue.edit(run_id, by=user, priority=priority)
        if before.priority == after.priority:
            return f"{run_id} {after.name}: has priority {after.priority} already"
        return f"{run_id} {after.name}: priority {before.priority} -> {after.priority}" + stands(
            queue, after
        )

    console.out_each(ids, move_one)


def stands(queue: Queue, run: Run) -> str:
    """`, 2 ahead`: the place in line of a run that has one."""
    ahead = queue.position(run.id) if run.state is State.QUEUED else None
    if ahead is None:
        return f", {run.state}"
    return f", {ahead} ahead" if ahead else ", next"
