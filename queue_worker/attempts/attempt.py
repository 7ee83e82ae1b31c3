"""The attempt that runs, as the two threads of a worker share it: what to report, what is wished.

The main thread tells what the trainer said; the tick thread takes it to Redis and brings wishes.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from queue_worker.door.records import Claim, Ending, Renewal, Report, Verdict
from schemas.events import Alive, Chosen, Epoch, Foreseen, Line, Saved, metrics_row
from schemas.run import Best, Progress

LOG_LINES = 2000  # kept while Redis is away; the attempt's own file has them all


@dataclass
class Heard:
    """What the trainer has said so far; the tick thread sends what is new of it."""

    progress: Progress | None = None
    best: Best | None = None
    chosen: Chosen | None = None
    foreseen: Foreseen | None = None
    saved: Saved | None = None

    def beyond(self, step: int) -> bool:
        """Whether it has done a step of its own after this one."""
        return (self.progress.step if self.progress else 0) > step or self.saved is not None


class Attempt:
    """One attempt of a run by this worker, from its claim to its end."""

    def __init__(self, claim: Claim, hurry: Callable[[], None]) -> None:
        self.run, self.token = claim.run, claim.token
        self.settled = threading.Event()  # the ending is written, or nobody wants it
        self._hurry = hurry  # a checkpoint or the ending: the tick must not sleep on
        self.heard = Heard()
        self.wish: Renewal | None = None
        self.fenced = False
        self.ending: Ending | None = None
        self.verdict: Verdict | None = None
        self._lock = threading.Lock()
        self._unsaid = False  # progress, best or choice that no report has carried yet
        self._log: list[str] = []
        self._rows: list[dict[str, Any]] = []
        self._pointer: Saved | None = None
        self._number = 0
        self._in_flight: Report | None = None

    # ---- main thread

    def hear(self, lines: Sequence[Line]) -> None:
        """What the trainer said on its pipe."""
        with self._lock:
            for line in lines:
                self._hear(line)

    def _hear(self, line: Line) -> None:
        self._unsaid = True
        if isinstance(line, Alive):
            self.heard.progress = line.progress
        elif isinstance(line, Epoch):
            self._rows.append(metrics_row(line))
            self.heard.best = line.best or self.heard.best
        elif isinstance(line, Chosen):
            self.heard.chosen = line
        elif isinstance(line, Foreseen):
            self.heard.foreseen = line
        elif isinstance(line, Saved):
            self.heard.saved = self._pointer = line
            self._hurry()

    def write(self, lines: Sequence[str]) -> None:
        """What the trainer printed."""
        with self._lock:
            self._log += lines
            if (over := len(self._log) - LOG_LINES) > 0:
                self._log[: over + 1] = [f"... {over + 1} lines are only in the run's folder"]

    def end(self, ending: Ending) -> None:
        """Ask the tick thread to write the end; `settled` says when that is done."""
        self.ending = ending
        self._hurry()

    # ---- tick thread

    def report(self) -> Report | None:
        """What to send now; the same again until `reported`, so that a repeat adds nothing."""
        with self._lock:
            if self._in_flight is None and (self._log or self._rows or self._unsaid):
                self._in_flight = self._next_report()
            return self._in_flight

    def reported(self) -> None:
        """The report has arrived."""
        with self._lock:
            self._in_flight = None

    def _next_report(self) -> Report:
        self._number += 1
        chosen, foreseen = self.heard.chosen, self.heard.foreseen
        report = Report(
            number=self._number,
            progress=self.heard.progress,
            best=self.heard.best,
            log=tuple(self._log),
            metrics=tuple(self._rows),
            precision=chosen.precision if chosen else "",
            micro_batch=chosen.micro_batch if chosen else 0,
            preflight=foreseen.preflight.model_dump(mode="json") if foreseen else {},
        )
        self._log, self._rows, self._unsaid = [], [], False
        return report

    def pointer(self) -> Saved | None:
        """The newest checkpoint that Redis does not know yet."""
        return self._pointer

    def pointed(self, saved: Saved) -> None:
        """Redis knows this checkpoint now; a newer one may have come meanwhile."""
        with self._lock:
            if self._pointer is saved:
                self._pointer = None

    def settle(self, verdict: Verdict | None) -> None:
        """The last word about this attempt; None when it could not be written at all."""
        self.verdict = verdict
        self.settled.set()
