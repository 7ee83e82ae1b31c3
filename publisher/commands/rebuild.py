"""`queue admin rebuild`: the records again, from run folders, after Redis lost them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import console
from publisher.desk.options import AsJson
from schemas.errors import QueueUnreachable, TrainqError, UsageError, count
from schemas.rundir import RunsRoot
from schemas.salvage import Found, Unreadable, search

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Put the runs of run folders back into a queue that has lost them; touches none that it has.",
    "queue admin rebuild",
    "queue admin rebuild --dry-run",
    "queue admin rebuild /mnt/v100/runs /mnt/a100/runs",
)


def rebuild(
    roots: Annotated[
        list[Path] | None,
        typer.Argument(metavar="ROOT", help="Runs roots.  [default: TRAINQ_RUNS]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look, restore nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    found = search([_root(path) for path in roots or [console.settings().runs]])
    runs = [each for each in found if isinstance(each, Found)]
    lost = [each for each in found if isinstance(each, Unreadable)]
    told: list[tuple[Found, bool]] = []
    queue, user = None if dry_run else console.open_queue(), console.settings().user
    for each in runs:
        try:
            told.append((each, queue is None or _restored(queue, each, user)))
        except QueueUnreachable:
            raise
        except TrainqError as error:  # one bad record must not keep the others away
            lost.append(Unreadable(each.folder, error.what))
    if as_json:
        console.out_json(
            {
                "dry_run": dry_run,
                "runs": [_record(each, new) for each, new in told],
                "left_out": [{"folder": str(each.folder), "why": each.why} for each in lost],
            }
        )
    else:
        console.out(_line(each, new) for each, new in told)
    console.talk([f"left out {each.folder}: {each.why}" for each in lost])
    console.talk([_summary([new for _, new in told], lost, dry_run)])
    if told:
        again = " ".join(["queue admin rebuild", *map(str, roots or ())])
        console.hint(f"Do it: {again}" if dry_run else "Look: queue list --all")


def _restored(queue: Queue, found: Found, user: str) -> bool:
    return queue.restore(found.run, by=user, metrics=found.metrics, lines=found.lines)


def _root(path: Path) -> RunsRoot:
    root = RunsRoot(path)
    if not root.marker.is_file():
        fix = "queue admin rebuild PATH, the TRAINQ_RUNS of a worker"
        raise UsageError(f"{path} is no runs root: it has no {root.marker.name}", fix=fix)
    return root


def _line(each: Found, new: bool) -> str:
    return f"{each.run.id} {each.run.name}: {each.how if new else 'is in the queue, left alone'}"


def _record(each: Found, new: bool) -> dict[str, object]:
    run = each.run
    facts = {"id": run.id, "name": run.name, "state": str(run.state), "restored": new}
    return {**facts, "checkpoint_step": run.checkpoint_step, "how": each.how}


def _summary(new: Sequence[bool], lost: Sequence[Unreadable], dry_run: bool) -> str:
    verb = "would restore" if dry_run else "restored"
    words = [f"{verb} {count(sum(new), 'run')}"]
    words += [f"{len(new) - sum(new)} left alone"] if not all(new) else []
    words += [f"{count(len(lost), 'folder')} not readable"] if lost else []
    return ", ".join(words)
