"""From a picture to bytes, by timm's transforms, and from bytes to what a model was trained on.

Bytes travel from the loader to the device: a quarter of what numbers would take. Validation is
never augmented.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torch
from PIL import Image
from timm.data import create_transform
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import rgb_to_grayscale

from schemas.components.augment import NoAugment, Steps, TimmAugment
from schemas.components.data import Extent, sides
from trainer.data.steps import InOrder

Transform = Callable[[Image.Image], Tensor]  # to uint8, [3,H,W]
Look = dict[str, Any]  # timm's data config of a model: mean, std, interpolation, crop_pct


class Normal:
    """Bytes as numbers around 0, as the model's pretraining had them; where the bytes are."""

    def __init__(self, look: Look, device: torch.device, channels: int = 3) -> None:
        shape = (3, 1, 1)
        self.mean = torch.tensor(look["mean"], device=device).reshape(shape)
        self.std = torch.tensor(look["std"], device=device).reshape(shape)
        self.gray = channels == 1
        if self.gray:
            self.mean, self.std = self.mean.mean(), self.std.mean()

    def __call__(self, images: Tensor) -> Tensor:
        shown = rgb_to_grayscale(images) if self.gray else images
        return shown.float().div_(255).sub_(self.mean).div_(self.std)

    def back(self, images: Tensor) -> Tensor:
        """The bytes that these numbers come from, or the nearest that there are."""
        return images.mul(self.std).add_(self.mean).mul_(255).round_().clamp_(0, 255).byte()


class Erased:
    """timm's random erasing of one image: noise in the units that the model sees."""

    def __init__(self, transform: Transform, chance: float, look: Look) -> None:
        self.transform, self.normal = transform, Normal(look, torch.device("cpu"))
        self.erase = RandomErasing(chance, mode="pixel", device="cpu")  # type: ignore[no-untyped-call]

    def __call__(self, picture: Image.Image) -> Tensor:
        erased: Tensor = self.erase(self.normal(self.transform(picture)))
        return self.normal.back(erased)


def coloured(made: Any, at: int) -> Transform:
    """The same with three channels from this step on: gray pictures are sized as what they are,
    for a third of the work.
    """
    whole: Transform = v2.Compose([*made.transforms[:at], v2.RGB(), *made.transforms[at:]])
    return whole


def validating(size: Extent, look: Look) -> Transform:
    """Resize and centre crop, as the model's own pretraining did."""
    made = create_transform(
        input_size=(3, *sides(size)),
        is_training=False,
        interpolation=look["interpolation"],
        crop_pct=look["crop_pct"],
        crop_mode=look["crop_mode"],
        normalize=False,
    )
    return coloured(made, -1)


@singledispatch
def training(augment: object, size: Extent, look: Look) -> Transform:
    """What is done to a training image."""
    raise TypeError(f"no transform for {augment!r}")


@training.register
def _(augment: NoAugment, size: Extent, look: Look) -> Transform:
    return validating(size, look)


@training.register
def _(augment: TimmAugment, size: Extent, look: Look) -> Transform:
    made = create_transform(
        input_size=(3, *sides(size)),
        is_training=True,
        scale=augment.scale,
        ratio=augment.ratio,
        hflip=augment.hflip,
        vflip=augment.vflip,
        color_jitter=augment.color_jitter or None,  # type: ignore[arg-type]  # None is off
        auto_augment=augment.auto_augment or None,
        interpolation=look["interpolation"],
        mean=look["mean"],  # what timm's policies fill corners with
        normalize=False,
    )
    transform = coloured(made, 1)
    return Erased(transform, augment.erase, look) if augment.erase else transform


@training.register
def _(augment: Steps, size: Extent, look: Look) -> Transform:
    if augment.scale == (1, 1):
        shaped = validating(size, look)
    else:
        made = create_transform(
            input_size=(3, *sides(size)),
            is_training=True,
            scale=augment.scale,
            ratio=augment.ratio,
            hflip=0,
            color_jitter=None,  # type: ignore[arg-type]  # None is off
            interpolation=look["interpolation"],
            normalize=False,
        )
        shaped = coloured(made, 1)
    *to_size, to_tensor = shaped.transforms  # type: ignore[attr-defined]
    whole: Transform = v2.Compose([*to_size, InOrder(augment.steps), to_tensor])
    return whole
