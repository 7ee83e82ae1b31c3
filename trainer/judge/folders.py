"""Which attempt of a run's folder finished; said without torch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.errors import NotFound
from schemas.events import ExitCode
from schemas.result import Result
from schemas.rundir import AttemptDir, RunDir


def finished_attempt(folder: Path) -> AttemptDir:
    """The attempt that ended the run of a folder."""
    run_dir = RunDir(folder.resolve())
    if not run_dir.config.is_file():
        raise NotFound(f"{folder} is no run's folder", fix="name a folder below TRAINQ_RUNS")
    for result in sorted(run_dir.attempts.glob("*/result.json"), reverse=True):
        if json.loads(result.read_text())["exit_code"] == ExitCode.FINISHED:
            return run_dir.attempt(result.parent.name)
    raise NotFound(f"the run in {folder} has not finished", fix="only finished runs have weights")


def result_of(folder: Path) -> Result:
    """What the attempt that ended it said at its end."""
    return Result.model_validate_json(finished_attempt(folder).result.read_bytes())


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
