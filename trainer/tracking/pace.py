"""How often pictures are drawn: they may use a hundredth of the training's time, however short its
epochs are. Rows are passed on at once; the pictures of the last and of the best epoch come anyway.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from trainer.tracking.told import Begun, Ended, Sight, Told

LOG = logging.getLogger(__name__)
PART = 0.01  # seconds of a processor, in a second of training, for the pictures of all places


class Place(Protocol):
    """Where a run is shown. It may raise whatever it likes: it is told nothing more then."""

    def take(self, told: Told) -> None:
        """One line after the other; the first says which run it is."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the pictures of one place may use, and what they have."""

    part: float = PART
    used_s: float = 0.0  # of a processor
    passed: frozenset[int] = frozenset()  # epochs whose pictures were not drawn

    def due(self, after_s: float) -> bool:
        """After so much training: whether what was drawn so far is paid for."""
        return self.used_s <= self.part * after_s

    def late(self, last: int, best: int | None) -> tuple[bool, int | None]:
        """At the end: whether the last evaluation is still to be drawn, and which epoch as best."""
        return last in self.passed, best if best != last and best in self.passed else None


class Paced:
    """A place, and what it is shown of all that is told."""

    def __init__(self, name: str, place: Place, again: Callable[[int], Sight | None]) -> None:
        """The last finds what was told of an epoch: to keep all of it would fill the memory."""
        self.name, self.place, self.again = name, place, again
        self.pace, self.newest = Pace(), Sight(epoch=0)

    def take(self, told: Told) -> None:
        """Everything, but for pictures that have to wait."""
        if isinstance(told, Begun):
            self.pace = Pace(PART / max(1, len(told.track.to)))
        if isinstance(told, Sight):
            self.see(told)
            return
        if isinstance(told, Ended):
            self.catch_up(told)
        self.place.take(told)

    def see(self, sight: Sight) -> None:
        """Draw them now, or pass over them."""
        self.newest = sight
        if self.pace.due(sight.after_s):
            began = time.process_time()
            self.place.take(sight)
            used_s = self.pace.used_s + time.process_time() - began
            self.pace = replace(self.pace, used_s=used_s)
            return
        if not self.pace.passed:
            LOG.info(
                "%s: no pictures of epoch %d and of some after it, for they get %.0f%% of the "
                "training's time; those of the last and the best epoch come at the end",
                self.name,
                sight.epoch,
                100 * PART,
            )
        self.pace = replace(self.pace, passed=self.pace.passed | {sight.epoch})

    def catch_up(self, ended: Ended) -> None:
        """The training is over: nothing waits for pictures any more."""
        best_epoch = ended.best.epoch if ended.best else None
        last, best = self.pace.late(self.newest.epoch, best_epoch)
        if last:
            self.place.take(self.newest)
        if best is not None and (sight := self.again(best)):
            self.place.take(sight.model_copy(update={"best": True}))
