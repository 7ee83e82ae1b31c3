"""Processes that outlived their worker: known by their environment, ended by any worker here.

PDEATHSIG ends a trainer with its worker; what a trainer started elsewhere can remain. Every trainer
carries TRAINQ_TRAINER=<worker pid>:<worker start time>:<nonce>, and what it starts inherits it.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from queue_worker import host

VARIABLE = "TRAINQ_TRAINER"


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose a process is: the worker, by pid and start time, and which of its trainers."""

    worker: int
    started: str
    nonce: str

    def __str__(self) -> str:
        return f"{self.worker}:{self.started}:{self.nonce}"

    @property
    def orphaned(self) -> bool:
        """The worker that started this trainer is gone; a frozen one is not."""
        return host.start_time(self.worker) != self.started


def mark(nonce: str) -> Mark:
    """The mark of a trainer of this very process."""
    return Mark(os.getpid(), host.start_time(os.getpid()), nonce)


def parse(text: str) -> Mark | None:
    """A mark as it stands in an environment."""
    worker, _, rest = text.partition(":")
    started, _, nonce = rest.partition(":")
    return Mark(int(worker), started, nonce) if worker.isdigit() and started and nonce else None


def end_orphans() -> list[int]:
    """Kill what dead workers of this host have left; the pids."""
    return _end(lambda found: found.orphaned)


def end_remains(left: Mark) -> list[int]:
    """Kill what a trainer that is gone has left, in whatever session it hides; the pids."""
    return _end(lambda found: found == left)


def _end(doomed: Callable[[Mark], bool]) -> list[int]:
    ended = []
    for pid in host.neighbours():
        found = parse(host.environment(pid).get(VARIABLE, ""))
        if found and pid != os.getpid() and host.start_time(pid) and doomed(found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
    return ended
