"""How the step size moves: timm's schedules in closed form, functions of the step alone.

timm's and not torch's, which ignore the `lr_scale` of layer-wise decay (timm issue 2532). What
timm lacks is written down here as a function of the step and the peak.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, singledispatch
from typing import Any, NamedTuple

import torch
from timm.scheduler import (
    CosineLRScheduler,
    MultiStepLRScheduler,
    PolyLRScheduler,
    StepLRScheduler,
)
from timm.scheduler.scheduler import Scheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from schemas.components.loop import LOWER_IS_BETTER
from schemas.components.schedule import (
    Constant,
    Cosine,
    Exponential,
    MultiStep,
    OneCycle,
    Plateau,
    Poly,
    Restarts,
    Schedule,
    Step,
    Warmed,
)

Rate = Callable[[int, float], float]  # of a step, for a peak


class Length(NamedTuple):
    """How long a run is."""

    steps: int
    steps_per_epoch: int

    def of(self, epochs: float) -> int:
        """The steps of so many epochs."""
        return round(epochs * self.steps_per_epoch)


class Ours(Scheduler):
    """A schedule that timm lacks, in timm's terms: it knows of `lr_scale`."""

    def __init__(self, made: torch.optim.Optimizer, rate: Rate) -> None:
        super().__init__(made, "lr", t_in_epochs=False)
        self.rate = rate
        self.step_update(0)

    def _get_lr(self, t: int) -> list[float]:
        return [self.rate(t, peak) for peak in self.base_values]


@singledispatch
def schedule(spec: Any, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    """The schedule of a spec, for a run of this length."""
    raise TypeError(f"no schedule for {spec!r}")


def warm(spec: Warmed, length: Length, *, before: bool = False) -> dict[str, Any]:
    """The warm-up in timm's words, counted or before all else; the rate moves at every step."""
    start = {"warmup_t": length.of(spec.warmup_epochs), "warmup_lr_init": spec.warmup_lr}
    return {**start, "warmup_prefix": before, "t_in_epochs": False}


@schedule.register
def _(spec: Cosine, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    return CosineLRScheduler(
        made,
        t_initial=left(spec, length),
        lr_min=spec.min_lr,
        **warm(spec, length, before=True),
    )


@schedule.register
def _(spec: Poly, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    return PolyLRScheduler(
        made,
        t_initial=left(spec, length),
        power=spec.power,
        lr_min=spec.min_lr,
        **warm(spec, length, before=True),
    )


@schedule.register
def _(spec: Step, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    every = max(length.of(spec.every), 1)
    return StepLRScheduler(made, decay_t=every, decay_rate=spec.gamma, **warm(spec, length))


@schedule.register
def _(spec: Exponential, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    every = length.steps_per_epoch
    return StepLRScheduler(made, decay_t=every, decay_rate=spec.gamma, **warm(spec, length))


@schedule.register
def _(spec: Constant, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    return StepLRScheduler(made, decay_t=1, decay_rate=1.0, **warm(spec, length))


@schedule.register
def _(spec: MultiStep, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    at = [length.of(epoch) + 1 for epoch in spec.at]  # timm's falls come one step early
    return MultiStepLRScheduler(made, decay_t=at, decay_rate=spec.gamma, **warm(spec, length))


@schedule.register
def _(spec: Restarts, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    return Ours(made, partial(restarting, spec, length))


@schedule.register
def _(spec: OneCycle, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    return Ours(made, partial(cycling, spec, length.steps))


@schedule.register
def _(spec: Plateau, made: torch.optim.Optimizer, length: Length) -> Scheduler:
    return Ours(made, partial(resting, spec, length, 1.0))


def left(spec: Warmed, length: Length) -> int:
    """Steps after the warm-up."""
    return max(length.steps - length.of(spec.warmup_epochs), 1)


def arc(begin: float, end: float, part: float) -> float:
    """Half a cosine from one value to another."""
    return end + (begin - end) * (1 + math.cos(math.pi * part)) / 2


def rising(spec: Warmed, length: Length, step: int, peak: float) -> float | None:
    """The warm-up; nothing when it is over."""
    warmup = length.of(spec.warmup_epochs)
    if step >= warmup:
        return None
    return spec.warmup_lr + (peak - spec.warmup_lr) * step / warmup


def restarting(spec: Restarts, length: Length, step: int, peak: float) -> float:
    """Where a step is in its cosine."""
    whole, number = max(length.of(spec.first), 1), 0
    while step >= whole:
        step, number, whole = step - whole, number + 1, round(whole * spec.factor)
    high = peak * spec.decay**number
    warmup = length.of(spec.warmup_epochs)
    low = rising(spec, length, step, high)
    return arc(high, spec.min_lr, (step - warmup) / (whole - warmup)) if low is None else low


def cycling(spec: OneCycle, steps: int, step: int, peak: float) -> float:
    """As torch counts: the top lies one step before `rise` is over, the last step is the end."""
    top, last = max(spec.rise * steps - 1, 0.0), steps - 1
    if step <= top and top:
        return arc(peak * spec.start, peak, step / top)
    return arc(peak, peak * spec.end, (step - top) / (last - top) if last > top else 1.0)


def resting(spec: Plateau, length: Length, share: float, step: int, peak: float) -> float:
    """The warm-up, then a share of the peak."""
    low = rising(spec, length, step, peak)
    return max(peak * share, min(spec.min_lr, peak)) if low is None else low


def heed(
    spec: Schedule, made: Scheduler, length: Length, rows: Sequence[Mapping[str, Any]]
) -> None:
    """What evaluations have said so far; only a plateau asks. It remembers nothing: rows do."""
    if isinstance(spec, Plateau) and isinstance(made, Ours):
        said = [row[spec.metric] for row in rows if spec.metric in row]
        made.rate = partial(resting, spec, length, share(spec, said))


def share(spec: Plateau, values: Sequence[float]) -> float:
    """What torch's ReduceLROnPlateau leaves of 1 after these values."""
    counted = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    fall = ReduceLROnPlateau(
        counted,
        mode="min" if spec.metric in LOWER_IS_BETTER else "max",
        factor=spec.gamma,
        patience=spec.patience,
        threshold=spec.threshold,
        eps=0.0,
    )
    for value in values:
        fall.step(value)
    return float(counted.param_groups[0]["lr"])
