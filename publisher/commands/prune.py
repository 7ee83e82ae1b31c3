"""`queue admin prune`: forget runs that ended long ago; with --folders also what they left here.

A run stays as long as something needs its record: a run that waits for it, a batch that has not
ended, an end that nobody was told of. A folder stays unless its record was forgotten just now, it
is that very run's, and no run that waits or runs goes on from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import console
from publisher.desk.options import AsJson, Yes, seconds_of
from schemas.errors import UsageError, count
from schemas.run import PENDING, Run, State
from schemas.rundir import RunsRoot

if TYPE_CHECKING:
    from queue_worker.queue import Queue, Row

HELP = console.help_text(
    "Forget runs that ended long ago: records, logs, metrics, events. Run folders stay, and bring\n"
    "them back (queue admin rebuild), unless --folders deletes those of this runs root too.",
    "queue admin prune --older-than 90d --dry-run",
    "queue admin prune --older-than 90d",
    "queue admin prune --older-than 180d --folders",
)
OlderThan = Annotated[
    str, typer.Option("--older-than", metavar="TIME", help="Ended so long ago, as in 90d.")
]
GIB = 1 << 30


def prune(
    older_than: OlderThan,
    folders: Annotated[
        bool, typer.Option("--folders", help="Their folders in TRAINQ_RUNS too, for good.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, forget nothing.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    seconds = seconds_of(older_than, "--older-than")
    if not seconds:
        raise UsageError("--older-than says how long ago", fix="--older-than 90d")
    root = _root() if folders else None
    queue, user = console.open_queue(), console.settings().user
    before = queue.now() - seconds
    found = queue.prune(queue.ended_before(before), before, by=user, dry_run=True)
    gone = [run_id for run_id, why in found.items() if not why]
    rows = queue.rows(gone)
    ours = deletable(rows, root, _begun_from(queue)) if root else []
    if not as_json:
        console.talk(plan_lines(rows, found, ours, root, before))
    if not dry_run and gone:
        console.confirm(_question(rows, ours, root), yes=yes)
        done = queue.prune(gone, before, by=user)
        gone = [run_id for run_id, why in done.items() if not why]
        ours = [run_id for run_id in ours if run_id in set(gone)]
        for run_id in ours:
            RunsRoot(console.settings().runs).discard(run_id)
    elif gone and not as_json:
        also = " --folders" if folders else ""
        console.hint(f"Do it: queue admin prune --older-than {older_than}{also}")
    if as_json:
        kept = {run_id: why for run_id, why in found.items() if why}
        console.out_json({"dry_run": dry_run, "runs": gone, "folders": ours, "kept": kept})
    elif not dry_run and gone:
        also = f" and deleted {count(len(ours), 'folder')}" if root else ""
        console.out([f"forgot {count(len(gone), 'run')}{also}"])


def _root() -> RunsRoot:
    root = RunsRoot(console.settings().runs)
    if not root.marker.is_file():
        raise UsageError(
            f"{root.path} is no runs root: it has no {root.marker.name}",
            fix="TRAINQ_RUNS=PATH queue admin prune ..., on a host that sees the folders",
        )
    return root


def _begun_from(queue: Queue) -> set[str]:
    """Runs whose checkpoints a run that waits or runs may still begin from."""
    rows = queue.list(states={*PENDING, State.RUNNING})
    begun = (queue.get(row.id).start_from for row in rows if row.retry_of)
    return {start.partition("/")[0] for start in begun if start}


def deletable(rows: Sequence[Row], root: RunsRoot, needed: Collection[str]) -> list[str]:
    """The runs whose folders here are really theirs, and needed by nobody."""
    return [row.id for row in rows if row.id not in needed and _is_of(row, root)]


def _is_of(row: Row, root: RunsRoot) -> bool:
    """An id may come again after years; the record in the folder says whose it is."""
    folder = root.run(row.id)
    if folder.path.is_symlink() or (root.unsettled / row.id).exists():
        return False
    try:
        run = Run.model_validate_json(folder.record.read_bytes())
    except (OSError, ValueError):
        return False
    return run.id == row.id and abs(run.submitted_at - row.submitted_at) < 1


def plan_lines(
    rows: Sequence[Row],
    found: Mapping[str, str],
    ours: Sequence[str],
    root: RunsRoot | None,
    before: float,
) -> Iterator[str]:
    """What would go, what stays, and why."""
    day = datetime.fromtimestamp(before).astimezone().strftime("%Y-%m-%d %H:%M")
    owners = _owners(rows)
    yield f"{count(len(rows), 'run')} ended before {day} and can go" + (owners and f": {owners}")
    reasons = Counter(_kind_of(why) for why in found.values() if why)
    yield from (f"  {number} stay: {why}" for why, number in reasons.most_common())
    if root:
        size = sum(_size(root, run_id) for run_id in ours) / GIB
        yield f"  {count(len(ours), 'folder')} of them in {root.path}, {size:.1f} GiB"


def _question(rows: Sequence[Row], ours: Sequence[str], root: RunsRoot | None) -> str:
    also = f" and delete {count(len(ours), 'folder')} for good" if root else ""
    return f"forget {count(len(rows), 'run')}{also}"


def _owners(rows: Sequence[Row]) -> str:
    numbers = Counter(row.user for row in rows)
    return ", ".join(f"{number} of {owner}" for owner, number in sorted(numbers.items()))


def _kind_of(why: str) -> str:
    """A reason without the id that it begins with, so that equal ones count together."""
    if why.endswith("of its batch has not ended"):
        return "their batch has not ended"
    return "a run waits for them" if why.endswith("waits for it") else why


def _size(root: RunsRoot, run_id: str) -> int:
    files = (path for path in root.run(run_id).path.rglob("*") if path.is_file())
    return sum(path.lstat().st_size for path in files)
