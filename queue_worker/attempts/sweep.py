"""Processes that outlived their worker: known by their environment, ended by any worker here.

PDEATHSIG ends a trainer with its worker; what a trainer started elsewhere can remain. Every trainer
carries TRAINQ_TRAINER=<worker pid>:<worker start time>:<nonce>, and what it starts inherits it.
Followers, who show a run elsewhere, have a mark of their own: those of a finished run may stay.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from queue_worker import host
from schemas.events import FOLLOWER, MARK

VARIABLE = MARK


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose a process is: the worker, by pid and start time, and which of its trainers."""

    worker: int
    started: str
    nonce: str

    def __str__(self) -> str:
        return f"{self.worker}:{self.started}:{self.nonce}"

    @property
    def followers(self) -> "Mark":
        """Of those who tell others of this trainer's run."""
        return replace(self, nonce=self.nonce + FOLLOWER)

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


def end_remains(*left: Mark) -> list[int]:
    """Kill what a trainer that is gone has left, in whatever session it hides; the pids."""
    return _end(lambda found: found in left)


def alive() -> set[Mark]:
    """Whose processes live on this host."""
    return {found for _, found in _marked()}


def _end(doomed: Callable[[Mark], bool]) -> list[int]:
    ended = []
    for pid, found in _marked():
        if doomed(found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                ended.append(pid)
    return ended


def _marked() -> Iterator[tuple[int, Mark]]:
    for pid in host.neighbours():
        found = parse(host.environment(pid).get(VARIABLE, ""))
        if found and pid != os.getpid() and host.start_time(pid):
            yield pid, found
