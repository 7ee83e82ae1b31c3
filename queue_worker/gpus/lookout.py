"""Keeps an eye on the GPUs in a thread of its own: a driver that hangs must not hang the worker."""

import threading
import time
from collections.abc import Callable

from queue_worker.gpus import admission
from queue_worker.gpus.admission import Manners, Offer, Past, Reading

PATIENCE_S = 1.0  # for one look; a healthy driver answers within milliseconds
SILENT_S = 10.0  # without an answer the driver counts as hanging

Readings = tuple[Reading, ...]


class Lookout:
    """The last that the driver said, and what follows for the next run. Any thread may ask."""

    def __init__(self, look: Callable[[], Readings], manners: Manners) -> None:
        self._look, self._manners = look, manners
        self._turn = threading.Condition()
        self._asked = self._answered = 0  # looks
        self._waits_since: float | None = None  # for an answer
        self._readings: Readings | None = None
        self._past = Past()
        threading.Thread(target=self._watch, name="lookout", daemon=True).start()

    def offer(self, *, training: bool) -> Offer:
        """What the GPUs can take now, by a look that began after this question."""
        with self._turn:
            self._asked += 1
            mine = self._asked
            self._waits_since = self._waits_since or time.monotonic()
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._answered >= mine, PATIENCE_S)
            return self._decide(time.monotonic(), training)

    def _decide(self, now: float, training: bool) -> Offer:
        silence = now - (self._waits_since or now)
        if self._readings is None or silence > SILENT_S:
            said = f"the GPU driver has not answered for {silence:.0f} s"
            return Offer(1, busy_with=said, broken=silence > SILENT_S)
        found, self._past = admission.look(
            self._readings, self._manners, training=training, past=self._past, now=now
        )
        return found

    def _watch(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._asked > self._answered)
                number = self._asked
            readings = self._look()
            with self._turn:
                self._readings, self._answered = readings, number
                self._waits_since = time.monotonic() if self._asked > number else None
                self._turn.notify_all()
