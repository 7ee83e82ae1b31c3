"""How chosen images and counts look as pictures."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from trainer.look.drawing import SIDE, Cell, Strip, sheet
from trainer.tracking.told import Shown, Sight

COLUMNS = 8  # of a picture of images
MATRIX = 480  # pixels of a confusion matrix, at least
THUMB = 256  # pixels of an image alone
KEPT = 200  # images that come again, most of them at every evaluation: 12 to 39 MB


def picture(path: str, side: int = THUMB) -> Image.Image:
    """An image on a small square: W&B shows several only if all are alike."""
    try:
        return kept(path, side)
    except OSError:  # gone since, or not to be read just now: no row is lost for it
        return Image.new("RGB", (side, side), "white")


@lru_cache(KEPT)
def kept(path: str, side: int) -> Image.Image:
    """As its file has it."""
    with Image.open(path) as file:
        file.draft("RGB", (side, side))  # a JPEG need not be decoded to its full size
        return ImageOps.pad(file.convert("RGB"), (side, side), color="white")


def called(name: str, sight: Sight) -> str:
    """The best epoch's are shown beside those of the last one."""
    return f"best_{name}" if sight.best else name


def words(shown: Shown) -> str:
    """What people read below it."""
    mark = "" if shown.true == shown.answer else f", is {shown.true}"
    sure = f"{shown.sure:.0%}" if math.isfinite(shown.sure) else "(no number)"
    return f"{shown.answer} {sure}{mark}"


def together(title: str, shown: Sequence[Shown]) -> Image.Image:
    """All of them as one picture."""
    cells = [Cell(picture(each.path, SIDE), words(each)) for each in shown]
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
