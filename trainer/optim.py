"""How weights step, how the step size moves, and the optimizer's memory by parameter name."""

from functools import singledispatch
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

from schemas.components.optim import AdamW, Cosine

Memory = dict[str, dict[str, Tensor]]  # by parameter name: steps and momenta


@singledispatch
def optimizer(spec: object, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a spec."""
    raise TypeError(f"no optimizer for {spec!r}")


@optimizer.register
def _(spec: AdamW, model: nn.Module) -> torch.optim.Optimizer:
    made: torch.optim.Optimizer = create_optimizer_v2(
        model,
        "adamw",
        lr=spec.lr,
        weight_decay=spec.weight_decay,
        betas=spec.betas,
        eps=spec.eps,
        fused=True,  # one kernel, repeats bit by bit, and can skip a step without asking the host
    )
    return made


@singledispatch
def schedule(
    spec: object, made: torch.optim.Optimizer, steps: int, steps_per_epoch: int
) -> Scheduler:
    """timm's schedule in closed form: the rate is a function of the step alone.

    timm's and not torch's, which ignore the `lr_scale` of layer-wise decay (timm issue 2532).
    """
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


def memory(made: torch.optim.Optimizer, model: nn.Module) -> Memory:
    """What the optimizer remembers of each parameter."""
    return {
        name: {
            key: value.detach().to("cpu", copy=True) for key, value in made.state[parameter].items()
        }
        for name, parameter in model.named_parameters()
        if parameter in made.state
    }


def remember(made: torch.optim.Optimizer, model: nn.Module, saved: Memory) -> None:
    """Give an optimizer back its memory; rates and decays stay those of the config."""
    fresh: dict[str, Any] = made.state_dict()
    position = {
        id(parameter): index
        for group, plain in zip(made.param_groups, fresh["param_groups"], strict=True)
        for parameter, index in zip(group["params"], plain["params"], strict=True)
    }
    fresh["state"] = {
        position[id(parameter)]: saved[name]
        for name, parameter in model.named_parameters()
        if name in saved
    }
    made.load_state_dict(fresh)
