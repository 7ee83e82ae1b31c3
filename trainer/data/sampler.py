"""How likely each training image is to be drawn; drawing itself is `trainer.randomness`'s."""

from functools import singledispatch

import numpy as np
import numpy.typing as npt

from schemas.components.data import Imbalanced, Shuffle, Weighted
from schemas.components.spec import Spec
from trainer.data.split import Parts

Chances = npt.NDArray[np.float64] | None  # of each training image; None: each once


@singledispatch
def chances(sampler: Spec, parts: Parts) -> Chances:
    """The chance of each training image at every draw."""
    raise TypeError(f"no sampler for {sampler!r}")


@chances.register
def _(sampler: Shuffle, parts: Parts) -> Chances:
    return None


@chances.register
def _(sampler: Imbalanced, parts: Parts) -> Chances:
    targets = parts.targets[parts.train]
    return shares(1 / np.bincount(targets).clip(1)[targets])


@chances.register
def _(sampler: Weighted, parts: Parts) -> Chances:
    weights, targets = np.array(sampler.weights), parts.targets[parts.train]
    return shares(weights[targets])


def shares(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    total: npt.NDArray[np.float64] = weights / weights.sum()
    return total
