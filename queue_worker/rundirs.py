"""What people find at the top of a run folder, made anew from the record. No code ever reads it.

run.log of all attempts, result.json of the one that counts, `last` and `best` as links.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from queue_worker import orders
from schemas.run import Run, State
from schemas.rundir import RunDir, replacing, write_atomic


def refresh(run_dir: RunDir, run: Run, token: str) -> None:
    """After an attempt: the run folder as the record has it now."""
    _write_log(run_dir)
    counts = run_dir.attempt(run.result_attempt or token)
    if (result := orders.read(counts.result)) is not None:
        write_atomic(run_dir.result, result)
    if run.state is State.FINISHED and counts.best.is_dir():
        run_dir.drop_checkpoints()
    _point(run_dir.last, run_dir.path / run.checkpoint if run.checkpoint else None)
    _point(run_dir.best, counts.best)


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
