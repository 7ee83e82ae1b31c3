"""Who answers what: all runs the same classes; or mask, gender and age each its own runs, whose
answers together are one class. Pure, but for what runs have kept of their validation images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schemas.components.predict import Predict
from schemas.components.sources import Mask
from schemas.config import TrainConfig
from schemas.errors import UsageError
from trainer.answer import jury, votes
from trainer.answer.votes import Rule
from trainer.judge import tasks
from trainer.judge.predictions import Probabilities
from trainer.judge.scores import Labels

TASKS = ("mask", "gender", "age")  # in the order of mask * 6 + gender * 3 + age


@dataclass(frozen=True, slots=True)
class Voice:
    """A run that is to answer."""

    folder: Path
    config: TrainConfig
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """Runs that answer the same, and how their voices count."""

    places: tuple[int, ...]  # among all runs
    classes: tuple[str, ...]
    rule: Rule


@dataclass(frozen=True, slots=True)
class Panel:
    """Everybody who answers, and a record of it."""

    benches: tuple[Bench, ...]
    note: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Of what is answered."""
        each = [bench.classes for bench in self.benches]
        return each[0] if len(each) == 1 else tasks.combined(each)

    def answers(self, said: Sequence[Probabilities]) -> Labels:
        """The class of each image, each task by its own vote."""
        each = [votes.answers([said[n] for n in b.places], b.rule) for b in self.benches]
        shape = [len(bench.classes) for bench in self.benches]
        return np.asarray(np.ravel_multi_index(each, shape), np.int64)

    def together(self, said: Sequence[Probabilities]) -> Probabilities:
        """The probability of each class; tasks are taken to have nothing to do with each other."""
        whole: Probabilities = np.ones((len(said[0]), 1), np.float32)
        for bench in self.benches:
            mean = votes.mean([said[place] for place in bench.places], bench.rule.weights)
            whole = (whole[:, :, None] * mean[:, None, :]).reshape(len(whole), -1)
        return whole


def of(spec: Predict, voices: Sequence[Voice]) -> Panel:
    """The panel of these runs; runs that have nothing to do with each other are refused."""
    benches, notes = [], []
    for places in seats(voices):
        rule, note = jury.rule(spec, [voices[place].folder for place in places])
        benches.append(Bench(places, voices[places[0]].classes, rule))
        notes.append(note)
    whole = {
        **notes[0],
        "members": [each for note in notes for each in note["members"]],
        "missing": [text for note in notes for text in note["missing"]],
        "doubts": [text for note in notes for text in note["doubts"]],
        "priors": [note["priors"] for note in notes] if len(notes) > 1 else notes[0]["priors"],
    }
    return Panel(tuple(benches), whole)


def seats(voices: Sequence[Voice]) -> list[tuple[int, ...]]:
    """Which runs answer the same: all, or those of each task."""
    first = voices[0]
    other = next((voice for voice in voices if voice.classes != first.classes), None)
    if other is None:
        return [tuple(range(len(voices)))]
    by_task = [
        tuple(place for place, voice in enumerate(voices) if task_of(voice) == task)
        for task in TASKS
    ]
    if not all(by_task) or sum(map(len, by_task)) < len(voices):
        raise UsageError(
            f"{first.folder.name} and {other.folder.name} know different classes "
            f"({len(first.classes)} and {len(other.classes)})",
            fix="predict with each alone; or give runs of data.source.task mask, gender and age, "
            "which together answer the 18 classes",
        )
    for places in by_task:
        if len({voices[place].classes for place in places}) > 1:
            names = ", ".join(voices[place].folder.name for place in places)
            raise UsageError(f"{names} have one task and different classes")
    return by_task


def task_of(voice: Voice) -> str:
    source = voice.config.data.source
    return source.task if isinstance(source, Mask) else ""
