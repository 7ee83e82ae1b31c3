"""What run folders still know of runs that the queue has forgotten. Reads, and writes nothing.

`record.json` says how a run stood when its last attempt began or ended; what happened after that is
in the folder of that attempt: a result, or checkpoints.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.events import ExitCode
from schemas.result import Result
from schemas.run import ENDED, ID_PATTERN, TOKEN_PATTERN, Run, State
from schemas.rundir import MANIFEST, AttemptDir, RunDir, RunsRoot


@dataclass(frozen=True, slots=True)
class Found:
    """A run as it should stand in the queue again."""

    run: Run
    how: str  # in words
    folder: Path

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The rows of the last attempt that wrote some: they are those of the earlier ones too."""
        for attempt in _attempts(RunDir(self.folder)):
            if attempt.metrics.is_file():
                return list(_rows(attempt.metrics))
        return []

    @property
    def lines(self) -> list[str]:
        """What all attempts said, as it stands in their logs."""
        logs = [attempt.log for attempt in reversed(_attempts(RunDir(self.folder)))]
        texts = [log.read_text(errors="replace") for log in logs if log.is_file()]
        return [line for text in texts for line in text.splitlines()]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A run folder that does not say enough."""

    folder: Path
    why: str


def search(roots: Iterable[RunsRoot]) -> list[Found | Unreadable]:
    """Every run of these runs roots once, the ended ones first, because others may wait for them;
    where two roots know a run, the later attempt counts.
    """
    found: dict[str, Found] = {}
    unreadable: list[Found | Unreadable] = []
    for root in roots:
        for each in _search(root):
            if isinstance(each, Unreadable):
                unreadable.append(each)
            elif (other := found.get(each.run.id)) is None or _later(each.run, other.run):
                found[each.run.id] = each
    in_order = sorted(found.values(), key=lambda each: (each.run.state not in ENDED, each.run.id))
    return [*in_order, *unreadable]


def _search(root: RunsRoot) -> Iterator[Found | Unreadable]:
    root_id = root.id()
    for folder in sorted(root.path.iterdir()):
        if ID_PATTERN.match(folder.name) and folder.is_dir():
            run_dir = RunDir(folder)
            try:
                run = Run.model_validate_json(run_dir.record.read_bytes())
                yield restored(run, run_dir, root_id)
            except FileNotFoundError:
                yield Unreadable(folder, f"there is no {run_dir.record.name}")
            except (OSError, ValueError) as error:
                yield Unreadable(folder, f"{run_dir.record.name}: {_mistake(error)}")


def restored(run: Run, run_dir: RunDir, root_id: str) -> Found:
    """The run as it ended; or, when its end is not known, as it can go on."""
    if run.state in ENDED:
        return Found(run, f"{run.state}, as it ended", run_dir.path)
    attempts = _attempts(run_dir)
    if run.state is State.RUNNING and attempts and (end := _finish(run, attempts[0])):
        return Found(end, "finished; only its end had not been told", run_dir.path)
    fields: dict[str, Any] = {"token": "", "worker": "", "lease_until": None, "wish": None}
    if run.state is State.RUNNING:
        fields |= {
            "state": State.QUEUED,
            "attempt": max([run.attempt, *(each.number for each in attempts)]),
        }
    if checkpoint := _newest_checkpoint(attempts):
        step = int(checkpoint.name.partition("-")[2])
        fields |= {"checkpoint": run_dir.relative(checkpoint), "checkpoint_step": step}
        fields |= {"runs_root": root_id}
    elif run.runs_root in ("", root_id) and run.checkpoint:
        fields |= {"checkpoint": "", "checkpoint_step": 0}
    again = Run.model_validate({**run.model_dump(), **fields})
    where = f"from step {again.checkpoint_step}" if again.checkpoint else "from step 0"
    return Found(again, f"{again.state} again, {where}", run_dir.path)


def _finish(run: Run, attempt: AttemptDir) -> Run | None:
    """The finish that the live attempt reached after Redis was gone."""
    try:
        result = Result.model_validate_json(attempt.result.read_bytes())
        ended_at = attempt.result.stat().st_mtime
    except (OSError, ValueError):
        return None
    if result.exit_code != ExitCode.FINISHED or result.token != attempt.path.name:
        return None
    fields = {
        "state": State.FINISHED,
        "token": "",
        "lease_until": None,
        "ended_at": ended_at,
        "ended_by": run.worker,
        "best": result.best or run.best,
        "result": result.told(),
        "result_attempt": result.token,
        "data_fingerprint": str(result.facts.get("data", "")),
    }
    return Run.model_validate({**run.model_dump(), **fields})


def _rows(table: Path) -> Iterator[dict[str, Any]]:
    """The numbers of an epoch a row; nothing of a table that is none."""
    with suppress(ValueError, KeyError, TypeError, csv.Error), table.open(newline="") as file:
        for row in csv.DictReader(file):
            values = {name: float(text) for name, text in row.items() if text}
            yield values | {"epoch": int(values["epoch"]), "step": int(values["step"])}


def _attempts(run_dir: RunDir) -> list[AttemptDir]:
    """The newest first."""
    folders = run_dir.attempts.iterdir() if run_dir.attempts.is_dir() else ()
    found = [run_dir.attempt(each.name) for each in folders if TOKEN_PATTERN.match(each.name)]
    return sorted(found, key=lambda attempt: attempt.number, reverse=True)


def _newest_checkpoint(attempts: list[AttemptDir]) -> Path | None:
    """Of the highest attempt that has a whole one, the furthest."""
    for attempt in attempts:
        folders = [path for path in attempt.checkpoints.glob("step-*") if path.name[5:].isdigit()]
        for folder in sorted(folders, key=lambda path: int(path.name[5:]), reverse=True):
            if whole(folder):
                return folder
    return None


def whole(checkpoint: Path) -> bool:
    """Every file is there, and as its manifest says."""
    try:
        sums: dict[str, str] = json.loads((checkpoint / MANIFEST).read_text())
        return bool(sums) and all(_sha256(checkpoint / name) == sums[name] for name in sums)
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _later(one: Run, other: Run) -> bool:
    """An ended record of the same attempt knows more than one that goes on."""
    return (one.attempt, one.state in ENDED) > (other.attempt, other.state in ENDED)


def _mistake(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"
    return str(error)
