"""What a run says while it happens: lines to its worker, to its folder and to people.

Nothing here may stop a run: a reader that is slow, frozen or gone loses lines, not steps.
"""

import csv
import io
import logging
import os
import re
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from schemas.events import Alive, Epoch, Line, metrics_row
from schemas.run import Best, Progress
from schemas.rundir import write_atomic
from trainer.tracking.telling import Tracking

LOG = logging.getLogger(__name__)
EPOCHS = logging.getLogger("trainer.epochs")  # one line an epoch, for people

COUNTED = re.compile(r": (\d+) of (\d+)$")  # words that say how far something is
ALIVE_EVERY_S = 0.5
TALK_EVERY_S = 60.0  # a line for people when an epoch takes longer

Sink = Callable[[Line], None]


class Report:
    """Passes lines on, and remembers the last ones for the result."""

    def __init__(self, sinks: Sequence[Sink], clock: Callable[[], float] = time.monotonic) -> None:
        self.sinks, self.clock = sinks, clock
        self.facts: dict[str, Any] = {}  # of the result: parameters, precision, checksums
        self.rows: list[dict[str, Any]] = []
        self.best: Best | None = None
        self.images_per_s: float | None = None
        self.tracking = Tracking()
        self._progress: dict[str, Any] = {}
        self._sent = self._talked = clock()

    @property
    def progress(self) -> Progress:
        return Progress(**self._progress)

    def begin(
        self, rows: list[dict[str, Any]], best: Best | None, *, step: int, **progress: int
    ) -> None:
        """Where the run is when this attempt begins to learn; `rows` goes on growing."""
        self.rows, self.best = rows, best
        self.facts["started_at_step"] = step
        self.alive(step=step, **progress)
        self.tracking.rows(rows)

    def doing(self, what: str) -> None:
        """Work begins that may be silent for long; said at once."""
        self._sent = 0.0
        self.alive(doing=what)

    def alive(self, **progress: Any) -> None:
        """Work was done; said twice a second at most."""
        self._progress.update(progress)
        now = self.clock()
        if now - self._sent >= ALIVE_EVERY_S:
            self._sent = now
            self.tell(Alive(progress=self.progress))
        if now - self._talked >= TALK_EVERY_S:
            self._talked = now
            LOG.info("%s", progress_line(self.progress))

    def epoch(self, line: Epoch) -> None:
        """An epoch is closed."""
        self.best = line.best or self.best
        self._talked = self.clock()
        EPOCHS.info("%s", epoch_line(line, self.progress))
        self.tell(line)
        self.tracking.rows([metrics_row(line)])

    def tell(self, line: Line) -> None:
        for sink in self.sinks:
            sink(line)

    def best_row(self) -> dict[str, float]:
        """The metrics of the best epoch."""
        for row in self.rows:
            if self.best and row["epoch"] == self.best.epoch:
                return {
                    name: float(value)
                    for name, value in row.items()
                    if name not in ("epoch", "step")
                }
        return {}


class EventPipe:
    """The trainer's lines to its worker. It never waits for the reader while a run goes on."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.waiting: deque[bytes] = deque()

    def __call__(self, line: Line) -> None:
        """Send what fits; what does not waits, except signs of life, which are worthless later."""
        if isinstance(line, Alive) and self.waiting:
            self.flush(0)
            if self.waiting:
                return
        self.waiting.append(line.model_dump_json().encode() + b"\n")
        self.flush(0)
        if isinstance(line, Alive):
            self.waiting.clear()

    def flush(self, limit_s: float) -> None:
        """Write while the reader reads, for so long at most."""
        deadline = time.monotonic() + limit_s
        while self.waiting and self._writable(max(deadline - time.monotonic(), 0)):
            try:
                os.write(self.descriptor, self.waiting[0])
            except OSError:  # the reader is gone; all of it stands in events.jsonl too
                self.waiting.clear()
                return
            self.waiting.popleft()

    def _writable(self, limit_s: float) -> bool:
        # a pipe is writable when PIPE_BUF bytes fit, and our lines are shorter than that
        return bool(select.select([], [self.descriptor], [], limit_s)[1])


class EventFile:
    """The same lines in the attempt's folder, without the signs of life."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, line: Line) -> None:
        if isinstance(line, Alive):
            return
        try:
            with self.path.open("ab") as file:
                file.write(line.model_dump_json().encode() + b"\n")
        except OSError as error:
            LOG.warning("could not write %s: %s", self.path.name, error)


def write_metrics(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """metrics.csv: the whole curve, also the epochs of earlier attempts."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    try:
        write_atomic(path, text.getvalue().encode())
    except OSError as error:
        LOG.warning("could not write %s: %s", path.name, error)


def epoch_line(line: Epoch, progress: Progress) -> str:
    """epoch 3/20 loss=0.81 acc=0.861 lr=9.8e-04 312img/s eta=15m"""
    values = line.metrics
    words = [f"epoch {line.epoch}/{progress.epochs}"]
    words += [f"loss={values['train_loss']:.3g}"] if "train_loss" in values else []
    words += [f"acc={values['accuracy']:.3f}"] if "accuracy" in values else []
    words += [f"f1={values['macro_f1']:.3f}"] if "macro_f1" in values else []
    words += [f"lr={values['lr']:.1e}", *pace_words(progress)]
    words += ["*best"] if line.best and line.best.epoch == line.epoch else []
    return " ".join(words)


def progress_line(progress: Progress) -> str:
    """epoch 3/20 step 120/375 training loss=0.81 312img/s eta=15m"""
    words = [f"epoch {progress.epoch + 1}/{progress.epochs}" if progress.epochs else ""]
    words += [f"step {progress.step}/{progress.steps}" if progress.steps else "", progress.doing]
    words += [f"loss={progress.loss:.3g}"] if progress.loss is not None else []
    return " ".join(word for word in [*words, *pace_words(progress)] if word)


def pace_words(progress: Progress) -> list[str]:
    rate, left = progress.images_per_s, progress.eta_s
    words = [f"{rate:.0f}img/s"] if rate else []
    return words + ([f"eta={duration(left)}"] if left is not None else [])


def duration(seconds: float) -> str:
    """40s, 15m, 2h05m."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes = round(seconds / 60)
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02}m"
