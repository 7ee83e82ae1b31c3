"""A thread that repeats one step for as long as the worker lives, whatever the step raises."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Routine(threading.Thread):
    """Calls `step`, which answers how long to rest; `wake` ends a rest, `leave` the thread."""

    FAULT_PAUSE_S = 1.0

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        super().__init__(name=name, daemon=True)
        self._step = step
        self._wake = threading.Event()
        self._leaving = False

    def wake(self) -> None:
        """Something cannot wait for the next step."""
        self._wake.set()

    def leave(self, limit_s: float) -> None:
        """End after the present step, waiting at most so long."""
        self._leaving = True
        self._wake.set()
        self.join(limit_s)

    def run(self) -> None:
        while not self._leaving:
            self._wake.wait(self._rest())
            self._wake.clear()

    def _rest(self) -> float:
        try:
            return self._step()
        except Exception:  # one of the two broad ones: a fault here must not end the worker
            log.exception("%s: unexpected", self.name)
            return self.FAULT_PAUSE_S
