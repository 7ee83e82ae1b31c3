"""`publisher search`: trials of one config in the queue, each chosen by those before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import completion, console
from publisher.desk.options import PRIORITIES
from publisher.desk.selectors import find_batch
from publisher.plans.given import read_config
from publisher.plans.plan import Batch, Wishes, run_name, slug
from publisher.plans.sending import notify_of
from publisher.search.searching import Leader
from schemas.components.search import Axis, Choice
from schemas.errors import NotFound, UsageError
from schemas.overrides import split_arguments
from schemas.run import new_id
from schemas.search import load_search
from schemas.settings import Settings
from schemas.sweep import Spread
from schemas.writing import written

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Queue trials of what `search:` varies, give bad ones up, name the best.",
    "publisher search birds.yaml",
    "publisher search birds.yaml search.trials=50 search.at_once=4 --name lr",
    "publisher search -b lr",
)


def search(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE|KEY=VALUE", help="A config with `search:`; overrides."),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(
            "-b",
            "--batch",
            metavar="BATCH",
            help="Go on with this search: its id, name, or @last.",
            autocompletion=completion.batches,
        ),
    ] = "",
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What to call it.")] = "",
    priority: Annotated[
        int,
        typer.Option(
            "--priority", metavar="N", min=-PRIORITIES, max=PRIORITIES, help="Higher goes first."
        ),
    ] = 0,
    notify: Annotated[
        str, typer.Option("--notify", metavar="WHO", help="#channel, @me or none.")
    ] = "",
) -> None:
    settings = console.settings()
    wishes = Wishes(settings.user, name, priority, notify_of(notify, "--notify"))
    files, overrides = split_arguments(arguments or ())
    if bool(batch) == bool(files) or len(files) > 1 or (batch and overrides):
        raise UsageError(
            "a search begins with one FILE, or goes on with -b BATCH",
            fix="publisher search FILE [key=value ...]",
        )
    queue = console.open_queue()
    if batch:
        leader = taken_up(queue, find_batch(queue, batch, settings.user), wishes, settings)
    else:
        leader = begun(queue, files[0], overrides, wishes, settings)
    lead(leader)


def begun(
    queue: Queue, file: str, overrides: list[str], wishes: Wishes, settings: Settings
) -> Leader:
    """A new search."""
    loaded = load_search(file, overrides)
    config = loaded.config
    name = slug(wishes.name) if wishes.name else config.name or run_name(config, ())
    axes = {axis.key: [shown(axis)] for axis in config.search.space}
    batch = Batch(new_id(), name, wishes.user, "search", config.search.trials, axes)
    return Leader(queue, batch, config, tuple(overrides), wishes, settings)


def shown(axis: Axis) -> str:
    """What people read of an axis."""
    if isinstance(axis, Choice):
        return " or ".join(written(value) for value in axis.of)
    return f"{axis.low:g} to {axis.high:g}"


def taken_up(queue: Queue, batch_id: str, wishes: Wishes, settings: Settings) -> Leader:
    """A search that is in the queue: its trials hold its config, and what it varies."""
    views = queue.batches(batch_id)
    rows = queue.list(batch=batch_id, limit=1)
    if not views or not rows or views[0].card.kind != "search":
        raise NotFound(f"{batch_id} is no search", fix="queue list shows batches")
    run = queue.get(rows[0].id)
    (loaded,) = read_config(run.config, (), Spread())
    config = loaded.config
    card = views[0].card
    varied = {axis.key for axis in config.search.space}
    typed = [text for text in run.overrides if text.partition("=")[0] not in varied]
    batch = Batch(card.id, card.name, card.user, "search", card.total, dict(card.axes))
    wishes = replace(wishes, priority=wishes.priority or run.priority)
    return Leader(queue, batch, config, tuple(typed), wishes, settings)


def lead(leader: Leader) -> None:
    """Stay until it is over; whoever leaves says how to go on."""
    batch = leader.batch
    again = f"publisher search -b {batch.id}"
    console.talk([f"search {batch.id} {batch.name}; if this ends, it goes on by: {again}"])
    try:
        runs = leader.lead()
    except KeyboardInterrupt:
        console.talk([f"left; what is queued goes on, no more trials are queued until: {again}"])
        raise
    console.out(leader.summary(runs))
    console.hint(f"Next: queue results -b {batch.id}")
