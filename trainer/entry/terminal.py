"""How a run by hand looks: a bar on a terminal, one line an epoch elsewhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from schemas.events import Alive, Line
from schemas.rundir import AttemptDir
from trainer.report import COUNTED, EPOCHS, EventFile, Report, pace_words

PLAIN = logging.Formatter("%(message)s")
TIMED = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")


@contextmanager
def at_terminal(attempt: AttemptDir) -> Iterator[Report]:
    """What a run reports to while somebody watches it."""
    with Bar(Console(stderr=True)) as bar:
        talk(bar, attempt.log)
        yield Report([EventFile(attempt.events), bar])


class Bar:
    """A live line with the progress of the run; silent where nobody watches."""

    def __init__(self, console: Console) -> None:
        self.shown = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.shown.add_task("starting", total=None, words="")

    def __enter__(self) -> Self:
        self.shown.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shown.stop()

    def __call__(self, line: Line) -> None:
        if not isinstance(line, Alive):
            return
        now = line.progress
        counted = COUNTED.search(now.doing)
        done, whole = map(int, counted.groups()) if counted else (now.step, now.steps)
        words = [f"loss={now.loss:.3g}"] if now.loss is not None else []
        self.shown.update(
            self.task,
            description=f"epoch {now.epoch + 1}/{now.epochs} {now.doing}"
            if now.epochs
            else now.doing,
            total=whole or None,
            completed=done,
            words=" ".join([*words, *pace_words(now)]),
        )


class ThroughBar(logging.Handler):
    """Log lines above the bar instead of through it."""

    def __init__(self, bar: Bar) -> None:
        super().__init__()
        self.console = bar.shown.console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)


def talk(bar: Bar, log: Path) -> None:
    """Send log lines to the terminal and the run's log; epochs to stdout, where they are data."""
    file = logging.FileHandler(log)
    file.setFormatter(TIMED)
    terminal = bar.shown.console.is_terminal
    people = ThroughBar(bar) if terminal else logging.StreamHandler(sys.stderr)
    people.setFormatter(PLAIN)
    logging.basicConfig(handlers=[file, people])
    logging.getLogger("trainer").setLevel(logging.INFO)
    if not terminal:
        epochs = logging.StreamHandler(sys.stdout)
        epochs.setFormatter(PLAIN)
        EPOCHS.handlers, EPOCHS.propagate = [file, epochs], False
