"""A run as its folder tells of it, for looking at: also one that failed, or goes on."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from schemas.config import TrainConfig
from schemas.errors import NotFound, TrainqError
from schemas.events import ExitCode
from schemas.result import Result
from schemas.rundir import AttemptDir, RunDir
from schemas.source import load
from trainer.faults import DataFault
from trainer.judge import folders, predictions
from trainer.judge.predictions import Predictions

Row = dict[str, float]  # of metrics.csv: what was measured; nothing where nothing was


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of a run."""

    folder: Path
    config: TrainConfig
    attempt: AttemptDir
    result: Result | None  # of its newest attempt
    rows: tuple[Row, ...]
    machine: dict[str, Any]
    said: Predictions | None  # of the images that it had not seen
    folds: "tuple[Subject, ...]" = ()  # of a k-fold's gather run, those that are here
    called: str = ""  # as people named it; its folder is its id

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def title(self) -> str:
        """`resnet18-lr1e-3 7f3k2q`."""
        return f"{self.called} {self.name}" if self.called not in ("", self.name) else self.name

    @property
    def finished(self) -> bool:
        return self.result is not None and self.result.exit_code == ExitCode.FINISHED

    @property
    def gathers(self) -> bool:
        return bool(self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The runs that it has put together."""
        return tuple(self.result.facts.get("parts", ())) if self.result else ()

    def state(self) -> str:
        """How it stands, in a few words."""
        if self.result is None:
            return "has not ended"
        if self.finished:
            early = self.result.facts.get("ended_early")
            return f"finished, {early}" if early else "finished"
        if self.result.exit_code == ExitCode.SAVED:
            return "has not finished: it saved and left"
        return f"failed: {self.result.error}"


def of(folder: Path) -> Subject:
    """The run of a folder, by its newest attempt that has measured anything."""
    run_dir = RunDir(folder.resolve())
    if not run_dir.config.is_file():
        raise NotFound(f"{folder} is no run's folder", fix="name a folder below TRAINQ_RUNS")
    attempts = [run_dir.attempt(path.name) for path in run_dir.attempts.glob("*-*")]
    if not attempts:
        raise NotFound(f"the run in {folder} has not begun", fix="report it when it has")
    newest = max(attempts, key=lambda attempt: (attempt.metrics.is_file(), attempt.number))
    if done := [attempt for attempt in attempts if has_finished(attempt)]:
        newest = max(done, key=lambda attempt: attempt.number)
    result = result_of(newest)
    config = load(run_dir.config).config
    subject = Subject(
        run_dir.path,
        config,
        newest,
        result,
        tuple(measured(newest.metrics)),
        known(newest.environment),
        kept(run_dir.path),
        called=called(run_dir) or config.name or "",
    )
    if not subject.gathers:
        return subject
    near = [run_dir.path.parent / part for part in subject.parts]
    folds = tuple(of(path) for path in near if RunDir(path).config.is_file())
    return replace(subject, folds=folds)


def called(run_dir: RunDir) -> str:
    """The name that its record has; a run by hand has no record, and a damaged one names nobody."""
    try:
        name = json.loads(run_dir.record.read_bytes())["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def has_finished(attempt: AttemptDir) -> bool:
    result = result_of(attempt)
    return result is not None and result.exit_code == ExitCode.FINISHED


def result_of(attempt: AttemptDir) -> Result | None:
    """How it ended; nothing while it goes on, or where the host was lost."""
    if not attempt.result.is_file():
        return None
    return folders.read(attempt.result)


def measured(table: Path) -> Iterator[Row]:
    """The rows of metrics.csv, and of each what it has."""
    if not table.is_file():
        return
    try:
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                yield {name: float(text) for name, text in row.items() if name and text}
    except (ValueError, TypeError, csv.Error) as error:
        raise DataFault(
            f"{table} is damaged: {error}", fix="restore it, or move it away"
        ) from error


def known(environment: Path) -> dict[str, Any]:
    try:
        found = json.loads(environment.read_text()) if environment.is_file() else {}
    except ValueError as error:
        what = f"{environment} is damaged: {error}"
        raise DataFault(what, fix="restore it, or move it away") from error
    return found if isinstance(found, dict) else {}


def kept(folder: Path) -> Predictions | None:
    """What it said of the images that it had not seen, where that is kept."""
    try:
        return predictions.of_run(folder)
    except TrainqError:
        return None
