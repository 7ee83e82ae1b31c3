"""Which images are worth a look: the worst, the confused, and each class's best and worst. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.judge import scores
from trainer.judge.predictions import Predictions
from trainer.judge.scores import Counts, PerClass

TOP = 5
WORST, PAIRS, EACH, HALF = (
    24,
    8,
    3,
    3,
)  # images; pairs; images of a pair; right and wrong of a class


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of one image."""

    name: str
    true: int
    top: tuple[tuple[int, float], ...]  # the likeliest classes, the likeliest first
    own: float  # how likely the truth was said to be

    @property
    def guessed(self) -> int:
        return self.top[0][0]

    @property
    def right(self) -> bool:
        return self.guessed == self.true

    @property
    def sure(self) -> float:
        return self.top[0][1]


@dataclass(frozen=True, slots=True)
class Confused:
    """Images of one class that were taken for another."""

    true: int
    guessed: int
    times: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class OfClass:
    """What went worst and what went best in a class."""

    label: int
    wrong: tuple[Answer, ...]
    right: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Picked:
    """Everything that is shown."""

    worst: tuple[Answer, ...]
    confused: tuple[Confused, ...]
    classes: tuple[OfClass, ...]

    def names(self) -> list[str]:
        """Of all images that are shown, each once."""
        answers = [*self.worst]
        answers += [answer for pair in self.confused for answer in pair.answers]
        answers += [each for one in self.classes for each in (*one.wrong, *one.right)]
        return list(dict.fromkeys(answer.name for answer in answers))


def pick(said: Predictions, matrix: Counts, each: PerClass, classes: int) -> Picked:
    """The images of a report; of many classes the worst ones."""
    answers = list(answers_of(said))
    worst = sorted((a for a in answers if not a.right), key=lambda a: (a.own, a.name))
    there = [int(label) for label in each.support.nonzero()[0]]
    chosen = sorted(there, key=lambda label: (each.f1[label], label))[:classes]
    return Picked(
        tuple(worst[:WORST]),
        tuple(
            Confused(
                true,
                guessed,
                times,
                tuple([a for a in worst if (a.true, a.guessed) == (true, guessed)][:EACH]),
            )
            for true, guessed, times in scores.confused(matrix, PAIRS)
        ),
        tuple(of_class(label, answers, worst) for label in chosen),
    )


def of_class(label: int, answers: Sequence[Answer], worst: Sequence[Answer]) -> OfClass:
    """Its worst mistakes and its surest right answers."""
    right = sorted(
        (a for a in answers if a.right and a.true == label), key=lambda a: (-a.sure, a.name)
    )
    wrong = [a for a in worst if a.true == label]
    return OfClass(label, tuple(wrong[:HALF]), tuple(right[:HALF]))


def answers_of(said: Predictions) -> Iterator[Answer]:
    """Of every image."""
    order = np.argsort(-said.probabilities, axis=1, kind="stable")[:, :TOP]
    for row, name in enumerate(said.names):
        likely = said.probabilities[row]
        top = tuple((int(label), float(likely[label])) for label in order[row])
        true = int(said.true[row])
        yield Answer(name, true, top, float(likely[true]))
