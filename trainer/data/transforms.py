"""From a picture to a tensor, by timm's transforms. Validation is never augmented."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from PIL import Image
from timm.data import create_transform
from torch import Tensor

from schemas.components.augment import NoAugment, TimmAugment

Transform = Callable[[Image.Image], Tensor]
Look = dict[str, Any]  # timm's data config of a model: mean, std, interpolation, crop_pct


def validating(size: int, look: Look) -> Transform:
    """Resize and centre crop, as the model's own pretraining did."""
    transform: Transform = create_transform(
        input_size=(3, size, size),
        is_training=False,
        interpolation=look["interpolation"],
        mean=look["mean"],
        std=look["std"],
        crop_pct=look["crop_pct"],
        crop_mode=look["crop_mode"],
    )
    return transform


@singledispatch
def training(augment: object, size: int, look: Look) -> Transform:
    """What is done to a training image."""
    raise TypeError(f"no transform for {augment!r}")


@training.register
def _(augment: NoAugment, size: int, look: Look) -> Transform:
    return validating(size, look)


@training.register
def _(augment: TimmAugment, size: int, look: Look) -> Transform:
    transform: Transform = create_transform(
        input_size=(3, size, size),
        is_training=True,
        scale=augment.scale,
        ratio=augment.ratio,
        hflip=augment.hflip,
        vflip=augment.vflip,
        color_jitter=augment.color_jitter or None,  # type: ignore[arg-type]  # None is off
        auto_augment=augment.auto_augment or None,
        interpolation=look["interpolation"],
        mean=look["mean"],
        std=look["std"],
        re_prob=augment.erase,
        re_mode="pixel",
    )
    return transform
