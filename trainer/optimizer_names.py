"""Writes `schemas/timm_optimizers.txt`: what a laptop without torch must know of timm's optimizers.

Run `python -m trainer.optimizer_names` after a change of timm. Knows no queue.
"""

import inspect
import json
from collections.abc import Iterator

import timm
from timm.optim import get_optimizer_class, get_optimizer_info, list_optimizers

from schemas.timm_optimizers import FILE, HEADER

# how, not what: they decide nothing that is learnt; and what a config says elsewhere
ELSEWHERE = {"params", "lr", "weight_decay", "foreach", "fused", "capturable", "verbose"}
ELSEWHERE |= {"differentiable", "maximize"}
UNKNOWN = "kron"  # draws numbers of its own, and remembers them nowhere
MOMENTUM = 0.9  # timm's, whatever a constructor says


def taken(name: str) -> Iterator[str]:
    """`option=default` for what is a number, a yes or no, or some numbers."""
    info = get_optimizer_info(name)
    constructor = get_optimizer_class(name, bind_defaults=False)
    for option, parameter in inspect.signature(constructor).parameters.items():
        value = (info.defaults or {}).get(option, parameter.default)
        value = MOMENTUM if option == "momentum" and info.has_momentum else value
        plain = value if isinstance(value, tuple) else (value,)
        if option not in ELSEWHERE and all(isinstance(each, bool | int | float) for each in plain):
            yield f"{option}={json.dumps(value, separators=(',', ':'))}"


def lines() -> Iterator[str]:
    """Those that come with timm and torch, need one look at the gradient, and can go on exactly."""
    yield HEADER.format(version=timm.__version__)
    for name in map(str, list_optimizers()):  # pairs only where descriptions are asked for
        info = get_optimizer_info(name)
        if not (isinstance(info.opt_class, str) or info.second_order or UNKNOWN in name):
            yield " ".join([name, *taken(name)])


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n")
