"""`worker list`, `drain` and `resume`: what people ask of workers. Only wires and words."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas import diagnosis
from schemas.errors import EXIT_CODES, NotFound, TrainqError
from schemas.run import Run
from schemas.settings import Settings, sources

if TYPE_CHECKING:
    from queue_worker.queue import Control, Queue, WorkerView

VERBS = ("list", "drain", "resume", "doctor")
SCHEMA_VERSION = 1
SET = " " * 4  # a reason that stands below its worker
SENTENCE = """Take runs for a GPU, or look at the workers and steer them.

  worker --gpu 0       take runs; the same as: worker run --gpu 0"""

app = typer.Typer(
    help=f"{SENTENCE}\n\n\b\n{EXIT_CODES}",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _offered(incomplete: str) -> list[str]:
    """At a Tab: workers and their hosts, if Redis answers at once; never an error or a server."""
    from queue_worker.queue import Queue  # redis is not needed for --help

    try:
        queue = Queue.glimpse(Settings.read(os.environ, Path(".env")))
        cards = [worker.card for worker in queue.workers()] if queue else []
    except (TrainqError, OSError):
        return []
    names = dict.fromkeys([*(card.lane for card in cards), *(card.host for card in cards)])
    return [name for name in names if name.startswith(incomplete)]


Target = Annotated[
    str,
    typer.Argument(
        metavar="LANE|HOST",
        help="A worker, as in v100:0, or all of a host.",
        autocompletion=_offered,
    ),
]


@app.command("list")
def list_workers(
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, to stdout.")] = False,
) -> None:
    """Show every worker: its GPU, what it does, and why it takes nothing."""
    queue, _ = _door()
    workers, controls, now = queue.workers(), queue.controls(), queue.now()
    if as_json:
        records = [_record(worker, controls) for worker in workers]
        sys.stdout.write(
            json.dumps({"schema_version": SCHEMA_VERSION, "workers": records}, indent=2) + "\n"
        )
        return
    if not workers:
        print("no worker was seen today; on a GPU host: worker --gpu 0")
        return
    runs = {worker.run: queue.get(worker.run) for worker in workers if worker.run}
    rows = [_cells(worker, controls, runs, now) for worker in workers]
    print("\n".join(table(rows, shutil.get_terminal_size((120, 24)).columns)))


@app.command()
def drain(
    target: Target,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Shown to all.")] = "",
) -> None:
    """Empty a worker or a host: its run saves, goes back to its place; nothing new until resume."""
    queue, user = _door()
    scope = _scope(queue, target)
    if not queue.set_control("drain", scope, by=user, reason=reason):
        print(f"{target}: drained already")
    else:
        print(f"{target}: drained, it takes nothing new")
        for worker in _of(scope, queue.workers()):
            if worker.run:
                print(
                    f"  {worker.card.lane}: {worker.run} saves a checkpoint and goes back in line"
                )
    _talk(f"Let it go on: worker resume {target}    Look: worker list")


@app.command()
def resume(target: Target) -> None:
    """Let a worker or a host take runs again: ends drains and holds, a circuit breaker's too."""
    queue, user = _door()
    scope = _scope(queue, target)
    lanes = {f"worker:{worker.card.lane}" for worker in _of(scope, queue.workers())}
    host = target if scope.startswith("host:") else ""
    ended = [
        control
        for control in queue.controls()
        if control.kind in ("hold", "drain")
        and (control.scope in {scope, *lanes} or (host and control.scope == f"host:{host}"))
        and queue.clear_control(control.kind, control.scope, by=user)
    ]
    for control in ended:
        print(f"{control.scope.partition(':')[2]}: no longer {_signed(control)}")
    if not ended:
        print(f"{target}: was neither held nor drained")
    for worker in _of(scope, queue.workers()):
        if left := _standing(worker, queue.controls()):
            name = left.scope.partition(":")[2]
            command = f"worker resume {name}" if name else "queue release --all"
            print(f"  {worker.card.lane} still takes nothing: {_signed(left)}; try: {command}")
    _talk("Look: worker list    What is next: queue list")


@app.command()
def doctor(
    gpu: Annotated[str, typer.Option(help="As of worker; without it every GPU of this host.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, to stdout.")] = False,
) -> None:
    """Check this host: settings, Redis, Slack, GPUs, torch, systemd. Exit 1 when one fails."""
    from queue_worker import checkup  # redis, slack-sdk and NVML are not needed for --help

    dotenv = Path(".env")
    settings, named = Settings.read(os.environ, dotenv), sources(os.environ, dotenv)
    findings = list(checkup.examine(settings, gpu, os.environ, dotenv))
    if as_json:
        sys.stdout.write(json.dumps(diagnosis.document(named, findings), indent=2) + "\n")
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        settings_told = diagnosis.setting_lines(named, width)
        print("\n".join([*settings_told, "", *diagnosis.lines(findings, width)]))
    raise typer.Exit(diagnosis.worst(findings))


def _talk(text: str) -> None:
    """What to type next; stdout is data."""
    print(text, file=sys.stderr)


# ---- who is meant --------------------------------------------------------------------------------


def _door() -> "tuple[Queue, str]":
    from queue_worker.queue import Queue  # redis is not needed for --help

    settings = Settings.read(os.environ, Path(".env"))
    return Queue.connect(settings), settings.user


def _scope(queue: "Queue", target: str) -> str:
    """`worker:<lane>` or `host:<name>`; what is drained may have no worker any more."""
    cards = [worker.card for worker in queue.workers()]
    known = {f"worker:{card.lane}" for card in cards} | {f"host:{card.host}" for card in cards}
    known |= {control.scope for control in queue.controls()}
    for scope in (f"worker:{target}", f"host:{target}"):
        if scope in known:
            return scope
    lanes = ", ".join(card.lane for card in cards) or "none was seen today"
    raise NotFound(f"there is no worker or host {target!r}", where=f"workers: {lanes}")


def _of(scope: str, workers: "Sequence[WorkerView]") -> "list[WorkerView]":
    return [w for w in workers if scope in (f"worker:{w.card.lane}", f"host:{w.card.host}")]


def _standing(worker: "WorkerView", controls: "Sequence[Control]") -> "Control | None":
    """The hold or drain that keeps a worker from taking runs; the nearest one first."""
    scopes = (f"worker:{worker.card.lane}", f"host:{worker.card.host}", "all")
    found = [c for c in controls if c.kind in ("hold", "drain") and c.scope in scopes]
    return min(found, key=lambda control: scopes.index(control.scope), default=None)


# ---- words ---------------------------------------------------------------------------------------


def _signed(control: "Control") -> str:
    """`held by trainq: three in a row ended before their first step`."""
    word = "held" if control.kind == "hold" else "drained"
    wide = "" if control.scope.startswith("worker:") else f" ({control.scope.replace(':', ' ')})"
    why = f": {control.reason}" if control.reason else ""
    return f"{word}{wide} by {control.by}{why}"


def _state(worker: "WorkerView", control: "Control | None") -> str:
    if not worker.alive:
        return "silent"
    if control:
        return "held" if control.kind == "hold" else "drained"
    if worker.card.draining:
        return "leaving"
    if worker.run:
        return "busy"
    return "waiting" if worker.card.busy_with else "idle"


def _cells(
    worker: "WorkerView", controls: "Sequence[Control]", runs: dict[str, Run], now: float
) -> list[str]:
    card, control, run = worker.card, _standing(worker, controls), runs.get(worker.run)
    several = f"{card.gpus} x " if card.gpus > 1 and card.gpu_name else ""
    memory = f" {card.memory_mb / 1024:.0f} GiB" if card.memory_mb else ""
    gpu = several + card.gpu_name + memory
    epochs = f" {run.progress.epoch}/{run.progress.epochs}" if run and run.progress.epochs else ""
    doing = f"{run.id} {run.name} of {run.user}{epochs}" if run else ""
    reasons = [
        f"last seen {_ago(now - worker.seen_at)} ago" if not worker.alive else "",
        _signed(control) if control else "",
        card.busy_with,
        f"shares {card.shared_with}" if card.shared_with and not card.busy_with else "",
    ]
    why = "; ".join(reason for reason in reasons if reason)
    return [card.lane, gpu, _state(worker, control), doing, why]


def _record(worker: "WorkerView", controls: "Sequence[Control]") -> dict[str, Any]:
    card, control = worker.card, _standing(worker, controls)
    return {
        "lane": card.lane,
        "host": card.host,
        "gpu": card.gpu,
        "gpu_name": card.gpu_name,
        "gpus": card.gpus,
        "memory_mb": card.memory_mb,
        "offer_mb": card.offer_mb,
        "busy_with": card.busy_with,
        "shared_with": card.shared_with,
        "state": _state(worker, control),
        "alive": worker.alive,
        "seen_at": _iso(worker.seen_at),
        "run": worker.run,
        "control": {**control.model_dump(mode="json"), "at": _iso(control.at)} if control else None,
        "user": card.user,
        "code": card.code,
        "versions": card.versions,
    }


def _iso(at: float) -> str:
    """As `queue list --json` writes a time."""
    told = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def table(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Columns that hold something; the reason stands last, or below where the line is full."""
    plain = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    titles = ["WORKER", "GPU", "STATE", "RUN", "WHY"]
    shown = [index for index in range(4) if any(row[index] for row in plain)]
    widths = {i: max(len(titles[i]), *(len(row[i]) for row in plain)) for i in shown}
    lines = []
    for row in [titles, *plain] if any(row[4] for row in plain) else [[*titles[:4], ""], *plain]:
        cells = "  ".join(row[index].ljust(widths[index]) for index in shown)
        if len(cells) + 2 + len(row[4]) <= width:
            lines.append(f"{cells}  {row[4]}".rstrip())
        else:
            lines.append(cells.rstrip())
            lines += textwrap.wrap(
                row[4], max(width, 40), initial_indent=SET, subsequent_indent=SET
            )
    return lines


def _ago(seconds: float) -> str:
    """`42s`, `18m`, `3h`."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(seconds, 0))}s"
