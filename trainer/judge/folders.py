"""Which attempt of a run's folder finished; said without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.errors import NotFound
from schemas.events import ExitCode
from schemas.result import Result
from schemas.rundir import AttemptDir, RunDir
from trainer.faults import DataFault


def finished_attempt(folder: Path) -> AttemptDir:
    """The attempt that ended the run of a folder."""
    run_dir = RunDir(folder.resolve())
    if not run_dir.config.is_file():
        raise NotFound(f"{folder} is no run's folder", fix="name a folder below TRAINQ_RUNS")
    for path in sorted(run_dir.attempts.glob("*/result.json"), reverse=True):
        if read(path).exit_code == ExitCode.FINISHED:
            return run_dir.attempt(path.parent.name)
    raise NotFound(f"the run in {folder} has not finished", fix="only finished runs have weights")


def result_of(folder: Path) -> Result:
    """What the attempt that ended it said at its end."""
    return read(finished_attempt(folder).result)


def read(path: Path) -> Result:
    """How an attempt ended."""
    try:
        return Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        what = f"{path} is damaged: it is no result of an attempt"
        raise DataFault(what, fix="restore it, or train the run again") from error


def facts_of(folder: Path) -> dict[str, Any]:
    """What its result says beside numbers."""
    return result_of(folder).facts


def spread_out(folders: Sequence[Path]) -> list[Path]:
    """The folders of runs; that of a gather run becomes those of its runs that finished."""
    found: list[Path] = []
    for folder in folders:
        parts = [folder.resolve().parent / str(part) for part in facts_of(folder).get("parts", ())]
        there = [part for part in parts if has_finished(part)] if parts else [folder]
        if not there:
            why = f"none of the {len(parts)} runs that {folder} sums up is here and has finished"
            raise NotFound(why, fix="their folders belong beside it")
        found += there
    return found


def has_finished(folder: Path) -> bool:
    try:
        finished_attempt(folder)
    except NotFound:
        return False
    return True
