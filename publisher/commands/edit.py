"""`publisher edit`: change what pending runs ask for."""

from typing import Annotated, Any

import typer

from publisher import console
from publisher.clock import brief
from publisher.commands.move import stands
from publisher.consent import agree
from publisher.options import (
    After,
    All,
    Batches,
    MaybeRuns,
    Mine,
    States,
    Yes,
    parent_of,
    seconds_of,
)
from publisher.selectors import choice, selected
from schemas.errors import UsageError
from schemas.run import PENDING, Parent, Run

HELP = console.help_text(
    "Change what pending runs wait for and ask for.",
    "publisher edit 7f3k2q --after 7f3k2p:any",
    "publisher edit -b lr-sweep --no-after --time-limit 8h",
    "publisher edit 7f3k2q --on any --time-limit none",
)
On = Annotated[
    str, typer.Option("--on", metavar="HOST[:GPU]|any", help="Run only there, or anywhere.")
]
TimeLimit = Annotated[
    str, typer.Option("--time-limit", metavar="TIME|none", help="As in 45m, 8h or 2d; or none.")
]


def edit(
    runs: MaybeRuns = None,
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
    limit_s = 0.0 if time_limit == "none" else seconds_of(time_limit, "--time-limit")
    wanted = [parent_of(word) for word in after or ()]
    if not (after or no_after or on or time_limit) and priority is None:
        raise UsageError(
            "nothing was said to change",
            fix="--priority N, --after RUN, --no-after, --on HOST or --time-limit 8h",
        )
    queue, user = console.open_queue(), console.settings().user
    parents = [Parent(id=queue.resolve(name, user=user), on=end) for name, end in wanted]
    changes: dict[str, Any] = {
        **({"priority": priority} if priority is not None else {}),
        **({"after": parents} if after or no_after else {}),
        **({"needs_host": "" if on == "any" else on} if on else {}),
        **({"time_limit_s": limit_s} if time_limit else {}),
    }
    chosen = choice(runs, batches, states, mine=mine, everything=everything)
    ids = selected(queue, chosen, user, PENDING)
    agree(queue, ids, user, "edit", yes=yes)

    def edit_one(run_id: str) -> str:
        before = queue.get(run_id)
        run = queue.edit(run_id, by=user, **changes)
        return f"{run_id} {run.name}: {difference(before, run)}{stands(queue, run)}"

    console.out_each(ids, edit_one)


def difference(before: Run, after: Run) -> str:
    """`priority 0 -> 5; time limit none -> 8h00m`."""
    old, new = asked(before), asked(after)
    told = [f"{key} {old[key]} -> {new[key]}" for key in old if old[key] != new[key]]
    return "; ".join(told) or "nothing changed"


def asked(run: Run) -> dict[str, str]:
    """What can be edited, in words."""
    parents = " ".join(p.id + (":any" if p.on == "any" else "") for p in run.after)
    return {
        "priority": str(run.priority),
        "after": parents or "none",
        "on": run.needs_host or "any host",
        "time limit": brief(run.time_limit_s) if run.time_limit_s else "none",
    }
