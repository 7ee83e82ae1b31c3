"""Watch one trainer at work: hear it, beat, pass on wishes, notice hangs. No Redis, no policy.

Main thread only; whatever Redis does, a turn of this loop stays short.
"""

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from queue_worker.attempts.attempt import Attempt
from queue_worker.attempts.child import Trainer
from queue_worker.attempts.tail import Tail

log = logging.getLogger(__name__)

TURN_S = 0.1
NEAR_END_S = 10.0  # before its end, the next trainer may begin its imports


@dataclass(frozen=True, slots=True)
class Limits:
    """How long what may take; all from the settings."""

    beat_s: float
    stall_s: float
    grace_s: float
    dying_s: float


@dataclass(frozen=True, slots=True)
class Exit:
    """How a trainer left."""

    code: int  # negative: a signal
    stalled: bool
    killed: bool  # by us, after its grace was over
    stuck: bool = False  # in the kernel: it lives on, and nothing of it may be waited for


class Watch:
    """One trainer and its attempt, until the trainer is gone."""

    def __init__(
        self,
        trainer: Trainer,
        attempt: Attempt,
        log_file: Path,
        limits: Limits,
        leaving: Callable[[], bool],
        near_end: Callable[[], None],
    ) -> None:
        self.trainer, self.attempt, self.limits = trainer, attempt, limits
        self._leaving, self._near_end = leaving, near_end
        self._tail = Tail(log_file)
        now = time.monotonic()
        self._turned_at = self._moved_at = now
        self._beat_at = 0.0
        self._asked = ""  # "leave", "stall" or "fence"; each is asked once
        self._deadline: float | None = None
        self._killed_at: float | None = None

    def run(self) -> Exit:
        """Until the trainer has ended and everything it said is heard, or not even SIGKILL helps.

        The end of one that hangs in the kernel can be told all the same: it will never do a step
        again, and what it might still write is fenced.
        """
        turn_s = min(TURN_S, self.limits.beat_s / 2)
        while not (ended := self.trainer.ended()) and not self._hopeless():
            self._hear(turn_s)
            now = time.monotonic()
            self._notice_own_absence(now)
            self._beat(now)
            self._ask(now)
            self._enforce(now)
        code = self.trainer.collect() if ended else -signal.SIGKILL
        self._hear(0)
        self.attempt.write(self._tail.lines(rest=True))
        killed = self._killed_at is not None
        return Exit(code, stalled=self._asked == "stall", killed=killed, stuck=not ended)

    def _hopeless(self) -> bool:
        """A GPU driver that hangs keeps its processes from dying."""
        killed_at = self._killed_at
        return killed_at is not None and time.monotonic() - killed_at > self.limits.dying_s

    def _hear(self, timeout_s: float) -> None:
        lines = self.trainer.hear(timeout_s)
        self.attempt.hear(lines)
        before = self._tail.offset
        self.attempt.write(self._tail.lines())
        if lines or self._tail.offset > before:
            self._moved_at = time.monotonic()
        progress = self.attempt.heard.progress
        if lines and progress and progress.eta_s is not None and progress.eta_s < NEAR_END_S:
            self._near_end()

    def _notice_own_absence(self, now: float) -> None:
        """A worker that was frozen saw nothing move: that says nothing about its trainer."""
        gap, self._turned_at = now - self._turned_at, now
        if gap > max(1.0, 3 * self.limits.beat_s):
            self._moved_at += gap

    def _beat(self, now: float) -> None:
        if now >= self._beat_at:
            self.trainer.beat()
            self._beat_at = now + self.limits.beat_s

    def _ask(self, now: float) -> None:
        """Ask it to leave, for the strongest reason there is."""
        if self.attempt.fenced and self._asked != "fence":
            self.trainer.fence()
            self._set_deadline("fence", now + 2 * self.limits.beat_s)
        elif self._asked:
            return
        elif now - self._moved_at > self.limits.stall_s:
            log.warning("%s nothing moved for %.0f s", self.attempt.run.id, self.limits.stall_s)
            self.trainer.send(signal.SIGUSR1)  # dumps the stacks of all threads into its log
            self._set_deadline("stall", now + 2 * self.limits.beat_s)
        elif self.attempt.wish or self._leaving():
            why = self.attempt.wish.wish if self.attempt.wish else "drain"
            log.info("%s is asked to save and leave: %s", self.attempt.run.id, why)
            self.trainer.send(signal.SIGTERM)
            self._set_deadline("leave", now + self.limits.grace_s)

    def _set_deadline(self, asked: str, deadline: float) -> None:
        self._asked, self._deadline = asked, deadline

    def _enforce(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._killed_at = self._killed_at or now
            self._deadline = now + 2 * self.limits.beat_s  # again, should it be stuck in the kernel
            self.trainer.kill()
