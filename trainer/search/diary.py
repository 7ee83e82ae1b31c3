"""The folder of a search by hand: the trials that were begun, in one file, and a run folder each.

What a trial came to is read from its run; a search that was interrupted goes on from here.
"""

import csv
import json
import os
from pathlib import Path
from typing import Any

from schemas.components.search import Search
from schemas.errors import UsageError
from schemas.events import ExitCode
from schemas.rundir import RunDir, SearchDir
from schemas.search import Trial
from trainer.judge import folders

GAVE_UP = ("pruned", "failed")


class Diary:
    """What was begun and given up; every word is on the disk before it is acted upon."""

    def __init__(self, folder: SearchDir, search: Search, metric: str) -> None:
        self.folder, self.search, self.metric = folder, search, metric
        self.begun: list[tuple[str, ...]] = []
        self.given_up: dict[int, str] = {}
        for line in _lines(folder.trials):
            self._take(line)

    def begin(self, over: tuple[str, ...]) -> int:
        """A new trial; its number."""
        self._write({"over": list(over)})
        return len(self.begun)

    def give_up(self, number: int, how: str) -> None:
        """A trial that is not worth it, or cannot be run."""
        self._write({"trial": number, "how": how})

    def trials(self) -> list[Trial]:
        """All of them, as their runs stand."""
        return [self.trial(number) for number in range(1, len(self.begun) + 1)]

    def trial(self, number: int) -> Trial:
        run = self.folder.trial(number)
        values = values_of(run, self.metric)
        over, state = self.begun[number - 1], self.given_up.get(number) or state_of(run)
        return Trial.model_validate({"over": over, "values": values, "state": state})

    def _write(self, line: dict[str, Any]) -> None:
        with self.folder.trials.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "over" in line:
            self.begun.append(tuple(line["over"]))
        elif line["how"] in GAVE_UP:
            self.given_up[line["trial"]] = line["how"]


def _lines(path: Path) -> list[dict[str, Any]]:
    """The whole ones: the last may have been cut off, and what it said was not acted upon."""
    if not path.exists():
        return []
    *whole, rest = path.read_text().split("\n")
    if rest:
        path.write_text("".join(f"{line}\n" for line in whole))
    return [_line(path, number, line) for number, line in enumerate(whole, 1)]


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    """What a line says of a trial."""
    try:
        found = json.loads(text)
        if "over" in found or {"trial", "how"} <= set(found):
            return dict(found)
    except (ValueError, TypeError):
        pass
    what = f"{path} line {number} says nothing of a trial: {text[:40]!r}"
    raise UsageError(what, fix="take the line out; each trial's own folder stays as it is")


def state_of(run: RunDir) -> str:
    """How its attempts ended; one that saved and left goes on."""
    codes = [folders.read(path).exit_code for path in run.attempts.glob("*/result.json")]
    if ExitCode.FINISHED in codes:
        return "done"
    return "failed" if any(code != ExitCode.SAVED for code in codes) else "going"


def why_of(run: RunDir) -> str:
    """What its newest attempt died of, as far as that could say it."""
    results = sorted(run.attempts.glob("*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    return " ".join(folders.read(results[-1]).error.split()) if results else ""


def values_of(run: RunDir, metric: str) -> dict[int, float]:
    """The metric of every epoch so far: the newest attempt that closed one has them all."""
    tables = sorted(run.attempts.glob("*/metrics.csv"), key=lambda path: path.stat().st_mtime_ns)
    if not tables:
        return {}
    with tables[-1].open() as file:
        rows = list(csv.DictReader(file))
    return {int(row["epoch"]): float(row[metric]) for row in rows if row.get(metric)}
