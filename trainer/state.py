"""Where a run is: what a checkpoint remembers of it besides weights and the learner's memory."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from schemas.run import Best


class Tally:
    """What an epoch's losses add up to, on the device: adding to it does not wait for a step."""

    def __init__(self, device: torch.device) -> None:
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self.counted, self.bad, self.worst, self.since = (
            torch.zeros((), dtype=torch.int64, device=device) for _ in range(4)
        )

    def add(self, loss: Tensor, step: int) -> None:
        finite = loss.isfinite()
        self.total += torch.where(finite, loss, 0.0)
        self.counted += finite
        self.bad = (self.bad + 1) * ~finite  # in a row
        self.since = torch.where(self.bad > self.worst, step + 1 - self.bad, self.since)
        self.worst = torch.maximum(self.worst, self.bad)

    def numbers(self) -> list[float]:
        """All of it on the host; the only place that waits."""
        values = (self.total, self.counted, self.bad, self.worst, self.since)
        numbers: list[float] = torch.stack([value.double() for value in values]).tolist()
        return numbers

    def set(self, numbers: list[float]) -> None:
        """The same as when `numbers` was taken."""
        mine = (self.total, self.counted, self.bad, self.worst, self.since)
        for value, number in zip(mine, numbers, strict=False):  # older checkpoints hold four
            value.fill_(number)

    def next_epoch(self) -> None:
        self.total.zero_()
        self.counted.zero_()


@dataclass(slots=True)
class State:
    """Where a run is. `epoch` epochs are closed: trained, evaluated and reported."""

    tally: Tally
    step: int = 0
    epoch: int = 0
    seconds: float = 0.0  # of training, in all attempts
    top: list[Best] = field(default_factory=list)  # those whose weights are kept, the best first
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> Best | None:
        """The best epoch so far."""
        return self.top[0] if self.top else None
