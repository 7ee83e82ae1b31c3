"""How the step size moves: timm's schedules in closed form, functions of the step alone.

timm's and not torch's, which ignore the `lr_scale` of layer-wise decay (timm issue 2532).
"""

from functools import singledispatch

import torch
from timm.scheduler import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler

from schemas.components.schedule import Cosine


@singledispatch
def schedule(
    spec: object, made: torch.optim.Optimizer, steps: int, steps_per_epoch: int
) -> Scheduler:
    """The schedule of a spec, for a run of so many steps."""
    raise TypeError(f"no schedule for {spec!r}")


@schedule.register
def _(spec: Cosine, made: torch.optim.Optimizer, steps: int, steps_per_epoch: int) -> Scheduler:
    warmup = round(spec.warmup_epochs * steps_per_epoch)
    return CosineLRScheduler(
        made,
        t_initial=max(steps - warmup, 1),
        lr_min=spec.min_lr,
        warmup_t=warmup,
        warmup_lr_init=spec.warmup_lr,
        warmup_prefix=True,
        t_in_epochs=False,
    )
