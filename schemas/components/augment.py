"""What is done to training images and to batches of them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.components.spec import Fraction, NonNegative, Positive, Spec, Whole
from schemas.components.steps import AnyStep

_NUMBER = r"\d+(\.\d+)?"
AUTO_AUGMENT = (
    rf"^((original|originalr|v0|v0r|3a)(-mstd{_NUMBER})?"
    rf"|rand(-(m\d+|n[1-9]\d?|p(0?\.\d+|1|1\.0)|mstd{_NUMBER}|mmax\d+|inc[01]|tweights|t3aw?))*"
    rf"|augmix(-(m\d+|w[1-9]\d?|d[1-9]\d?|a{_NUMBER}|b[01]|mstd{_NUMBER}))*)?$"
)


class NoAugment(Spec):
    """Resize and centre crop only, as in validation."""

    kind: Literal["none"] = "none"


class TimmAugment(Spec):
    """timm's training transform."""

    kind: Literal["timm"] = "timm"
    scale: tuple[Positive, Positive] = (0.35, 1.0)
    """Area range of the random resized crop."""
    ratio: tuple[Positive, Positive] = (0.75, 1.3333)
    """Aspect range of the random resized crop."""
    hflip: Fraction = 0.5
    """Chance of a horizontal flip."""
    vflip: Fraction = 0.0
    """Chance of a vertical flip."""
    color_jitter: NonNegative = 0.0
    """Strength of brightness, contrast and saturation jitter."""
    auto_augment: Annotated[str, StringConstraints(pattern=AUTO_AUGMENT)] = ""
    """A timm policy such as `rand-m9-mstd0.5`, `3a` or `augmix-m3`; empty for none."""
    erase: Fraction = 0.0
    """Chance of random erasing."""


class Steps(Spec):
    """A list of steps, done in its order to the image at the size that the model sees."""

    kind: Literal["steps"] = "steps"
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    """Area range of the random resized crop; [1, 1]: the whole image, as in validation."""
    ratio: tuple[Positive, Positive] = (0.75, 1.3333)
    """Aspect range of the random resized crop."""
    steps: tuple[AnyStep, ...] = ()
    """What is done, from the first to the last."""


class Batched(Spec):
    """Whole batches on the device, from the cache: crop, turn, flip, colours and a hole in one go.

    Where the GPU has room, the cache lies there; the same images on every device, up to rounding.
    """

    kind: Literal["batched"] = "batched"
    scale: tuple[Positive, Positive] = (0.35, 1.0)
    """Area range of the random resized crop."""
    ratio: tuple[Positive, Positive] = (0.75, 1.3333)
    """Aspect range of the random resized crop."""
    hflip: Fraction = 0.5
    """Chance of a horizontal flip."""
    vflip: Fraction = 0.0
    """Chance of a vertical flip."""
    degrees: Annotated[float, Field(strict=True, ge=0, le=180)] = 0.0
    """Turned by so much at most, to either side; what comes into view is white."""
    brightness: Fraction = 0.0
    """Strength of the brightness jitter."""
    contrast: Fraction = 0.0
    """Strength of the contrast jitter, about a middle gray."""
    saturation: Fraction = 0.0
    """Strength of the saturation jitter."""
    invert: Fraction = 0.0
    """Chance of inverted colours."""
    erase: Fraction = 0.0
    """Chance of a gray rectangle, of 2 to 33% of the area."""


Constant = Annotated[NoAugment | TimmAugment | Steps | Batched, Field(discriminator="kind")]


class Stage(Spec):
    """What is done to training images for some epochs."""

    until: Whole = 0
    """Up to so many epochs; 0: to the end, which only the last stage says."""
    augment: Constant = Field(default_factory=TimmAugment)
    """What is done in these epochs."""


class Curriculum(Spec):
    """One augmentation after the other: easy images first, or clean ones at the end."""

    kind: Literal["curriculum"] = "curriculum"
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    """From the first epoch to the last."""

    def at(self, epoch: int) -> NoAugment | TimmAugment | Steps | Batched:
        """What is done in an epoch, counted from 0."""
        now = (stage.augment for stage in self.stages if not stage.until or epoch < stage.until)
        return next(now, self.stages[-1].augment)


Augment = Annotated[
    NoAugment | TimmAugment | Steps | Batched | Curriculum, Field(discriminator="kind")
]


class Mix(Spec):
    """Mixup and cutmix over the whole effective batch."""

    mixup: NonNegative = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: NonNegative = 0.0
    """Alpha of cutmix; 0 is off."""
    prob: Fraction = 1.0
    """Chance that a batch is mixed at all."""
    switch_prob: Fraction = 0.5
    """Chance of cutmix where both are on."""
    until: Whole = 0
    """For so many epochs; 0: for the whole run."""

    @property
    def on(self) -> bool:
        return (self.mixup > 0 or self.cutmix > 0) and self.prob > 0
