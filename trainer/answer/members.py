"""The members of an ensemble: runs, the folds of one config as one, and what they said of their
validation images. No torch: what was said lies beside the weights.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.components.data import KFold
from schemas.config import SAID, TrainConfig
from schemas.errors import UsageError, count
from schemas.rundir import RunDir
from schemas.source import load
from trainer.data.images import enumerate_some
from trainer.faults import DataFault
from trainer.judge import predictions
from trainer.judge.folders import facts_of
from trainer.judge.predictions import Predictions, Probabilities
from trainer.judge.scores import Labels


@dataclass(frozen=True, slots=True)
class Member:
    """One config, and the runs of it: as many as it has folds."""

    config: TrainConfig
    folders: tuple[Path, ...]
    missing: tuple[int, ...]  # folds that no run was given of

    @property
    def name(self) -> str:
        first, more = self.folders[0].name, len(self.folders) - 1
        return f"{first} and {more} more" if more else first


@dataclass(frozen=True, slots=True)
class Heard:
    """What every member said of the same images."""

    said: Sequence[Probabilities]
    true: Labels
    people: Labels
    names: tuple[str, ...]
    classes: tuple[str, ...]


def members(folders: Sequence[Path]) -> list[Member]:
    """In the order of the runs; folds of one config come together."""
    found: dict[str, list[tuple[Path, TrainConfig]]] = {}
    for folder in folders:
        config = load(RunDir(folder).config).config
        found.setdefault(kind_of(config, folder), []).append((folder, config))
    return [member(each) for each in found.values()]


def kind_of(config: TrainConfig, folder: Path) -> str:
    """The same for the folds of one config; every other run, a soup of folds too, is its own."""
    if not isinstance(config.data.split, KFold) or "soup" in facts_of(folder):
        return str(folder.resolve())
    tree = config.canonical()
    del tree["data"]["split"]["fold"], tree["data"]["test"], tree["data"]["workers"]
    del tree["predict"]  # what no weights hang on
    text = json.dumps({key: tree[key] for key in tree if key not in SAID or key == "seed"})
    return hashlib.sha256(text.encode()).hexdigest()


def member(runs: Sequence[tuple[Path, TrainConfig]]) -> Member:
    """A member of these runs; a fold that is there twice would count twice."""
    folders, config = tuple(folder for folder, _ in runs), runs[0][1]
    if len({folder.resolve() for folder in folders}) < len(folders):
        names = ", ".join(folder.name for folder in folders)
        raise UsageError(f"the same run is given twice: {names}", fix="name each run once")
    split = config.data.split
    if not isinstance(split, KFold) or "soup" in facts_of(folders[0]):
        return Member(config, folders, ())
    there = [each.data.split.fold for _, each in runs if isinstance(each.data.split, KFold)]
    if len(set(there)) < len(there):
        names = ", ".join(folder.name for folder in folders)
        raise UsageError(f"the same fold is given twice: {names}", fix="name each fold once")
    missing = tuple(fold for fold in range(split.folds) if fold not in there)
    return Member(config, folders, missing)


def lacking(found: Sequence[Member]) -> list[str]:
    """Which folds are not there, in words."""
    return [
        f"{each.name} lacks fold {', '.join(map(str, each.missing))}"
        for each in found
        if each.missing
    ]


def heard(found: Sequence[Member]) -> Heard:
    """What all of them said of the images that none of them had learnt from."""
    if not found:
        raise UsageError("no run was given", fix="trainer ensemble RUN...")
    every = [predictions.merged([predictions.of_run(f) for f in each.folders]) for each in found]
    first = every[0]
    for each, other in zip(found, every, strict=True):
        refuse_other_images(found[0], first, each, other)
    _, people = np.unique(np.array(first.persons), return_inverse=True)
    said = [in_order(other, first.names) for other in every]
    return Heard(said, first.true, people.astype(np.int64), first.names, first.classes)


def refuse_other_images(one: Member, first: Predictions, each: Member, other: Predictions) -> None:
    """Members are compared, and weighed, by the same images; none that another has learnt from."""
    if other.classes != first.classes:
        raise UsageError(f"{one.name} and {each.name} know different classes")
    if differ := sorted(set(first.names) ^ set(other.names)):
        lost = "; ".join(lacking([one, each]))
        raise DataFault(
            f"{one.name} and {each.name} did not validate the same images: "
            f"{count(len(differ), 'image')} of one of them only ({enumerate_some(differ[:3])})"
            + (f"; {lost}" if lost else ""),
            fix="give all folds of every config, or runs that share one split",
        )
    true = dict(zip(other.names, other.true.tolist(), strict=True))
    wrong = [n for n, t in zip(first.names, first.true.tolist(), strict=True) if true[n] != t]
    if wrong:
        raise DataFault(
            f"{one.name} and {each.name} have other labels for {enumerate_some(wrong[:3])}",
            fix="train both on the same corrections",
        )


def in_order(said: Predictions, names: Sequence[str]) -> Probabilities:
    """The probabilities in the order of these names."""
    place = {name: number for number, name in enumerate(said.names)}
    return said.probabilities[[place[name] for name in names]]
