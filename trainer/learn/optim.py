"""How weights step, what happens when there is no number to step by, and the optimizer's memory
by parameter name.
"""

from functools import singledispatch
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.utils import adaptive_clip_grad
from torch import Tensor, nn

from schemas.components.loop import Loop
from schemas.components.optim import Adam, AdamW, Lion, Muon, Named, Optim, RMSprop, Sgd
from trainer.learn.nets import classifiers

Memory = dict[str, dict[str, Any]]  # by parameter name: steps and momenta
OF_GROUP = "step of its group"
RATES = {"lr", "weight_decay", "betas", "eps", "alpha"}  # they mean the same to any memory


@singledispatch
def optimizer(spec: object, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of a spec."""
    raise TypeError(f"no optimizer for {spec!r}")


@optimizer.register
def _(spec: AdamW | Adam, model: nn.Module) -> torch.optim.Optimizer:
    # one kernel, repeats bit by bit, and can skip a step without asking the host
    return built(spec, model, fused=True)


@optimizer.register
def _(spec: Sgd, model: nn.Module) -> torch.optim.Optimizer:
    made = built(spec, model, fused=True)
    if spec.momentum:
        # torch's kernel begins with whatever is in the memory when the first step is skipped, and
        # cannot begin with some parameters later than with others
        for parameter in model.parameters():
            made.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return made


@optimizer.register
def _(spec: RMSprop | Lion, model: nn.Module) -> torch.optim.Optimizer:
    return built(spec, model)


@optimizer.register
def _(spec: Named, model: nn.Module) -> torch.optim.Optimizer:
    keys: dict[str, Any] = {"lr": spec.lr, "weight_decay": spec.weight_decay, **spec.options}
    made: torch.optim.Optimizer = create_optimizer_v2(model, spec.name, **keys)
    return made


@optimizer.register
def _(spec: Muon, model: nn.Module) -> torch.optim.Optimizer:
    return built(
        spec,
        model,
        fallback_list=tuple(f"{head}*" for head in classifiers(model)),
        fallback_no_weight_decay=True,
    )


def built(spec: Optim, model: nn.Module, **more: Any) -> torch.optim.Optimizer:
    """As timm builds it, of every key that the spec has."""
    keys = spec.model_dump(exclude={"kind"})
    made: torch.optim.Optimizer = create_optimizer_v2(model, spec.kind, **keys, **more)
    return made


def clip(spec: Loop, model: nn.Module) -> Tensor | None:
    """Gradients within the limits of a config; the norm that they had, where one was asked for."""
    if spec.clip_norm:
        return nn.utils.clip_grad_norm_(model.parameters(), spec.clip_norm)
    if spec.clip_value:
        nn.utils.clip_grad_value_(model.parameters(), spec.clip_value)
    if spec.clip_agc:
        head = classifiers(model)
        own = [(name.startswith(head), weight) for name, weight in model.named_parameters()]
        adaptive_clip_grad([weight for of_head, weight in own if not of_head], spec.clip_agc)  # type: ignore[no-untyped-call]
    return None


def spare(made: torch.optim.Optimizer, healthy: Tensor) -> None:
    """A batch that gave no number must not reach the weights; the host need not wait for that.

    A fused kernel skips the step when `found_inf` is not 0. Others step as if the gradient were 0.
    """
    if getattr(made, "_step_supports_amp_scaling", False):
        made.found_inf = (~healthy).float()  # type: ignore[attr-defined]
        return
    for group in made.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(~healthy, 0.0)


# ---- memory --------------------------------------------------------------------------------------


def memory(made: torch.optim.Optimizer, model: nn.Module) -> Memory:
    """What the optimizer remembers of each parameter."""
    steps = {  # some count them for a group
        parameter: {OF_GROUP: kept(group["step"])}
        for group in made.param_groups
        if "step" in group
        for parameter in group["params"]
    }
    return {
        name: {key: kept(value) for key, value in made.state[parameter].items()}
        | steps.get(parameter, {})
        for name, parameter in model.named_parameters()
        if parameter in made.state
    }


def kept(value: Any) -> Any:
    """A copy on the host; steps may be plain numbers."""
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value


def remember(made: torch.optim.Optimizer, model: nn.Module, saved: Memory) -> None:
    """Give an optimizer back its memory; rates and decays stay those of the config."""
    fresh: dict[str, Any] = made.state_dict()
    position = {
        id(parameter): index
        for group, plain in zip(made.param_groups, fresh["param_groups"], strict=True)
        for parameter, index in zip(group["params"], plain["params"], strict=True)
    }
    own = {parameter: saved[name] for name, parameter in model.named_parameters() if name in saved}
    for group, plain in zip(made.param_groups, fresh["param_groups"], strict=True):
        for parameter in group["params"]:
            if OF_GROUP in own.get(parameter, {}):
                plain["step"] = own[parameter][OF_GROUP]
    fresh["state"] = {
        position[id(parameter)]: {key: values[key] for key in values if key != OF_GROUP}
        for parameter, values in own.items()
    }
    made.load_state_dict(fresh)


def shape(spec: Optim) -> dict[str, Any]:
    """What decides what is remembered: another optimizer has no use for it."""
    return spec.model_dump(mode="json", exclude=RATES)
