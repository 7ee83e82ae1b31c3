"""An average of the weights over steps, which is then what is judged and kept."""

from functools import singledispatch

import torch
from timm.utils import ModelEmaV3
from torch import nn

from schemas.components.loop import Ema, NoAverage, Swa


class Average:
    """timm's moving average. How much of it stays is a function of the step alone: to go on with
    it takes the averaged weights and nothing else.
    """

    def __init__(self, spec: Ema | Swa, model: nn.Module, steps: int) -> None:
        self.spec, self.steps = spec, steps
        on_gpu = next(model.parameters()).is_cuda  # elsewhere many at once gain nothing
        self._timms = ModelEmaV3(model, foreach=on_gpu)
        self.model: nn.Module = self._timms.module

    @torch.no_grad()
    def follow(self, model: nn.Module, number: int) -> None:
        """After step `number`; nothing in here waits for the device."""
        self._timms.apply_update_(model, stays(self.spec, number, self.steps))


def of(spec: NoAverage | Ema | Swa, model: nn.Module, steps: int) -> Average | None:
    """The average that a config asks for."""
    return None if isinstance(spec, NoAverage) else Average(spec, model, steps)


@singledispatch
def stays(spec: object, number: int, steps: int) -> float:
    """How much of the average stays after step `number`; after the first one nothing does."""
    raise TypeError(f"no average for {spec!r}")


@stays.register
def _(spec: Ema, number: int, steps: int) -> float:
    warm = 1 - (1 + number) ** (-2 / 3) if spec.warmup else 1.0
    return min(spec.decay, warm) if number else 0.0


@stays.register
def _(spec: Swa, number: int, steps: int) -> float:
    done = number - round(spec.start * steps)  # steps in the mean so far
    return done / (done + 1) if done > 0 else 0.0
