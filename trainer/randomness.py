"""Randomness without state: each draw follows from the seed and from what is drawn for.

So nothing has to be restored after a crash, and loader processes cannot change a result.
"""

import hashlib
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch


def stream(seed: int, *purpose: int | str) -> int:
    """The 64-bit seed of one purpose, such as ("sample", epoch, index)."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def order(
    seed: int, epoch: int, count: int, chances: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.int64]:
    """In which order an epoch sees its images; with chances, as many draws with replacement."""
    dice = np.random.Generator(np.random.Philox(stream(seed, "order", epoch)))
    return dice.permutation(count) if chances is None else dice.choice(count, count, p=chances)


def drawn(odds: Sequence[float], *purpose: int | str, seed: int) -> int:
    """One of several by their odds."""
    point = stream(seed, *purpose) / 2**64 * sum(odds)
    return min(int(np.searchsorted(np.cumsum(odds), point, side="right")), len(odds) - 1)


def settle(value: int, *, devices: bool) -> None:
    """Seed everything that transforms, mixup and dropout draw from; `devices`: the GPU as well."""
    random.seed(value)
    np.random.seed(value & 0xFFFFFFFF)  # timm's transforms and mixup draw from numpy's global state
    if devices:
        torch.manual_seed(value)
    else:
        torch.default_generator.manual_seed(value)
