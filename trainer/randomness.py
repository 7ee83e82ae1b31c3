"""Randomness without state: each draw follows from the seed and from what is drawn for.

So nothing has to be restored after a crash, and loader processes cannot change a result.
"""

import hashlib
import random

import numpy as np
import numpy.typing as npt
import torch


def stream(seed: int, *purpose: int | str) -> int:
    """The 64-bit seed of one purpose, such as ("sample", epoch, index)."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """In which order an epoch sees its images."""
    return np.random.Generator(np.random.Philox(stream(seed, "order", epoch))).permutation(count)


def settle(value: int, *, devices: bool) -> None:
    """Seed everything that transforms, mixup and dropout draw from; `devices`: the GPU as well."""
    random.seed(value)
    np.random.seed(value & 0xFFFFFFFF)  # timm's transforms and mixup draw from numpy's global state
    if devices:
        torch.manual_seed(value)
    else:
        torch.default_generator.manual_seed(value)
