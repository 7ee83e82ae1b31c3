"""Cuts the images into those that train and those that validate; the same for the same seed.

A split is made over sorted names, so it does not hang on the order of a table or a folder. Where
the source knows people, whole people are dealt out.
"""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.model_selection import (
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from schemas.components.data import Holdout, IndexFiles, KFold, Split
from schemas.errors import count
from schemas.rundir import RunsRoot, write_atomic
from trainer.data.images import Images, enumerate_some
from trainer.data.index_files import read_index_files
from trainer.faults import DataFault
from trainer.randomness import stream

Indices = npt.NDArray[np.int64]
Words = npt.NDArray[np.str_]
TRAINS, LEFT_OUT = -1, -2  # instead of the number of a fold
FIX = "add images of the rarest classes, leave those out, or change data.split"


@dataclass(frozen=True, slots=True)
class Parts:
    """Which images train and which validate, as indices; never one in both."""

    train: Indices
    validate: Indices
    folds: Indices  # in which fold each image validates; -1: in none
    targets: Indices  # of all images

    @classmethod
    def of(cls, folds: Indices, fold: int) -> Self:
        """What one fold validates and all others train, of images of one class."""
        validates = folds == fold
        return cls(np.flatnonzero(~validates), np.flatnonzero(validates), folds, 0 * folds)


@dataclass(frozen=True, slots=True)
class Deck:
    """The source's own images, sorted by name: what is cut."""

    targets: Indices
    persons: Words  # who is kept in one piece; empty where each image is its own
    labels: tuple[tuple[str, ...], ...]

    def hands(self) -> tuple[Words, Indices, list[tuple[str, ...]]]:
        """Whoever is dealt out as a whole: its names, of each image which one, and the labels."""
        if not len(self.persons):
            names = np.arange(len(self.targets)).astype(str)
            return names, np.arange(len(self.targets)), [(str(t),) for t in self.targets]
        names, first, which = np.unique(self.persons, return_index=True, return_inverse=True)
        if self.labels:
            return names, which, [self.labels[index] for index in first]
        common = [Counter(self.targets[which == n].tolist()) for n in range(len(names))]
        return names, which, [(str(min(c, key=lambda t: (-c[t], t))),) for c in common]


def divide(images: Images, split: Split, seed: int, data_root: Path = Path()) -> Parts:
    """The two parts. Every class trains, and validates too unless the config draws by lot."""
    by_name = np.array(sorted(range(images.own), key=lambda index: images.names[index]))
    together = bool(images.persons) and split.by != "image_leaking_persons"
    folds = np.full(len(images.names), TRAINS)
    if isinstance(split, IndexFiles):
        folds[: images.own] = read_index_files(split, images, data_root)
    else:
        deck = Deck(
            np.array(images.targets)[by_name],
            np.array([images.persons[n] if together else "" for n in by_name if together]),
            tuple(images.labels[n] for n in by_name) if images.labels else (),
        )
        refuse_small_classes(images, deck, split)
        try:
            folds[by_name] = cut(split, deck, stream(seed, "split") & 0xFFFFFFFF)
        except ValueError as error:  # sklearn's word that one part cannot hold every class
            raise DataFault(f"cannot make {way(split, deck)}: {error}", fix=FIX) from error
    parts = taken_apart(images, folds, split.fold if isinstance(split, KFold) else 0)
    refuse_absent_classes(images, parts, split)
    if together:
        refuse_persons_on_both_sides(images, parts)
    return parts


def taken_apart(images: Images, folds: Indices, fold: int) -> Parts:
    """What one fold validates and all others train; an extra row trains unless it shows somebody
    who validates."""
    validates, trains = folds == fold, (folds != fold) & (folds != LEFT_OUT)
    trains[list(images.only_validate)] = False
    for part in (validates, trains):
        part[list(images.bad)] = False
    if images.persons:
        held = {images.persons[index] for index in np.flatnonzero(folds == fold)}
        for index in range(images.own, len(images.names)):
            trains[index] &= held.isdisjoint(images.persons[index].split("+"))
    targets = np.array(images.targets)
    return Parts(np.flatnonzero(trains), np.flatnonzero(validates), folds, targets)


def keep(images: Images, parts: Parts, shared: RunsRoot) -> str:
    """Write the split where all folds of a batch find the same one; the sha256 of its file."""
    text, name = written(images, parts)
    if not shared.split(name).exists():
        shared.splits.mkdir(parents=True, exist_ok=True)
        write_atomic(shared.split(name), text)
    return name


def written(images: Images, parts: Parts) -> tuple[bytes, str]:
    """The split as a file, sorted by name, and its sha256."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("image_path", "target", "person", "fold"))
    persons = images.persons or ("",) * len(images.names)
    table.writerows(
        sorted(zip(images.names, images.targets, persons, parts.folds.tolist(), strict=True))
    )
    whole = text.getvalue().encode()
    return whole, hashlib.sha256(whole).hexdigest()


# ---- the ways to cut -----------------------------------------------------------------------------


@singledispatch
def cut(split: object, deck: Deck, state: int) -> Indices:
    """The fold that each image of the deck validates in, of one way to split."""
    raise TypeError(f"no split for {split!r}")


@cut.register
def _(split: Holdout, deck: Deck, state: int) -> Indices:
    names, which, labels = deck.hands()
    if split.stratify == "none":
        by_lot = ShuffleSplit(n_splits=1, test_size=split.fraction, random_state=state)
        _, held = next(by_lot.split(names))
    else:
        kinds = np.array(["/".join(each) for each in labels])
        size = max(round(split.fraction * len(names)), len(np.unique(kinds)))
        shuffled = StratifiedShuffleSplit(n_splits=1, test_size=size, random_state=state)
        _, held = next(shuffled.split(names, kinds))
    return numbered(len(names), [held])[which]


@cut.register
def _(split: KFold, deck: Deck, state: int) -> Indices:
    if split.stratify == "labels":
        names, which, labels = deck.hands()
        every = sorted({label for each in labels for label in each})
        marks = np.array([[label in each for label in every] for each in labels], dtype=int)
        made = MultilabelStratifiedKFold(n_splits=split.folds, shuffle=True, random_state=state)
        return numbered(len(names), [held for _, held in made.split(names, marks)])[which]
    if len(deck.persons):
        whole = StratifiedGroupKFold(n_splits=split.folds, shuffle=True, random_state=state)
        cuts = whole.split(deck.targets, deck.targets, groups=deck.persons)
    else:
        folds = StratifiedKFold(n_splits=split.folds, shuffle=True, random_state=state)
        cuts = folds.split(deck.targets, deck.targets)
    return numbered(len(deck.targets), [held for _, held in cuts])


def numbered(images: int, folds: list[Indices]) -> Indices:
    """The number of the fold that holds an image; -1 where none does."""
    numbers = np.full(images, TRAINS)
    for number, fold in enumerate(folds):
        numbers[fold] = number
    return numbers


# ---- what cannot be a split ----------------------------------------------------------------------


def refuse_small_classes(images: Images, deck: Deck, split: Split) -> None:
    """The rarest class decides whether the split can be made."""
    needed = split.folds if isinstance(split, KFold) else 2
    _, which, _ = deck.hands()
    pairs = {(int(target), int(hand)) for target, hand in zip(deck.targets, which, strict=True)}
    have = Counter(target for target, _ in pairs)
    target, number = min(have.items(), key=lambda pair: (pair[1], pair[0]))
    if number < needed:
        noun = "image" if not len(deck.persons) else "person"
        has = count(number, noun) if noun == "image" else f"{number} of the people"
        raise DataFault(
            f"class {images.classes[target]!r} has {has}: too few for {way(split, deck)}", fix=FIX
        )


def refuse_absent_classes(images: Images, parts: Parts, split: Split) -> None:
    """A class that does not train cannot be known; one that does not validate is not measured."""
    usable = set(range(images.own)) - images.bad
    there = np.unique(parts.targets[sorted(usable)])
    free = isinstance(split, IndexFiles) or split.stratify in {"none", "labels"}
    fix = "fewer data.source.drop_ages, or another data.split" if images.only_validate else FIX
    for part, name in ((parts.train, "trains"), (parts.validate, "validates")):
        absent = np.setdiff1d(there, parts.targets[part])
        if not len(part):
            raise DataFault(f"no image {name}", fix=fix)
        if len(absent) and (name == "trains" or not free):
            names = enumerate_some([images.classes[target] for target in absent])
            raise DataFault(f"no image {name} of the class {names}", fix=fix)


def refuse_persons_on_both_sides(images: Images, parts: Parts) -> None:
    """However a split was made, nobody who validates is trained on."""
    train, validate = (
        {who for index in part for who in images.persons[index].split("+")}
        for part in (parts.train, parts.validate)
    )
    if both := sorted(train & validate):
        raise DataFault(
            f"{len(both)} of the people train and validate: {enumerate_some(both)}",
            fix="deal out whole people: validation would flatter",
        )


def way(split: Split, deck: Deck) -> str:
    """The split in words."""
    of = "people" if len(deck.persons) else "images"
    if isinstance(split, KFold):
        return f"{split.folds} folds of {of} with every class in each"
    part = getattr(split, "fraction", 0)
    return f"holding out {part:g} of the {of} with every class in both parts"
