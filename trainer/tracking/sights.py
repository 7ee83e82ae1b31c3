"""How chosen images and counts look as pictures."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from trainer.look.drawing import Cell, Strip, sheet
from trainer.tracking.told import Shown, Sight

COLUMNS = 8  # of a picture of images
MATRIX = 480  # pixels of a confusion matrix, at least
THUMB = 256  # pixels of an image


def picture(shown: Shown) -> Image.Image:
    """An image as its file has it, on a small square: W&B shows several only if all are alike."""
    with Image.open(shown.path) as file:
        file.draft("RGB", (THUMB, THUMB))  # a JPEG need not be decoded to its full size
        return ImageOps.pad(file.convert("RGB"), (THUMB, THUMB), color="white")


def words(shown: Shown) -> str:
    """What people read below it."""
    mark = "" if shown.true == shown.answer else f", is {shown.true}"
    sure = f"{shown.sure:.0%}" if math.isfinite(shown.sure) else "(no number)"
    return f"{shown.answer} {sure}{mark}"


def together(title: str, shown: Sequence[Shown]) -> Image.Image:
    """All of them as one picture."""
    cells = [Cell(picture(each), words(each)) for each in shown]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    return sheet(title, [Strip("", row) for row in rows])


def matrix(sight: Sight) -> Image.Image:
    """A row a class: the darker, the larger the part of its images that got this answer."""
    counts = np.zeros((len(sight.classes), len(sight.classes)))
    for true, answer, number in sight.cells:
        counts[true, answer] = number
    parts = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    small = Image.fromarray((255 * (1 - parts)).astype(np.uint8))
    factor = max(1, -(-MATRIX // len(sight.classes)))
    side = factor * len(sight.classes)
    return small.resize((side, side), Image.Resampling.NEAREST)
