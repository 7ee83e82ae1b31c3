"""Keeps an eye on the GPUs in a thread of its own: a driver that hangs must not hang the worker."""

import threading
import time
from collections.abc import Callable

from queue_worker import admission
from queue_worker.admission import Manners, Offer, Reading

PATIENCE_S = 1.0  # for one look; a healthy driver answers within milliseconds
SILENT_S = 10.0  # without an answer the driver counts as hanging

Readings = tuple[Reading, ...]


class Lookout:
    """The last that the driver said, and what follows for the next run."""

    def __init__(self, look: Callable[[], Readings], manners: Manners) -> None:
        self._look, self._manners = look, manners
        self._asked, self._answered = threading.Event(), threading.Event()
        self._readings: Readings = ()
        self._answered_at = time.monotonic()
        threading.Thread(target=self._watch, name="lookout", daemon=True).start()

    def offer(self, *, training: bool) -> Offer:
        """What the GPUs can take now, by a look that is as fresh as the driver allows."""
        self._answered.clear()
        self._asked.set()
        self._answered.wait(PATIENCE_S)
        silence = time.monotonic() - self._answered_at
        if silence > SILENT_S:
            return Offer(1, busy_with=f"the GPU driver has not answered for {silence:.0f} s")
        return admission.offer(self._readings, self._manners, training)

    def _watch(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            self._readings = self._look()
            self._answered_at = time.monotonic()
            self._answered.set()
