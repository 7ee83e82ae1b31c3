"""`publisher retry`: a new run from one that has ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import completion, console
from publisher.desk.options import All, AsJson, PrintId, States, TimeLimit, Yes, seconds_of
from publisher.desk.selectors import choice, find_batch, select, selected
from publisher.pages.consent import agree
from publisher.plans.duplicates import tried_already
from publisher.plans.plan import (
    Planned,
    Start,
    again,
    check_ended,
    start_of,
    to_retry,
    wired,
    within,
)
from publisher.plans.preflight import foresee
from publisher.plans.sending import alive, send, tell
from schemas import code
from schemas.errors import TransitionRefused, UsageError
from schemas.overrides import split_arguments
from schemas.run import ENDED, Run
from schemas.source import read

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Queue ended runs again as new ones, from their last checkpoint.",
    "publisher retry 7f3j9a",
    "publisher retry @failed optim.lr=1e-4 --fresh",
    "publisher retry --failed -b 4hq7zn",
)

Failed = Annotated[
    bool, typer.Option("--failed", help="With -b, --mine or --all: what failed or was skipped.")
]

Things = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN|KEY=VALUE",
        help="Ended runs; overrides for all.",
        autocompletion=completion.runs,
    ),
]
OneBatch = Annotated[
    str,
    typer.Option(
        "-b",
        "--batch",
        metavar="BATCH",
        help="Of this batch: its id, name, or @last.",
        autocompletion=completion.batches,
    ),
]


def retry(
    arguments: Things = None,
    failed: Failed = False,
    batch: OneBatch = "",
    mine: Annotated[bool, typer.Option("--mine", help="Of my runs.")] = False,
    states: States = None,
    everything: All = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="From step 0, not a checkpoint.")] = False,
    time_limit: TimeLimit = "",
    print_id: PrintId = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    words, overrides = split_arguments(arguments or ())
    limit = seconds_of(time_limit, "--time-limit")
    _demand_clear(words, states, failed=failed, wide=bool(batch) or mine or everything)
    queue, user = console.open_queue(), console.settings().user
    ids = select(queue, words, user)
    if failed:
        ids += _failed(queue, batch, user, mine=mine)
    if states:
        chosen = choice((), [batch] if batch else [], states, mine=mine, everything=everything)
        ids += selected(queue, chosen, user, ENDED)
    if failed or states:
        agree(queue, ids, user, "retry", yes=yes)  # what is named one by one is meant
    if not ids:
        raise TransitionRefused("there is no such run to try again", fix="queue list --all")
    olds = [queue.get(run_id) for run_id in dict.fromkeys(ids)]
    planned, starts = zip(*(_again(old, overrides, user, fresh=fresh) for old in olds), strict=True)
    console.talk(tried_already(planned, queue.same(*{one.digest for one in planned if one.digest})))
    known = foresee(wired(within(limit, planned)), alive(queue), console.settings())
    sent = [
        replace(one, start=start.reason)
        for one, start in zip(send(queue, known), starts, strict=True)
    ]
    tell(queue, sent, print_id=print_id, as_json=as_json)


def _demand_clear(
    words: Sequence[str], states: Sequence[str] | None, *, failed: bool, wide: bool
) -> None:
    """Refuse what does not say which runs are meant."""
    if failed and (states or not wide):
        fix = "publisher retry --failed -b BATCH, or --failed --mine"
        raise UsageError("--failed goes with -b, --mine or --all, and not with -s", fix=fix)
    if wide and not (failed or states):
        raise UsageError("which of them is not said", fix="--failed, or -s STATE")
    if not words and not failed and not states:
        raise UsageError("no run was given", fix="publisher retry RUN [key=value ...]")


def _failed(queue: Queue, word: str, user: str, *, mine: bool) -> list[str]:
    """What of a batch, or of one's own runs, is to be done again."""
    batch = find_batch(queue, word, user) if word else ""
    rows = queue.list(batch=batch, user=user if mine else "")
    if not (ids := to_retry(rows)):
        where = f"batch {batch}" if batch else "your runs"
        what = f"nothing of {where} failed that was not tried again"
        raise TransitionRefused(what, fix="queue list -s failed,skipped")
    return ids


def _again(old: Run, overrides: Sequence[str], user: str, *, fresh: bool) -> tuple[Planned, Start]:
    check_ended(old)
    loaded = read(json.dumps(old.config, indent=1), f"run {old.id}", overrides)
    start = start_of(old, loaded.config.canonical(), fresh=fresh)
    return again(old, loaded, user, start, code.version()), start
