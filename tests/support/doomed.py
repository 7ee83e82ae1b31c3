"""A trainer that meets SIGKILL at a place known beforehand: so it is the same place every time."""

import os
import signal
import sys
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from schemas.events import ExitCode, Order
from support.attendants import FORK
from support.waiting import TORCH_S
from trainer.crew import Solo
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.report import Report

Moment = Literal["before a step", "inside a step", "while it saves"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)


class Doomed(Leave):
    """Ends the process instead of a step."""

    def __init__(self, report: Report, step: int) -> None:
        super().__init__()
        self.report, self.step = report, step

    def check(self) -> None:
        if self.report.progress.step == self.step:
            end()


class Fated(Solo):
    """Ends the process when a step has its gradients."""

    def __init__(self, report: Report, step: int) -> None:
        self.report, self.step = report, step

    def mean(self, value: Tensor) -> Tensor:
        if self.report.progress.step == self.step:
            end()
        return value


def killed(order: Order, step: int, moment: Moment) -> int:
    """How a process of its own ends that trains until SIGKILL; it saves at `step` or never."""
    process = FORK.Process(target=live, args=(order, step, moment))
    process.start()
    process.join(TORCH_S)
    assert process.exitcode is not None, "it still lives"
    return process.exitcode


def live(order: Order, step: int, moment: Moment) -> None:
    """The child; who outlives its fate ends with a code that says so."""
    report = Report([])
    if moment == "while it saves":
        sys.addaudithook(lambda event, about: fall(event, about, step))
    leave = Doomed(report, step) if moment == "before a step" else Leave()
    crew = Fated(report, step) if moment == "inside a step" else Solo()
    execute(order, report, leave, crew)
    os._exit(ExitCode.FINISHED)


def fall(event: str, about: tuple[object, ...], step: int) -> None:
    """Everything of the checkpoint is written, but it has not got its name."""
    if event == "os.rename" and Path(str(about[1])).name == f"step-{step}":
        end()


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
