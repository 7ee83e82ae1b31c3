"""Runs that wait are held, opened in an editor as one sheet, checked, shown, changed and let go."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from publisher.desk import console
from publisher.plans.editing import Edit, named, planned_of, with_needs
from publisher.plans.preflight import foresee
from publisher.plans.sending import alive
from schemas.errors import TrainqError, TransitionRefused, UsageError, count
from schemas.run import PENDING, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue
    from schemas.run import Run

HOLD_S = 900.0
REASON = "is being edited"


@contextmanager
def held(queue: Queue, ids: Sequence[str], user: str) -> Iterator[tuple[list[Run], str]]:
    """The runs, kept from starting until this is over, or for a quarter of an hour at most."""
    until = datetime.fromtimestamp(queue.now() + HOLD_S).astimezone().strftime("%H:%M")
    reason, ours, runs = f"{REASON} until {until}", [], []
    try:
        for run_id in ids:
            try:
                _demand_pending(queue.get(run_id))
                run = queue.hold(run_id, by=user, reason=reason, for_s=HOLD_S)
            except TransitionRefused as refusal:  # it has started, or somebody else edits it
                console.tell_error(refusal)
                continue
            ours += [run_id] if run.held_reason == reason else []
            runs.append(run)
        yield runs, until
    finally:
        for run_id in ours:
            with contextlib.suppress(TrainqError):  # the hold ends by itself
                run = queue.get(run_id)
                if run.state is State.HELD and run.held_reason == reason:
                    queue.release(run_id, by=user)


def foreseen(queue: Queue, edits: Sequence[Edit]) -> list[Edit]:
    """With what the new configs will need; a UsageError when one of them cannot run."""
    new = [each for each in edits if "config" in each.values]
    planned = foresee([planned_of(each) for each in new], alive(queue), console.settings())
    known = {each.run.id: with_needs(each, one) for each, one in zip(new, planned, strict=True)}
    return [known.get(each.run.id, each) for each in edits]


@contextmanager
def spared(file: Path) -> Iterator[None]:
    """What somebody wrote goes only once it is done; otherwise it is said where it lies."""
    try:
        yield
    except BaseException:
        console.talk([f"what you wrote is kept in {file}"])
        raise
    file.unlink()
    file.parent.rmdir()


def edits_by_hand(
    queue: Queue, runs: Sequence[Run], until: str, user: str
) -> tuple[list[Edit], Path]:
    """What somebody wants after looking at it in an editor, and the file that says so; a mistake
    opens it again."""
    from publisher.plans.worksheet import read_sheet, sheet  # with all models of a config

    file = Path(tempfile.mkdtemp(prefix="trainq-edit-"), "runs.yaml")
    file.write_text(sheet(runs, until))
    while True:
        _open(file)
        try:
            edits = read_sheet(
                file.read_text(errors="replace"),
                str(file),
                runs,
                lambda name: queue.resolve(name, user=user),
            )
            edits = foreseen(queue, edits)
        except UsageError as error:
            if not sys.stdin.isatty():
                raise
            console.tell_error(error)
            if not typer.confirm("Open it again?", default=True, err=True):
                raise TrainqError("nothing was changed", where=f"your text is in {file}") from error
        else:
            return edits, file


def _demand_pending(run: Run) -> None:
    if run.state not in PENDING:
        what = f"run {run.id} is {run.state}: edit is for a run that waits its turn"
        raise TransitionRefused(what, fix=f"queue show {run.id}")


def _open(file: Path) -> None:
    words = console.editor()
    try:
        done = subprocess.run([*words, str(file)], check=False)
    except OSError as error:
        fix = "export EDITOR=nano"
        raise UsageError(f"the editor {words[0]} cannot be started", fix=fix) from error
    if done.returncode:
        raise TrainqError(f"{words[0]} ended with {done.returncode}; nothing was changed")


def agreed(edits: Sequence[Edit], *, yes: bool) -> bool:
    """Show what would change, and ask."""
    if not edits:
        console.talk(["nothing was changed"])
        return False
    if not yes:
        console.talk(named(edits))
        console.confirm(f"change {count(len(edits), 'run')}", yes=False)
    return True
