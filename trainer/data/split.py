"""Cuts the images into those that train and those that validate; the same for the same seed."""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from functools import singledispatch
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from schemas.components.data import Holdout, KFold, Split
from schemas.errors import count
from schemas.rundir import RunsRoot, write_atomic
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
    folds: Indices  # in which fold each image validates; -1: in none

    @classmethod
    def of(cls, folds: Indices, fold: int) -> Self:
        """What one fold validates and all others train."""
        return cls(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold), folds)


def divide(images: Images, split: Split, seed: int) -> Parts:
    """The two parts; every class is in both of them."""
    targets = np.array(images.targets)
    refuse_small_classes(images, least(split), split)
    try:
        folds = cut(split, targets, stream(seed, "split") & 0xFFFFFFFF)
    except ValueError as error:  # sklearn's word that one part cannot hold every class
        raise DataFault(f"cannot make {way(split)}: {error}", fix=FIX) from error
    parts = Parts.of(folds, split.fold if isinstance(split, KFold) else 0)
    for part in (parts.train, parts.validate):
        if len(absent := np.setdiff1d(targets, targets[part])):
            raise too_small(images, int(absent[0]), split)
    return parts


def keep(images: Images, parts: Parts, shared: RunsRoot) -> str:
    """Write the split where all folds of a batch find the same one; the sha256 of its file."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image_path", "target", "fold"))
    table.writerows(zip(images.names, images.targets, parts.folds.tolist(), strict=True))
    written = text.getvalue().encode()
    name = hashlib.sha256(written).hexdigest()
    if not shared.split(name).exists():
        shared.splits.mkdir(parents=True, exist_ok=True)
        write_atomic(shared.split(name), written)
    return name


@singledispatch
def cut(split: object, targets: Indices, state: int) -> Indices:
    """The fold that each image validates in, of one way to split."""
    raise TypeError(f"no split for {split!r}")


@cut.register
def _(split: Holdout, targets: Indices, state: int) -> Indices:
    held = max(round(split.fraction * len(targets)), len(np.unique(targets)))
    shuffled = StratifiedShuffleSplit(n_splits=1, test_size=held, random_state=state)
    _, validate = next(shuffled.split(targets, targets))
    return numbered(len(targets), [validate])


@cut.register
def _(split: KFold, targets: Indices, state: int) -> Indices:
    folds = StratifiedKFold(n_splits=split.folds, shuffle=True, random_state=state)
    return numbered(len(targets), [validate for _, validate in folds.split(targets, targets)])


def numbered(images: int, folds: list[Indices]) -> Indices:
    """The number of the fold that holds an image; -1 where none does."""
    numbers = np.full(images, -1)
    for number, fold in enumerate(folds):
        numbers[fold] = number
    return numbers


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
