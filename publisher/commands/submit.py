"""`publisher submit`: check every word of a config, then queue it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from publisher import console
from publisher.configs import all_problems, load_all
from publisher.options import AsJson, PrintId
from publisher.plan import Wishes, new_runs
from publisher.receipts import nothing_queued, would_lines
from publisher.sending import send, stay, tell
from schemas.config import NOTIFY
from schemas.errors import UsageError
from schemas.overrides import split_arguments
from schemas.run import new_id
from schemas.source import Loaded

HELP = console.help_text(
    "Check configs and queue a run for each: all of them or none.",
    "publisher submit birds.yaml",
    "publisher submit birds.yaml optim.lr=3e-4 --priority 10 --follow",
    "publisher submit fold0.yaml fold1.yaml --notify @me",
)


def submit(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="FILE|KEY=VALUE", help="Configs; overrides for all of them."),
    ],
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What to call the run.")] = "",
    priority: Annotated[
        int, typer.Option("--priority", metavar="N", min=-1000, max=1000, help="Higher goes first.")
    ] = 0,
    hold: Annotated[bool, typer.Option("--hold", help="Queue, but do not start yet.")] = False,
    notify: Annotated[
        str, typer.Option("--notify", metavar="WHO", help="#channel, @me or none.")
    ] = "",
    following: Annotated[
        bool, typer.Option("--follow", help="Stay, print its lines; exit as the run does.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Stay; exit as the runs do.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, queue nothing.")] = False,
    print_id: PrintId = False,
    as_json: AsJson = False,
) -> None:
    configs = _read(arguments)
    if following and len(configs) > 1:
        raise UsageError("--follow follows one run", fix="--wait stays with several")
    wishes = Wishes(
        user=console.settings().user,
        name=name,
        priority=priority,
        notify=_known(notify),
        hold=hold,
        batch=new_id() if len(configs) > 1 else "",
    )
    planned = new_runs(configs, wishes)
    if dry_run:
        console.out(would_lines(planned, console.width()))
        console.talk([nothing_queued(planned)])
        return
    queue = console.open_queue()
    sent = send(queue, planned)
    tell(queue, sent, print_id=print_id, as_json=as_json)
    stay(queue, sent, following=following, wait=wait)


def _read(arguments: Sequence[str]) -> list[Loaded]:
    """All configs, or the problems of all of them."""
    files, overrides = split_arguments(arguments)
    if not files:
        raise UsageError("no config file was given", fix="publisher submit FILE [key=value ...]")
    loaded, refused = load_all(files, overrides)
    if refused:
        raise all_problems(refused)
    return [loaded[file] for file in files]


def _known(notify: str) -> str:
    """The value of `--notify`, or a refusal that shows what it may be."""
    if notify and not re.fullmatch(NOTIFY, notify):
        raise UsageError(f"--notify '{notify}' is nobody", fix="#channel, @me or none")
    return notify
