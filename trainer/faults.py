"""What ends an attempt on purpose. Each fault knows its cause and its exit code; `fix` says what
would mend it. Everything else that flies out of a run is judged in `attempt`.
"""

import math
import time

from schemas.errors import TrainqError
from schemas.events import ExitCode
from schemas.run import Cause

AGAIN_S = 0.02  # until a fence is looked at again


class Fault(TrainqError):
    """The attempt cannot go on, for a reason that its trainer understands."""

    exit_code = ExitCode.CODE
    cause = Cause.CODE


class ConfigFault(Fault):
    """The config asks for what this model, these data or this machine cannot do."""

    exit_code = ExitCode.CONFIG
    cause = Cause.CONFIG


class DataFault(Fault):
    """Images, labels or weights are missing, unreadable, or contradict each other."""

    exit_code = ExitCode.DATA
    cause = Cause.DATA


class Diverged(Fault):
    """The loss or the weights are no numbers any more."""

    exit_code = ExitCode.DIVERGED
    cause = Cause.DIVERGED

    def __init__(self, what: str, lr: float, step: int | None = None) -> None:
        super().__init__(what, fix=f"optim.lr={lr / 10:g}")
        self.step = step  # whose loss was the first


class DiskFault(Fault):
    """Checkpoints cannot be written."""


class Leaving(Exception):
    """Somebody asked this attempt to save and leave; the argument says who."""


class Leave:
    """The wish to save and leave, set by a signal or by the watch on the worker."""

    def __init__(self) -> None:
        self.reason = ""
        self.ours_until = math.inf  # by the monotonic clock; whoever hears the worker moves it

    def ask(self, reason: str) -> None:
        """The first reason counts."""
        self.reason = self.reason or reason

    def check(self) -> None:
        """Called wherever a run may be interrupted; raises once somebody asked."""
        if self.reason:
            raise Leaving(self.reason)

    def fence(self) -> None:
        """Called before a checkpoint gets its name: not while our time is over. Who was frozen for
        so long hears the beats that came meanwhile, and goes on, or hears none and is ended here.
        """
        while time.monotonic() > self.ours_until:
            time.sleep(AGAIN_S)
