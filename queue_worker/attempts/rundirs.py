"""What stands at the top of a run folder, made anew from the record: for people, and to rebuild.

run.log of all attempts, result.json of the one that counts, `last` and `best` as links; and the
record itself, from which `queue admin rebuild` makes the queue's again after Redis was wiped.
"""

import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from queue_worker.attempts import orders
from schemas.errors import NotFound, TrainqError
from schemas.run import ID_PATTERN, Run, State
from schemas.rundir import RunDir, RunsRoot, replacing, write_atomic

log = logging.getLogger(__name__)


def begin(root: RunsRoot, run: Run) -> None:
    """An attempt begins: its record, and a note that somebody owes this folder a `refresh`."""
    write_atomic(root.run(run.id).record, _record(run))
    root.unsettled.mkdir(exist_ok=True)
    write_atomic(root.unsettled / run.id, run.token.encode())


def refresh(root: RunsRoot, run: Run, token: str) -> None:
    """After an attempt: the run folder as the record has it now."""
    _rewrite(root.run(run.id), run, token)
    note = root.unsettled / run.id
    if orders.read(note) == token.encode():  # another one may have begun meanwhile
        note.unlink(missing_ok=True)


def catch_up(root: RunsRoot, get: Callable[[str], Run]) -> list[str]:
    """At a worker's start: what workers before it died without refreshing; the ids."""
    behind = []
    notes = sorted(root.unsettled.iterdir()) if root.unsettled.is_dir() else []
    for note in notes:
        if not ID_PATTERN.match(note.name) or not (token := orders.read(note)):
            continue
        try:
            run = get(note.name)
            if run.state is not State.RUNNING:
                refresh(root, run, token.decode())
                behind.append(run.id)
        except NotFound:
            continue  # Redis was wiped; `queue admin rebuild` asks for what is here
        except (TrainqError, OSError, ValueError) as error:
            log.warning("the run folder of %s is not up to date: %s", note.name, error)
    return behind


def _rewrite(run_dir: RunDir, run: Run, token: str) -> None:
    write_atomic(run_dir.record, _record(run))
    _write_log(run_dir)
    counts = run_dir.attempt(run.result_attempt or token)
    if (result := orders.read(counts.result)) is not None:
        write_atomic(run_dir.result, result)
    if run.state is State.FINISHED and counts.best.is_dir():
        run_dir.drop_checkpoints()
    elif run.checkpoint:
        run_dir.drop_superseded(run.checkpoint)
    _point(run_dir.last, run_dir.path / run.checkpoint if run.checkpoint else None)
    _point(run_dir.best, counts.best)


def _record(run: Run) -> bytes:
    return run.model_dump_json(indent=1).encode()


def _write_log(run_dir: RunDir) -> None:
    """The logs of all attempts, one after the other."""
    with replacing(run_dir.log) as temporary, temporary.open("wb") as whole:
        for folder in orders.attempts(run_dir):
            whole.write(f"==== attempt {folder.path.name} ====\n".encode())
            with suppress(FileNotFoundError), folder.log.open("rb") as part:
                shutil.copyfileobj(part, whole)


def _point(link: Path, target: Path | None) -> None:
    """A relative link to what is there, or no link."""
    if target is None or not target.is_dir():
        link.unlink(missing_ok=True)
        return
    with replacing(link) as temporary:
        temporary.symlink_to(target.relative_to(link.parent), target_is_directory=True)
