"""What may be done to a training image, one small step each; a config lists them in their order."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.components.spec import Fraction, NonNegative, Positive, Spec

EITHER = r"^[a-z0-9_-]{0,40}$"
Degrees = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=180)]
Few = Annotated[int, Field(strict=True, ge=1, le=30)]
Bins = Annotated[int, Field(strict=True, ge=2, le=100)]
Level = Annotated[int, Field(strict=True, ge=0, le=99)]
Pixels = Annotated[int, Field(strict=True, ge=2, le=15)]
Ten = Annotated[int, Field(strict=True, ge=1, le=10)]
Half = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=0.5)]


class Step(Spec):
    """One step; every draw of it follows from seed, epoch and image."""

    prob: Fraction = 0.5
    """The chance that it is done at all."""
    either: Annotated[str, StringConstraints(pattern=EITHER)] = ""
    """Neighbours with the same word here are a choice: one of them is drawn, then its chance."""


class Hflip(Step):
    """Left becomes right."""

    kind: Literal["hflip"] = "hflip"


class Vflip(Step):
    """Top becomes bottom."""

    kind: Literal["vflip"] = "vflip"


class Rotate(Step):
    """A turn to either side."""

    kind: Literal["rotate"] = "rotate"
    degrees: Degrees = 15.0
    """At most, to either side."""


class ShiftScaleRotate(Step):
    """A little elsewhere, larger or smaller, and turned."""

    kind: Literal["shift_scale_rotate"] = "shift_scale_rotate"
    shift: Half = 0.05
    """Of the side."""
    scale: Half = 0.1
    """Larger or smaller by this share at most."""
    degrees: Degrees = 20.0
    """At most, to either side."""


class Perspective(Step):
    """Seen from another side."""

    kind: Literal["perspective"] = "perspective"
    distortion: Fraction = 0.2
    """How far the corners move: 0 not at all, 1 to the middle."""


class Elastic(Step):
    """As if drawn on rubber."""

    kind: Literal["elastic"] = "elastic"
    alpha: NonNegative = 50.0
    """How far, at a side of 224 pixels."""
    sigma: Positive = 7.0
    """How smoothly, in pixels at a side of 224."""


class GridDistortion(Step):
    """Cells of a grid grow and shrink."""

    kind: Literal["grid_distortion"] = "grid_distortion"
    cells: Few = 5
    """Along each side."""
    limit: Half = 0.3
    """Of a cell's side."""


class OpticalDistortion(Step):
    """As through a bad lens."""

    kind: Literal["optical_distortion"] = "optical_distortion"
    limit: Half = 0.2
    """How far it bends, at most."""


class ColorJitter(Step):
    """Brightness, contrast, saturation and hue by lot."""

    kind: Literal["color_jitter"] = "color_jitter"
    prob: Fraction = 1.0
    """The chance that it is done at all."""
    brightness: NonNegative = 0.1
    """Strength; 0 is off."""
    contrast: NonNegative = 0.1
    """Strength; 0 is off."""
    saturation: NonNegative = 0.1
    """Strength; 0 is off."""
    hue: Half = 0.1
    """Share of the colour circle, to either side."""


class Brightness(Step):
    """Darker or lighter by a factor."""

    kind: Literal["brightness"] = "brightness"
    factor: tuple[NonNegative, NonNegative] = (0.2, 3.0)
    """From darker to lighter."""


class Gray(Step):
    """Without colours."""

    kind: Literal["gray"] = "gray"


class Invert(Step):
    """Black becomes white."""

    kind: Literal["invert"] = "invert"
    prob: Fraction = 0.2
    """The chance that it is done at all."""


class Noise(Step):
    """Gaussian noise of a deviation from this range, in grays of 255."""

    kind: Literal["noise"] = "noise"
    sigma: tuple[NonNegative, NonNegative] = (10.0, 50.0)
    """From little to much."""
    each_channel: Annotated[bool, Field(strict=True)] = True
    """Coloured noise; else gray."""


class IsoNoise(Step):
    """What a camera adds in the dark: grain, and a shift of hue."""

    kind: Literal["iso_noise"] = "iso_noise"
    intensity: tuple[NonNegative, NonNegative] = (0.1, 0.5)
    """Of the grain, from little to much."""
    hue: Half = 0.03
    """Share of the colour circle at full intensity."""


class Blur(Step):
    """Gaussian blur of a deviation from this range, in pixels."""

    kind: Literal["blur"] = "blur"
    sigma: tuple[NonNegative, NonNegative] = (0.1, 3.0)
    """From little to much."""


class MotionBlur(Step):
    """As if the camera had moved."""

    kind: Literal["motion_blur"] = "motion_blur"
    length: Pixels = 7
    """Pixels of the way."""


class Erode(Step):
    """Dark lines on white get thicker."""

    kind: Literal["erode"] = "erode"
    prob: Fraction = 0.3
    """The chance that it is done at all."""
    side: Pixels = 3
    """Of the square that a pixel is compared with."""


class Dilate(Step):
    """Dark lines on white get thinner."""

    kind: Literal["dilate"] = "dilate"
    prob: Fraction = 0.3
    """The chance that it is done at all."""
    side: Pixels = 3
    """Of the square that a pixel is compared with."""


class Dropout(Step):
    """Squares that are filled."""

    kind: Literal["dropout"] = "dropout"
    holes: Few = 5
    """At most so many."""
    side: Half = 0.09
    """Of the image's side."""
    fill: Literal["black", "white", "mean"] = "black"
    """With what."""


class RandAugment(Step):
    """torchvision's RandAugment."""

    kind: Literal["rand_augment"] = "rand_augment"
    prob: Fraction = 1.0
    """The chance that it is done at all."""
    ops: Few = 2
    """Operations an image."""
    magnitude: Level = 9
    """Below `bins`."""
    bins: Bins = 31
    """Levels of strength."""


class AutoAugment(Step):
    """torchvision's AutoAugment."""

    kind: Literal["auto_augment"] = "auto_augment"
    prob: Fraction = 1.0
    """The chance that it is done at all."""
    policy: Literal["imagenet", "cifar10", "svhn"] = "imagenet"
    """The data set that it was found on."""


class TrivialAugment(Step):
    """torchvision's TrivialAugmentWide."""

    kind: Literal["trivial_augment"] = "trivial_augment"
    prob: Fraction = 1.0
    """The chance that it is done at all."""
    bins: Bins = 31
    """Levels of strength."""


class AugMix(Step):
    """torchvision's AugMix."""

    kind: Literal["augmix"] = "augmix"
    prob: Fraction = 1.0
    """The chance that it is done at all."""
    severity: Ten = 3
    """Strength of each operation, 1 to 10."""
    width: Ten = 3
    """How many chains are mixed."""
    alpha: Positive = 1.0
    """Of the Dirichlet and beta draws of the mixture."""


class SketchPolicy(Step):
    """One of four pairs made for drawings: turn and posterize, shear and autocontrast, shift and
    invert, equalize and turn."""

    kind: Literal["sketch_policy"] = "sketch_policy"
    prob: Fraction = 0.7
    """The chance that it is done at all."""


AnyStep = Annotated[
    Hflip
    | Vflip
    | Rotate
    | ShiftScaleRotate
    | Perspective
    | Elastic
    | GridDistortion
    | OpticalDistortion
    | ColorJitter
    | Brightness
    | Gray
    | Invert
    | Noise
    | IsoNoise
    | Blur
    | MotionBlur
    | Erode
    | Dilate
    | Dropout
    | RandAugment
    | AutoAugment
    | TrivialAugment
    | AugMix
    | SketchPolicy,
    Field(discriminator="kind"),
]
