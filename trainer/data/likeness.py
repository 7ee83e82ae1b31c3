"""Pictures that look the same though their files differ: sizes, qualities and formats apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

BITS = 6  # of 63 that two pictures of one thing may differ in
SHADES = 10  # of 255 that their small copies may differ in on average
ROWS = 512  # compared with all others at a time


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is left of a picture when only its look counts."""

    bits: int  # which of its 63 longest waves are above their median
    thumb: npt.NDArray[np.uint8]  # 8 x 8 x 3


class Pair(NamedTuple):
    """Two pictures that look the same, by their places in two lists."""

    one: int
    other: int
    bits: int


def likeness(picture: Image.Image) -> Likeness:
    """A perceptual hash (the sign of the long waves of the cosine transform), and a small copy."""
    gray = np.asarray(picture.convert("L").resize((32, 32), Image.Resampling.BOX), np.float32)
    waves = cv2.dct(gray)[:8, :8].ravel()[1:]  # without the first, which is the brightness
    signs = waves > np.median(waves)
    thumb = np.asarray(picture.convert("RGB").resize((8, 8), Image.Resampling.BOX))
    return Likeness(int("".join("01"[int(sign)] for sign in signs), 2), thumb)


def alike(some: Sequence[Likeness], others: Sequence[Likeness]) -> list[Pair]:
    """Every pair across the two that looks the same, the most alike first."""
    one, other = (np.array([each.bits for each in all_], np.uint64) for all_ in (some, others))
    found = []
    for start in range(0, len(one), ROWS):
        apart = np.bitwise_count(one[start : start + ROWS, None] ^ other[None, :])
        for row, column in zip(*np.nonzero(apart <= BITS), strict=True):
            near = some[start + row].thumb.astype(int) - others[column].thumb
            if np.abs(near).mean() <= SHADES:
                found.append(Pair(start + int(row), int(column), int(apart[row, column])))
    return sorted(found, key=lambda pair: (pair.bits, pair.one, pair.other))
