"""`publisher edit`: change what pending runs are and ask for, on the line or in an editor."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from publisher.commands.move import stands
from publisher.desk import completion, console
from publisher.desk.options import (
    After,
    All,
    Batches,
    Mine,
    States,
    Yes,
    host_of,
    parent_of,
    seconds_of,
)
from publisher.desk.selectors import choice, selected
from publisher.outlook.obstacles import unseen
from publisher.pages.consent import agree
from schemas.errors import TransitionRefused, UsageError
from schemas.overrides import split_arguments
from schemas.run import PENDING, Parent

if TYPE_CHECKING:
    from publisher.plans.editing import Edit
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Change runs that wait: their configs, what they ask and wait for.\n"
    "With nothing to change on the line all open as one sheet in $EDITOR; meanwhile, for 15\n"
    "minutes at most, nobody starts them.",
    "publisher edit -b lr-sweep",
    "publisher edit 7f3k2q 7f3k2r train.epochs=30 optim.lr=3e-4",
    "publisher edit -b lr-sweep --no-after --time-limit 8h",
    "publisher edit 7f3k2q --after 7f3k2p:any --on any",
)
Things = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN|KEY=VALUE",
        help="Runs that wait; keys of their configs.",
        autocompletion=completion.runs,
    ),
]
On = Annotated[
    str, typer.Option("--on", metavar="HOST[:GPU]|any", help="Run only there, or anywhere.")
]
TimeLimit = Annotated[
    str, typer.Option("--time-limit", metavar="TIME|none", help="As in 45m, 8h or 2d; or none.")
]


def edit(
    arguments: Things = None,
    batches: Batches = None,
    states: States = None,
    mine: Mine = False,
    everything: All = False,
    priority: Annotated[
        int | None,
        typer.Option("--priority", metavar="N", min=-1000, max=1000, help="Higher goes first."),
    ] = None,
    after: After = None,
    no_after: Annotated[bool, typer.Option("--no-after", help="Wait for no run.")] = False,
    on: On = "",
    time_limit: TimeLimit = "",
    yes: Yes = False,
) -> None:
    if after and no_after:
        raise UsageError("--after and --no-after exclude each other")
    words, overrides = split_arguments(arguments or ())
    limit_s = 0.0 if time_limit == "none" else seconds_of(time_limit, "--time-limit")
    named = [parent_of(word) for word in after or ()]
    asked = bool(after or no_after or on or time_limit or overrides) or priority is not None
    if not asked and not (yes or sys.stdin.isatty()):
        raise UsageError(
            "nothing was said to change, and there is no terminal for an editor",
            fix="key=value, --priority N, --after RUN, --on HOST or --time-limit 8h",
        )
    queue, user = console.open_queue(), console.settings().user
    parents = tuple(Parent(id=queue.resolve(name, user=user), on=end) for name, end in named)
    wanted: dict[str, Any] = {
        **({"priority": priority} if priority is not None else {}),
        **({"after": parents} if after or no_after else {}),
        **({"needs_host": "" if on == "any" else host_of(on, "--on")} if on else {}),
        **({"time_limit_s": limit_s} if time_limit else {}),
    }
    chosen = choice(words, batches, states, mine=mine, everything=everything)
    ids = selected(queue, chosen, user, PENDING)
    if not asked:
        _in_an_editor(queue, ids, user, yes=yes)
        return
    from publisher.plans.handwork import foreseen  # with the pre-flight

    agree(queue, ids, user, "edit", yes=yes)
    edits = {each.run.id: each for each in foreseen(queue, _edits(queue, ids, overrides, wanted))}
    console.out_each(ids, lambda run_id: _said(queue, _apply(queue, edits[run_id], user)))
    _foot(queue, [*edits.values()])


def _edits(
    queue: Queue, ids: Sequence[str], overrides: Sequence[str], wanted: dict[str, Any]
) -> list[Edit]:
    """All of them are checked before the first is made."""
    from publisher.plans.editing import edit_of
    from schemas.source import read  # with all models of a config

    runs = [queue.get(run_id) for run_id in ids]
    texts = [(run, json.dumps(run.config, indent=1)) for run in runs]
    return [
        edit_of(run, wanted, read(text, f"run {run.id}", overrides) if overrides else None)
        for run, text in texts
    ]


def _apply(queue: Queue, change: Edit, user: str) -> Edit:
    from publisher.plans.editing import demand_unchanged

    now = queue.get(change.run.id)
    demand_unchanged(change.run, now)
    if change or now.state not in PENDING:  # the door says why it may not be edited
        values = dict(change.values) or {"priority": now.priority}
        queue.edit(now.id, by=user, told=change.told, **values)
    return change


def _said(queue: Queue, change: Edit) -> str:
    run = queue.get(change.run.id)
    return f"{run.id} {run.name}: {change.told or 'nothing changed'}{stands(queue, run)}"


def _foot(queue: Queue, made: Sequence[Edit]) -> None:
    """Where they wait for nobody, and where to see what came of it."""
    places = [str(host) for each in made if (host := each.values.get("needs_host"))]
    console.talk(unseen(places, queue.workers() if places else ()))
    alone = [f"Look: queue show {each.run.id}" for each in made if len(made) == 1]
    console.hint(*(alone or [console.THE_LINE]))


def _in_an_editor(queue: Queue, ids: Sequence[str], user: str, *, yes: bool) -> None:
    from publisher.plans.handwork import agreed, edits_by_hand, held, spared
    from publisher.plans.worksheet import MOST

    if len(ids) > MOST:
        fix = "key=value changes any number of runs"
        raise UsageError(f"{len(ids)} runs are too many for an editor, {MOST} at most", fix=fix)
    made: dict[str, Edit] = {}
    refused: list[TransitionRefused] = []
    with ExitStack() as sheet:
        with held(queue, ids, user) as (runs, until):
            if not runs:
                raise UsageError("none of these runs waits any more; nothing was changed")
            edits, file = edits_by_hand(queue, runs, until, user)
            sheet.enter_context(spared(file))
            for each in edits if agreed(edits, yes=yes) else ():
                try:
                    made[each.run.id] = _apply(queue, each, user)
                except TransitionRefused as refusal:
                    refused.append(refusal)
        console.out(_said(queue, each) for each in made.values())  # where it stands, let go
        if made:
            _foot(queue, [*made.values()])
        for told in refused[:-1]:
            console.tell_error(told)
        if refused:
            raise refused[-1]
