"""`publisher retry`: a new run from one that has ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from publisher import console
from publisher.options import AsJson, PrintId
from publisher.plan import Planned, Start, again, check_ended, start_of
from publisher.selectors import select
from publisher.sending import send, tell
from schemas.errors import UsageError
from schemas.overrides import split_arguments
from schemas.run import Run
from schemas.source import read

HELP = console.help_text(
    "Queue ended runs again as new ones, from their last checkpoint.",
    "publisher retry 7f3j9a",
    "publisher retry @failed optim.lr=1e-4 --fresh",
    "queue list -s failed -o id | xargs publisher retry",
)


def retry(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="RUN|KEY=VALUE", help="Ended runs; overrides for all."),
    ],
    fresh: Annotated[bool, typer.Option("--fresh", help="From step 0, not a checkpoint.")] = False,
    print_id: PrintId = False,
    as_json: AsJson = False,
) -> None:
    words, overrides = split_arguments(arguments)
    if not words:
        raise UsageError("no run was given", fix="publisher retry RUN [key=value ...]")
    queue, user = console.open_queue(), console.settings().user
    olds = [queue.get(run_id) for run_id in select(queue, words, user)]
    planned, starts = zip(*(_again(old, overrides, user, fresh=fresh) for old in olds), strict=True)
    sent = [
        replace(one, start=start.reason)
        for one, start in zip(send(queue, planned), starts, strict=True)
    ]
    tell(queue, sent, print_id=print_id, as_json=as_json)


def _again(old: Run, overrides: Sequence[str], user: str, *, fresh: bool) -> tuple[Planned, Start]:
    check_ended(old)
    loaded = read(json.dumps(old.config, indent=1), f"run {old.id}", overrides)
    start = start_of(old, loaded.config.canonical(), fresh=fresh)
    return again(old, loaded, user, start), start
