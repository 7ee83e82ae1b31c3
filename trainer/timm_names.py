"""Writes `schemas/timm_models.txt`: what a laptop without torch must know of timm's models.

Run `python -m trainer.timm_names` after a change of timm (half an hour: every model is built on the
meta device and tried at several image sizes, as `trainer` would build it). Knows no queue.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_arch_pretrained_cfgs, get_deprecated_models
from torch import nn

from schemas.components.model import Timm
from schemas.timm_models import FILE, HEADER
from trainer.faults import ConfigFault
from trainer.learn.nets import create

CLASSES = 10
SMALLEST = 16  # of data.img_size
STEPS = (1, 2, 4, 7, 8, 14, 16, 28, 32, 48, 56, 64, 112, 128)  # those that divide the default size
LARGE_PATCH = 8  # nobody minds the one to three pixels that smaller ones lose


def tags(name: str) -> list[str]:
    """The pretrained tags of an architecture, its default first; `!` marks one without weights."""
    default = timm.get_pretrained_cfg_value(name, "tag")
    ordered = sorted(get_arch_pretrained_cfgs(name).values(), key=lambda cfg: cfg.tag != default)
    return [("" if cfg.has_weights else "!") + cfg.tag for cfg in ordered if cfg.tag]


def renamed() -> Iterator[str]:
    """`old > new` for the names that timm still maps with a warning."""
    for old, new in sorted(get_deprecated_models().items()):
        if new:
            yield f"{old} > {new}"


def default_size(name: str) -> int:
    """The side of the square that a model's default weights were made for."""
    _, height, width = timm.get_pretrained_cfg_value(name, "input_size") or (3, 224, 224)
    return min(height, width)


def build(name: str, size: int, **options: Any) -> nn.Module:
    """The model of a config as every run gets it, but without memory."""
    with torch.device("meta"):  # the name is not checked: it may be about to enter the list
        return create(Timm.model_construct(name=name, **options), CLASSES, size)


def not_taken(name: str) -> Iterator[str]:
    """`-option` for each option of `model` that this model's constructor does not know."""
    size = default_size(name)
    for option in ("drop_rate", "drop_path_rate"):
        try:
            build(name, size, **{option: 0.1})
        except ConfigFault:
            yield f"-{option}"


def patch(model: nn.Module) -> int:
    """What a stem that cuts whole patches cuts: pixels that do not fill one are lost unseen."""
    convolutions = (part for part in model.modules() if isinstance(part, nn.Conv2d))
    if (stem := next(convolutions, None)) and stem.kernel_size == stem.stride:
        return stem.stride[0] if stem.stride[0] >= LARGE_PATCH else 1
    return 1


def fits(name: str, size: int) -> bool:
    """Whether the model runs at this size."""
    try:
        with torch.no_grad():
            build(name, size)(torch.empty(2, 3, size, size, device="meta"))
    except Exception:  # whatever a model says about a size, it does not take it
        return False
    return True


def sizes(name: str) -> str:
    """The legal image sizes: `step:minimum`, `=size` for exactly one, `?` where none was found."""
    default = default_size(name)
    runs = partial(fits, name)
    if not runs(default):
        return "?"
    lost = patch(build(name, default))
    for step in (*STEPS, default):
        others = [size for size in (default + step, default - step, default + 3 * step) if size]
        if step % lost == default % step == 0 and all(map(runs, others)):
            return f"{step}:{smallest(runs, step, default)}"
    return f"={default}"


def smallest(runs: partial[bool], step: int, legal: int) -> int:
    """The least multiple of `step` that runs, between what a config may say and a legal size."""
    low, high = -(-SMALLEST // step), legal // step
    for guess in (low, -(-32 // step)):  # nearly all models stop at one of these
        if guess < high and runs(guess * step) and (guess == low or not runs((guess - 1) * step)):
            return guess * step
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle * step) else (middle + 1, high)
    return low * step


def main() -> None:
    """Write the file, saying each line as it comes."""
    lines = [HEADER.format(version=timm.__version__)]
    for name in timm.list_models():
        lines.append(" ".join([name, sizes(name), *not_taken(name), *tags(name)]))
        print(lines[-1], file=sys.stderr, flush=True)
    Path(FILE).write_text("\n".join([*lines, *renamed()]) + "\n")


if __name__ == "__main__":
    main()
