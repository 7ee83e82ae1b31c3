"""Those who still send a finished run elsewhere: they hold no GPU, and no run waits for them.

Each ends itself when its time is over. Here they are counted: where runs end faster than they can
be sent, the worker waits for the oldest, or their processes would fill the host.
"""

import time
from collections.abc import Callable

from queue_worker.attempts import sweep
from queue_worker.attempts.sweep import Mark

FEW = 2  # runs; a follower takes 0.2 GB
LONGEST_S = 330.0  # more than the trainer gives any of them


class Followers:
    """Of the runs of one worker that have finished."""

    def __init__(self) -> None:
        self._since: dict[Mark, float] = {}

    def stay(self, trainer: Mark) -> None:
        """That trainer finished a run which others are told of."""
        self._since[trainer.followers] = time.monotonic()

    def wait(self, waited: Callable[[], bool], few: int = FEW) -> None:
        """Until only so many runs are left that are still being sent, or there is no more time."""
        while len(self._since) > few and self._left() > few and waited():
            pass

    def _left(self) -> int:
        alive, now = sweep.alive(), time.monotonic()
        self._since = {mark: since for mark, since in self._since.items() if mark in alive}
        if late := [mark for mark, since in self._since.items() if now - since > LONGEST_S]:
            sweep.end_remains(*late)
        return len(self._since)
