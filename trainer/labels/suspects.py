"""Labels that the models of other folds doubt. Pure.

By confident learning (Northcutt et al., 2021): a class is suspected where it is said with at least
the confidence that its own images get on average; what a model is always unsure of is no error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.answer import votes
from trainer.answer.members import Heard

MANY = 0.1  # of all labels: more are seldom wrong in a set that people work with


@dataclass(frozen=True, slots=True)
class Suspect:
    """One image whose label is doubted."""

    image: str
    true: int  # as its table has it
    suspected: int
    confidence: float  # of what is suspected
    of_label: float  # of what the table has
    agree: int  # members that name the suspected class


def suspects(heard: Heard, weights: Sequence[float] = ()) -> list[Suspect]:
    """The most doubtful first."""
    together = votes.mean(heard.said, weights)
    images, classes = np.arange(len(heard.true)), len(heard.classes)
    own = together[images, heard.true]
    counts = np.bincount(heard.true, minlength=classes)
    usual = np.bincount(heard.true, own, classes) / np.maximum(counts, 1)
    bold = np.where(together >= usual, together, -1.0)  # classes that are said as surely as usual
    bold[images, heard.true] = -1.0
    other = bold.argmax(1)
    doubted = np.flatnonzero((bold[images, other] > own) & (counts[other] > 0))
    named = np.stack([said.argmax(1) for said in heard.said])
    found = [
        Suspect(
            heard.names[image],
            int(heard.true[image]),
            int(other[image]),
            float(together[image, other[image]]),
            float(own[image]),
            int((named[:, image] == other[image]).sum()),
        )
        for image in doubted.tolist()
    ]
    return sorted(found, key=lambda each: (each.of_label - each.confidence, each.image))


def too_many(doubted: int, right: npt.NDArray[np.bool_]) -> str:
    """Why so many doubts say more of the model than of the labels; empty where they do not."""
    if doubted <= MANY * len(right):
        return ""
    return (
        f"{doubted / len(right):.0%} of all labels are doubted, by a model that is right in "
        f"{right.mean():.0%}: most of these will be its own mistakes."
    )
