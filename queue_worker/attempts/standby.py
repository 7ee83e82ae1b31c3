"""The next trainer, already past its imports: one at most, replaced when its source changes.

Main thread only, as everything that spawns.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from queue_worker import host
from queue_worker.attempts.child import Trainer
from schemas import code
from schemas.events import Order

log = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "timm", "numpy")
AGAIN_S = 30.0  # after one has died while it waited
MEMORY_NEEDED = 2 << 30  # bytes free before 0.7 GB are spent on being quick


class Standby:
    """Where a run's trainer comes from: warm when one waits, else a new one by the same path."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], *, warm: bool) -> None:
        self._command, self._env, self._warm = command, env, warm
        self._waiting: Trainer | None = None
        self._made_from = ""
        self._not_before = 0.0

    def prepare(self) -> None:
        """See to it that a current trainer waits, if that is wanted and affordable."""
        if self._waiting and self._waiting.ended():
            words = self._waiting.last_words().decode(errors="replace").strip()
            log.warning("the trainer that waited has died: %s", words.rpartition("\n")[2])
            self._not_before = time.monotonic() + AGAIN_S
            self.dismiss()
        if self._waiting and self._made_from != fingerprint():
            self.dismiss()
        if self._wanted():
            self._waiting, self._made_from = self._spawn(), fingerprint()

    def _wanted(self) -> bool:
        if not self._warm or self._waiting or time.monotonic() < self._not_before:
            return False
        return host.available_memory() > MEMORY_NEEDED

    def start(self, order: Order) -> Trainer:
        """A trainer that has its order."""
        waiting, self._waiting = self._waiting, None
        if waiting:
            if self._made_from == fingerprint() and waiting.order(order):
                return waiting
            waiting.discard()
        fresh = self._spawn()
        fresh.order(order)  # should it die at once, its exit code says why
        return fresh

    def dismiss(self) -> None:
        """Send away whoever waits."""
        if self._waiting:
            self._waiting.discard()
            self._waiting = None

    def _spawn(self) -> Trainer:
        return Trainer(self._command, self._env)


def fingerprint() -> str:
    """Changes when the trainer's source or the packages it has imported change."""
    return "|".join([*code.stamps(), *versions().values()])


def versions() -> dict[str, str]:
    """Installed versions of what decides a result, without importing any of it."""
    found = {}
    for name in (*PACKAGES, "trainq"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
