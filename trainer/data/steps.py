"""The steps of an augmentation: each spec has its builder, a function from picture to picture.

All that is drawn comes from the global generators of random, numpy and torch, which the loader
settles for each sample: the same seed, epoch and image give the same pixels.
"""

import random
from collections.abc import Callable, Sequence
from functools import partial, singledispatch
from itertools import groupby

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageFilter, ImageOps
from torchvision.transforms import v2

from schemas.components import steps as specs
from schemas.components.spec import Spec

Change = Callable[[Image.Image], Image.Image]
Pixels = npt.NDArray[np.uint8]
PAPER = 255  # what comes into view from beyond the edge of a drawing
USUAL = 224  # pixels a side, that elastic steps are given for


class InOrder:
    """The steps one after the other; neighbours of one `either` are a choice."""

    def __init__(self, steps: Sequence[specs.Step]) -> None:
        self.groups: list[list[tuple[float, Change]]] = []
        for (either, _), group in groupby(enumerate(steps), key=together):
            made = [(step.prob, change(step)) for _, step in group]
            self.groups += [made] if either else [[one] for one in made]

    def __call__(self, picture: Image.Image) -> Image.Image:
        for group in self.groups:
            chance, done = random.choice(group)
            if random.random() < chance:
                picture = done(picture)
        return picture


def together(numbered: tuple[int, specs.Step]) -> tuple[str, int]:
    """Neighbours that are alike in this are grouped."""
    number, step = numbered
    return step.either, -1 if step.either else number


@singledispatch
def change(step: Spec) -> Change:
    """What a step does when it is done."""
    raise TypeError(f"no builder for {step!r}")


def on_pixels(done: Callable[[Pixels], npt.NDArray[np.generic]]) -> Change:
    """A change of an array [H,W,3]."""

    def changed(picture: Image.Image) -> Image.Image:
        values = done(np.asarray(picture))
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))

    return changed


# ---- where things are ----------------------------------------------------------------------------


@change.register
def _(step: specs.Hflip) -> Change:
    return ImageOps.mirror


@change.register
def _(step: specs.Vflip) -> Change:
    return ImageOps.flip


@change.register
def _(step: specs.Rotate) -> Change:
    return affine(degrees=step.degrees)


@change.register
def _(step: specs.ShiftScaleRotate) -> Change:
    return affine(
        degrees=step.degrees,
        translate=(step.shift, step.shift),
        scale=(1 - step.scale, 1 + step.scale),
    )


def affine(**ranges: object) -> Change:
    made: Change = v2.RandomAffine(
        **ranges, interpolation=v2.InterpolationMode.BILINEAR, fill=PAPER
    )
    return made


@change.register
def _(step: specs.Perspective) -> Change:
    made: Change = v2.RandomPerspective(step.distortion, p=1, fill=PAPER)
    return made


@change.register
def _(step: specs.Elastic) -> Change:
    def done(image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        scale = min(height, width) / USUAL
        lot = np.random.uniform(-1, 1, (2, height, width)).astype(np.float32)
        sigma = max(step.sigma * scale, 0.5)
        across, along = (cv2.GaussianBlur(each, (0, 0), sigma) * step.alpha * scale for each in lot)
        return warped(image, across, along)

    return on_pixels(done)


@change.register
def _(step: specs.GridDistortion) -> Change:
    def done(image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        along, across = (moved(side, step.cells, step.limit) for side in (height, width))
        return warped(
            image,
            np.broadcast_to(across, (height, width)),
            np.broadcast_to(along[:, None], (height, width)),
        )

    return on_pixels(done)


def moved(side: int, cells: int, limit: float) -> npt.NDArray[np.float32]:
    """How far each pixel of an axis is moved when the borders of its cells are."""
    borders = np.linspace(0, side - 1, cells + 1)
    shifts = np.random.uniform(-limit, limit, cells + 1) * side / cells
    shifts[[0, -1]] = 0
    return np.interp(np.arange(side), borders, shifts).astype(np.float32)


@change.register
def _(step: specs.OpticalDistortion) -> Change:
    def done(image: Pixels) -> Pixels:
        height, width = image.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        bend = random.uniform(-step.limit, step.limit) * (x**2 + y**2)
        return warped(image, bend * x * width / 2, bend * y * height / 2)

    return on_pixels(done)


def warped(
    image: Pixels, across: npt.NDArray[np.generic], along: npt.NDArray[np.generic]
) -> Pixels:
    """Each pixel from so many pixels to the right and below."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    at = ((x + across).astype(np.float32), (y + along).astype(np.float32))
    paper = (PAPER,) * 3
    moved = cv2.remap(image, *at, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, paper)
    return np.asarray(moved, np.uint8)


# ---- colours -------------------------------------------------------------------------------------


@change.register
def _(step: specs.ColorJitter) -> Change:
    made: Change = v2.ColorJitter(step.brightness, step.contrast, step.saturation, step.hue)
    return made


@change.register
def _(step: specs.Brightness) -> Change:
    made: Change = v2.ColorJitter(brightness=step.factor)
    return made


@change.register
def _(step: specs.Gray) -> Change:
    return lambda picture: picture.convert("L").convert("RGB")


@change.register
def _(step: specs.Invert) -> Change:
    return ImageChops.invert


# ---- texture -------------------------------------------------------------------------------------


@change.register
def _(step: specs.Noise) -> Change:
    def done(image: Pixels) -> npt.NDArray[np.float64]:
        shape = image.shape if step.each_channel else (*image.shape[:2], 1)
        return image + np.random.normal(0, random.uniform(*step.sigma), shape)

    return on_pixels(done)


@change.register
def _(step: specs.IsoNoise) -> Change:
    def done(image: Pixels) -> npt.NDArray[np.float32]:
        hls = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2HLS)
        strength = random.uniform(*step.intensity)
        spread = float(hls[..., 1].std())
        shade = np.random.normal(0, 1, image.shape[:2]) * strength * max(spread, 0.05)
        hls[..., 0] = (hls[..., 0] + np.random.normal(0, 360 * step.hue * strength)) % 360
        hls[..., 1] = np.clip(hls[..., 1] + shade, 0, 1)
        return np.asarray(cv2.cvtColor(hls, cv2.COLOR_HLS2RGB) * 255, np.float32)

    return on_pixels(done)


@change.register
def _(step: specs.Blur) -> Change:
    return lambda picture: picture.filter(ImageFilter.GaussianBlur(random.uniform(*step.sigma)))


@change.register
def _(step: specs.MotionBlur) -> Change:
    def done(image: Pixels) -> Pixels:
        flat = np.zeros((step.length, step.length), np.float32)
        flat[step.length // 2] = 1
        middle = ((step.length - 1) / 2,) * 2
        turn = cv2.getRotationMatrix2D(middle, random.uniform(0, 180), 1)
        kernel = cv2.warpAffine(flat, turn, flat.shape)
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)

    return on_pixels(done)


@change.register
def _(step: specs.Erode) -> Change:
    return on_pixels(partial(cv2.erode, kernel=np.ones((step.side, step.side), np.uint8)))


@change.register
def _(step: specs.Dilate) -> Change:
    return on_pixels(partial(cv2.dilate, kernel=np.ones((step.side, step.side), np.uint8)))


@change.register
def _(step: specs.Dropout) -> Change:
    def done(image: Pixels) -> Pixels:
        holed = image.copy()
        height, width = image.shape[:2]
        side = max(1, round(step.side * min(height, width)))
        fill = {"black": 0, "white": 255, "mean": image.mean((0, 1))}[step.fill]
        for _ in range(random.randint(1, step.holes)):
            top, left = random.randint(0, height - side), random.randint(0, width - side)
            holed[top : top + side, left : left + side] = fill
        return holed

    return on_pixels(done)


# ---- policies ------------------------------------------------------------------------------------


@change.register
def _(step: specs.RandAugment) -> Change:
    made: Change = v2.RandAugment(step.ops, step.magnitude, step.bins, fill=PAPER)
    return made


@change.register
def _(step: specs.AutoAugment) -> Change:
    made: Change = v2.AutoAugment(v2.AutoAugmentPolicy(step.policy), fill=PAPER)
    return made


@change.register
def _(step: specs.TrivialAugment) -> Change:
    made: Change = v2.TrivialAugmentWide(step.bins, fill=PAPER)
    return made


@change.register
def _(step: specs.AugMix) -> Change:
    made: Change = v2.AugMix(step.severity, step.width, alpha=step.alpha, fill=PAPER)
    return made


@change.register
def _(step: specs.SketchPolicy) -> Change:
    pairs: list[tuple[Change, Change]] = [
        (affine(degrees=30), lambda picture: ImageOps.posterize(picture, random.randint(3, 7))),
        (affine(degrees=0, shear=17), ImageOps.autocontrast),
        (affine(degrees=0, translate=(0.2, 0.2)), ImageChops.invert),
        (ImageOps.equalize, affine(degrees=30)),
    ]

    def done(picture: Image.Image) -> Image.Image:
        first, second = random.choice(pairs)
        return second(first(picture))

    return done
