"""`queue move`: another place in line for pending runs, or another priority."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import completion, console
from publisher.desk.options import All, Batches, MaybeRuns, Mine, States, Yes
from publisher.desk.selectors import choice, selected
from publisher.pages.consent import agree
from schemas.errors import UsageError
from schemas.run import PENDING, Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Move pending runs in line; a point of priority is worth a day of waiting.",
    "queue move 7f3k2q --first",
    "queue move 7f3k2q 7f3k2r --before 7f3k2p",
    "queue move -b lr-sweep --priority -1",
)
WAYS = "--first, --last, --before RUN or --priority N"

Step = Callable[[str], Run]  # moves one run


def move(
    runs: MaybeRuns = None,
    first: Annotated[
        bool, typer.Option("--first", help="Before all that are in line now.")
    ] = False,
    last: Annotated[bool, typer.Option("--last", help="Behind all that are in line now.")] = False,
    before: Annotated[
        str,
        typer.Option(
            "--before",
            metavar="RUN",
            help="To the place before this run.",
            autocompletion=completion.runs,
        ),
    ] = "",
    priority: Annotated[
        int | None,
        typer.Option("--priority", metavar="N", min=-1000, max=1000, help="Higher goes first."),
    ] = None,
    batches: Batches = None,
    states: States = None,
    mine: Mine = False,
    everything: All = False,
    yes: Yes = False,
) -> None:
    if [first, last, bool(before), priority is not None].count(True) != 1:
        raise UsageError("say where to, in one way", fix=WAYS)
    queue, user = console.open_queue(), console.settings().user
    chosen = choice(runs, batches, states, mine=mine, everything=everything)
    ids = selected(queue, chosen, user, PENDING)
    target = queue.resolve(before, user=user) if before else ""
    agree(queue, ids, user, "move", yes=yes)
    if target in ids:
        raise UsageError(f"run {target} cannot go before itself", fix=WAYS)
    if priority is not None:
        step = _by_priority(queue, user, priority)
    else:
        step, ids = _to_a_place(queue, user, ids, first=first, target=target)

    def move_one(run_id: str) -> str:
        was = queue.get(run_id)
        return told(queue, was, step(run_id))

    console.out_each(ids, move_one)
    console.hint(console.THE_LINE)


def _by_priority(queue: Queue, user: str, priority: int) -> Step:
    return lambda run_id: queue.edit(run_id, by=user, priority=priority)


def _to_a_place(
    queue: Queue, user: str, ids: list[str], *, first: bool, target: str
) -> tuple[Step, list[str]]:
    """The step, and the order to take it in, so that several keep theirs among themselves."""
    if target:
        behind = dict(zip(ids, [*ids[1:], target], strict=True))  # each before the next of them
        backwards = [*reversed(ids)]
        return lambda run_id: queue.move_before(run_id, by=user, other=behind[run_id]), backwards
    if first:
        return lambda run_id: queue.move(run_id, by=user, to="first"), [*reversed(ids)]
    return lambda run_id: queue.move(run_id, by=user, to="last"), ids


def told(queue: Queue, before: Run, after: Run) -> str:
    """`7f3k2q vit-s: moved, next`."""
    name = f"{after.id} {after.name}"
    if before.priority != after.priority:
        return f"{name}: priority {before.priority} -> {after.priority}{stands(queue, after)}"
    if before.shift != after.shift:
        return f"{name}: moved{stands(queue, after)}"
    return f"{name}: stands there already{stands(queue, after)}"


def stands(queue: Queue, run: Run) -> str:
    """`, 2 ahead`: the place in line of a run that has one."""
    ahead = queue.position(run.id) if run.state is State.QUEUED else None
    if ahead is None:
        return f", {run.state}"
    return f", {ahead} ahead" if ahead else ", next"
