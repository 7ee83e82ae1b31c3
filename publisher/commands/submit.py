"""`publisher submit`: check every word of a config, then queue it, or all that it describes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from publisher.desk import console
from publisher.desk.options import (
    MOST_GPUS,
    PRIORITIES,
    After,
    AsJson,
    Folds,
    Lists,
    On,
    PrintId,
    Seeds,
    TimeLimit,
    host_of,
    parent_of,
    seconds_of,
)
from publisher.plans.configs import all_problems, load_all
from publisher.plans.plan import Needs, Planned, Wishes, new_runs
from publisher.plans.preflight import foresee
from publisher.plans.receipts import nothing_queued, would_lines, would_record
from publisher.plans.sending import notify_of, place, stay, tell
from schemas import code
from schemas.amounts import megabytes_of
from schemas.errors import UsageError, count
from schemas.overrides import split_arguments
from schemas.source import Loaded
from schemas.sweep import Spread

HELP = console.help_text(
    "Check configs and queue a run for each: all of them or none.",
    "publisher submit birds.yaml optim.lr=3e-4 --priority 10 --follow",
    "publisher submit birds.yaml -m optim.lr=1e-3,3e-4 model.name=resnet18,vgg16",
    "publisher submit birds.yaml --folds 5 --max-parallel 2 --notify @me",
)
MANY = 20  # runs that are shown before they are queued


Words = Annotated[
    list[str], typer.Argument(metavar="FILE|KEY=VALUE", help="Configs; overrides for all of them.")
]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="What to call it.")]
Priority = Annotated[
    int,
    typer.Option(
        "--priority", metavar="N", min=-PRIORITIES, max=PRIORITIES, help="Higher goes first."
    ),
]
Gpus = Annotated[
    int, typer.Option("--gpus", metavar="N", min=1, max=MOST_GPUS, help="GPUs that it trains on.")
]
Memory = Annotated[str, typer.Option("--memory", metavar="SIZE", help="Of each GPU, as in 12GB.")]
MaxParallel = Annotated[
    int, typer.Option("--max-parallel", metavar="N", min=0, help="Runs of it at a time.")
]
Hold = Annotated[bool, typer.Option("--hold", help="Queue, but do not start yet.")]
Notify = Annotated[str, typer.Option("--notify", metavar="WHO", help="#channel, @me or none.")]
Again = Annotated[bool, typer.Option("--again", help="Also what was done before.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, however many.")]
Follow = Annotated[
    bool, typer.Option("--follow", help="Stay, print its lines; exit as the run does.")
]
Stay = Annotated[bool, typer.Option("--wait", help="Stay; exit as the runs do.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check all, queue nothing.")]


def submit(
    arguments: Words,
    lists: Lists = False,
    seeds: Seeds = 0,
    folds: Folds = 0,
    name: Name = "",
    priority: Priority = 0,
    after: After = None,
    on: On = "",
    gpus: Gpus = 1,
    memory: Memory = "",
    time_limit: TimeLimit = "",
    max_parallel: MaxParallel = 0,
    hold: Hold = False,
    notify: Notify = "",
    again: Again = False,
    yes: Yes = False,
    following: Follow = False,
    wait: Stay = False,
    dry_run: DryRun = False,
    print_id: PrintId = False,
    as_json: AsJson = False,
) -> None:
    limit, megabytes = seconds_of(time_limit, "--time-limit"), megabytes_of(memory, "--memory")
    needs = Needs(host_of(on, "--on"), gpus, megabytes, limit)
    settings = console.settings()
    user = settings.user
    wishes = Wishes(user, name, priority, notify_of(notify, "--notify"), hold, needs, max_parallel)
    parents = [parent_of(word) for word in after or ()]
    configs = _read(arguments, Spread(lists, seeds, folds))
    planned = new_runs(configs, wishes, code.version())
    if following and len(planned) > 1:
        raise UsageError("--follow follows one run", fix="--wait stays with several")
    if dry_run:
        planned = foresee(planned, (), settings)
        if as_json:
            console.out_json(would_record(planned))
        else:
            console.out(would_lines(planned, console.width()))
        console.talk([nothing_queued(planned)])
        return
    queue = console.open_queue()
    agree = _nothing if yes else _agree
    sent, batch = place(
        queue, configs, planned, wishes, parents, settings, again=again, agree=agree
    )
    tell(queue, sent, batch, print_id=print_id, as_json=as_json)
    stay(queue, sent, following=following, wait=wait)


def _read(arguments: Sequence[str], spread: Spread) -> list[Loaded]:
    """All configs, or the problems of all of them."""
    files, overrides = split_arguments(arguments)
    if not files:
        raise UsageError("no config file was given", fix="publisher submit FILE [key=value ...]")
    loaded, refused = load_all(files, overrides, spread)
    if refused:
        raise all_problems(refused)
    return [cell for file in files for cell in loaded[file]]


def _nothing(planned: Sequence[Planned]) -> None:
    """Any plan is agreed to."""


def _agree(planned: Sequence[Planned]) -> None:
    """Show a long plan and ask; where nobody can answer, refuse."""
    if len(planned) <= MANY:
        return
    console.talk([f"{count(len(planned), 'run')} would be queued, such as:"])
    console.talk(would_lines(planned[:MANY], console.width()))
    if not sys.stdin.isatty():
        raise UsageError(
            f"{len(planned)} runs are many; nothing was queued", fix="--yes queues them all"
        )
    if not console.asked("Queue them?"):
        raise UsageError("nothing was queued")
