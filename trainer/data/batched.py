"""Augments whole batches on the device, straight from the bytes of the cache.

A loader process draws only numbers: of each image a recipe, which follows from seed, epoch and
image. The pixels are made from recipes where they are needed, all of a batch at once: on any
device the same ones, up to rounding.
"""

import math
import random

import numpy as np
import numpy.typing as npt
import torch
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor

from schemas.components.augment import Batched
from trainer.data.cache import Cache
from trainer.data.pixels import Frame

Matrix = npt.NDArray[np.float64]

PAPER = 255.0  # what comes into view from beyond the edge
FINE = 2  # samples a side of a pixel, against jagged lines
SHARE = 0.25  # of a device's memory, that pixels may take for good
AT_ONCE = 1 << 22  # samples, so that a large batch needs no more memory than a small one
GRAY = np.array([0.299, 0.587, 0.114])
# the columns of a recipe
SLOT, SIZE, WHERE, COLOUR, HOLE = 0, 1, slice(2, 8), slice(8, 20), slice(20, 25)
LENGTH = 25


class Recipe:
    """From where an image lies to the numbers by which it is made."""

    def __init__(self, spec: Batched, size: int) -> None:
        self.spec, self.size = spec, size

    def __call__(self, frame: Frame) -> Tensor:
        """One row: all that is drawn comes from the global generators, settled for this sample."""
        row = np.zeros(LENGTH)
        row[SLOT], row[SIZE] = frame.slot, self.size
        row[WHERE] = where(self.spec, frame).ravel()
        row[COLOUR] = colour(self.spec).ravel()
        row[HOLE] = hole(self.spec)
        return torch.from_numpy(row)


def where(spec: Batched, frame: Frame) -> Matrix:
    """From a place in the result, -1 .. 1, to a pixel of the image: x, y."""
    shape = torch.empty(1, frame.height, frame.width, device="meta")
    top, left, height, width = RandomResizedCropAndInterpolation.get_params(  # type: ignore[no-untyped-call]
        shape, spec.scale, spec.ratio
    )
    angle = math.radians(random.uniform(-spec.degrees, spec.degrees))
    across = -1.0 if random.random() < spec.hflip else 1.0
    along = -1.0 if random.random() < spec.vflip else 1.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    half = np.array([width / 2, height / 2])
    middle = np.array([left + width / 2, top + height / 2])
    return np.column_stack([half[:, None] * turn * np.array([across, along]), middle])


def colour(spec: Batched) -> Matrix:
    """Brightness, contrast, saturation and inversion as one map of (red, green, blue, 1)."""
    whole = np.eye(4)
    for strength, fixed in (
        (spec.brightness, np.zeros((3, 4))),
        (spec.contrast, np.column_stack([np.zeros((3, 3)), np.full(3, 127.5)])),
        (spec.saturation, np.column_stack([np.tile(GRAY, (3, 1)), np.zeros(3)])),
    ):
        factor = random.uniform(max(0.0, 1 - strength), 1 + strength)
        step = np.eye(4)
        step[:3] = factor * step[:3] + (1 - factor) * fixed
        whole = step @ whole
    if random.random() < spec.invert:
        whole = np.vstack([np.column_stack([-np.eye(3), np.full(3, 255.0)]), np.eye(4)[3:]]) @ whole
    return whole[:3]


def hole(spec: Batched) -> tuple[float, float, float, float, float]:
    """A rectangle, left, top, right, bottom as parts of the side, and its gray; often none."""
    done, area = random.random() < spec.erase, random.uniform(0.02, 1 / 3)
    shape = math.exp(random.uniform(math.log(0.3), math.log(1 / 0.3)))
    width, height = min(1.0, math.sqrt(area * shape)), min(1.0, math.sqrt(area / shape))
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    gray = random.uniform(0, 255)
    return (left, top, left + width, top + height, gray) if done else (0.0,) * 5


class Kitchen:
    """Makes batches of bytes from recipes. Where the device has room, the cache lies there."""

    def __init__(self, cache: Cache, device: torch.device) -> None:
        self.cache, self.device = cache, device
        self.rows = torch.from_numpy(cache.index.astype(np.int64))  # offset, height, width, depth
        sizes = self.rows[:, 1:].prod(1)
        self.resident = device.type == "cuda" and fits(int(sizes.sum()), device)
        if self.resident:
            self.bytes, self.rows = packed(cache, self.rows, range(len(sizes)), device)

    def __call__(self, recipes: Tensor) -> Tensor:
        """Bytes [B,3,S,S] on the device."""
        size = int(recipes[0, SIZE])
        slots = recipes[:, SLOT].long()
        if self.resident:
            pixels, rows = self.bytes, self.rows[slots.to(self.device)]
        else:
            pixels, rows = packed(self.cache, self.rows[slots], slots.tolist(), self.device)
        todo = recipes.float().to(self.device, non_blocking=True)
        at_once = max(1, AT_ONCE // (size * FINE) ** 2)
        parts = zip(torch.split(todo, at_once), torch.split(rows, at_once), strict=True)
        return torch.cat([made(pixels, some, them, size) for some, them in parts])


def fits(size: int, device: torch.device) -> bool:
    """By what the device has, not by what is free now: the same at every attempt."""
    return size <= SHARE * torch.cuda.get_device_properties(device).total_memory


def packed(
    cache: Cache, rows: Tensor, slots: "range | list[int]", device: torch.device
) -> tuple[Tensor, Tensor]:
    """The bytes of some images without the gaps between them, and where each of them begins."""
    sizes = rows[:, 1:].prod(1)
    ends = sizes.cumsum(0)
    flat = np.empty(int(ends[-1]), np.uint8)
    for slot, end, size in zip(slots, ends.tolist(), sizes.tolist(), strict=True):
        start = int(cache.index[slot, 0])
        flat[end - size : end] = cache.pixels[start : start + size]
    placed = torch.cat([(ends - sizes)[:, None], rows[:, 1:]], 1)
    return torch.from_numpy(flat).to(device), placed.to(device)


def made(pixels: Tensor, recipes: Tensor, rows: Tensor, size: int) -> Tensor:
    """One part of a batch, [B,3,S,S]: looked up, blended, coloured, holed."""
    fine = size * FINE
    line = (torch.arange(fine, device=pixels.device) + 0.5) * (2 / fine) - 1
    matrix = recipes[:, WHERE].reshape(-1, 2, 3, 1, 1)
    x, y = (
        matrix[:, axis, 0] * line[None, None]
        + matrix[:, axis, 1] * line[None, :, None]
        + matrix[:, axis, 2]
        for axis in (0, 1)
    )  # [B,F,F]
    seen = looked_up(pixels, rows, x, y).reshape(-1, 3, size, FINE, size, FINE).mean((3, 5))
    map_ = recipes[:, COLOUR].reshape(-1, 3, 4)
    seen = torch.einsum("bij,bjhw->bihw", map_[..., :3], seen) + map_[..., 3, None, None]
    return holed(seen, recipes[:, HOLE]).round_().clamp_(0, 255).byte()


def looked_up(pixels: Tensor, rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The colours [B,3,F,F] between the four pixels around each place."""
    offset, height, width, depth = (each.reshape(-1, 1, 1) for each in rows.unbind(1))
    outside = (x < 0) | (y < 0) | (x > width) | (y > height)
    left, top = (x - 0.5).floor(), (y - 0.5).floor()
    right, below = x - 0.5 - left, y - 0.5 - top  # how near the next pixel is
    found = torch.zeros(len(x), 3, *x.shape[1:], device=x.device)
    channels = torch.minimum(
        torch.arange(3, device=x.device).reshape(1, 3, 1, 1), depth[:, None] - 1
    )
    for step_y, share_y in ((0, 1 - below), (1, below)):
        for step_x, share_x in ((0, 1 - right), (1, right)):
            column = torch.minimum((left.long() + step_x).clamp_(min=0), width - 1)
            row = torch.minimum((top.long() + step_y).clamp_(min=0), height - 1)
            place = offset + (row * width + column) * depth
            found += pixels[place[:, None] + channels] * (share_x * share_y)[:, None]
    return found.masked_fill_(outside[:, None], PAPER)


def holed(images: Tensor, holes: Tensor) -> Tensor:
    """With the rectangle of each image in its gray."""
    size = images.shape[-1]
    line = (torch.arange(size, device=images.device) + 0.5) / size
    left, top, right, bottom, gray = (each.reshape(-1, 1, 1) for each in holes.unbind(1))
    across = (line >= left) & (line < right)  # [B,1,S]
    along = (line[:, None] >= top) & (line[:, None] < bottom)  # [B,S,1]
    return torch.where((across & along)[:, None], gray[:, None], images)
