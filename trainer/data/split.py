"""Cuts the images into those that train and those that validate; the same for the same seed."""

from collections import Counter
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from schemas.components import Holdout, KFold, Split
from schemas.errors import count
from trainer.data.sketch import Images
from trainer.faults import DataFault
from trainer.randomness import stream

Indices = npt.NDArray[np.int64]
FIX = "add images of the rarest classes, leave those out, or change data.split"


@dataclass(frozen=True, slots=True)
class Parts:
    """Which images train and which validate, as indices; never one in both."""

    train: Indices
    validate: Indices


def divide(images: Images, split: Split, seed: int) -> Parts:
    """The two parts; every class is in both of them."""
    targets = np.array(images.targets)
    refuse_small_classes(images, least(split), split)
    try:
        train, validate = cut(split, targets, stream(seed, "split") & 0xFFFFFFFF)
    except ValueError as error:  # sklearn's word that one part cannot hold every class
        raise DataFault(f"cannot make {way(split)}: {error}", fix=FIX) from error
    for part in (train, validate):
        if len(absent := np.setdiff1d(targets, targets[part])):
            raise too_small(images, int(absent[0]), split)
    return Parts(np.sort(train), np.sort(validate))


@singledispatch
def cut(split: object, targets: Indices, state: int) -> tuple[Indices, Indices]:
    """Training and validation indices of one way to split."""
    raise TypeError(f"no split for {split!r}")


@cut.register
def _(split: Holdout, targets: Indices, state: int) -> tuple[Indices, Indices]:
    held = max(round(split.fraction * len(targets)), len(np.unique(targets)))
    shuffled = StratifiedShuffleSplit(n_splits=1, test_size=held, random_state=state)
    train, validate = next(shuffled.split(targets, targets))
    return train, validate


@cut.register
def _(split: KFold, targets: Indices, state: int) -> tuple[Indices, Indices]:
    folds = StratifiedKFold(n_splits=split.folds, shuffle=True, random_state=state)
    train, validate = list(folds.split(targets, targets))[split.fold]
    return train, validate


def least(split: Split) -> int:
    """How many images a class needs."""
    return split.folds if isinstance(split, KFold) else 2


def refuse_small_classes(images: Images, needed: int, split: Split) -> None:
    """The rarest class decides whether the split can be made."""
    target, images_of_it = min(Counter(images.targets).items(), key=lambda pair: (pair[1], pair[0]))
    if images_of_it < needed:
        raise too_small(images, target, split)


def too_small(images: Images, target: int, split: Split) -> DataFault:
    """The one line about a class that cannot be in both parts."""
    has = count(images.targets.count(target), "image")
    return DataFault(
        f"class {images.classes[target]!r} has {has}: too few for {way(split)}", fix=FIX
    )


def way(split: Split) -> str:
    """The split in words."""
    if isinstance(split, KFold):
        return f"{split.folds} folds with every class in each"
    return f"holding out {split.fraction:g} with every class in both parts"
