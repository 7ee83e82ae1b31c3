"""From what several models said to one answer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainer.judge.predictions import Probabilities
from trainer.judge.scores import Labels, Numbers

Way = Literal["soft", "hard", "rank"]
EVEN = 1e-9  # votes this close to each other are a tie


@dataclass(frozen=True, slots=True)
class Rule:
    """How voices are counted; what is left out counts all alike."""

    way: Way = "soft"
    weights: Sequence[float] = ()  # of the voices
    ties: Numbers | None = None  # of the classes: which wins a tie; else the larger mean does
    priors: Numbers | None = None  # of the classes: what their mean probability is multiplied by


ALIKE = Rule()


def mean(said: Sequence[Probabilities], weights: Sequence[float] = ()) -> Probabilities:
    """The mean probability of every class."""
    together = np.zeros(said[0].shape)
    parts = shares(weights or [1.0] * len(said))
    for one, part in zip(said, parts, strict=True):  # not stacked: there may be many, and large
        together += part * one
    return together.astype(np.float32)


def answers(said: Sequence[Probabilities], rule: Rule = ALIKE) -> Labels:
    """soft: the class of the largest mean; hard: the class that most name; rank: the class whose
    mean rank among all images is highest.
    """
    if rule.way == "rank":
        return np.asarray(mean([ranked(one) for one in said], rule.weights).argmax(1), np.int64)
    together = mean(said, rule.weights)
    if rule.way == "soft":
        priors = 1.0 if rule.priors is None else rule.priors
        return np.asarray((together * priors).argmax(1), np.int64)
    votes = np.zeros(together.shape)
    parts = shares(rule.weights or [1.0] * len(said))
    for one, part in zip(said, parts, strict=True):
        votes[np.arange(len(one)), one.argmax(1)] += part
    return settled(votes, together, rule.ties)


def settled(votes: Numbers, together: Probabilities, ties: Numbers | None) -> Labels:
    """The class of most votes; of several the heaviest class, of those the largest mean."""
    tied = best(votes)
    if ties is not None:
        tied = best(np.where(tied, ties, -np.inf))
    return np.asarray(np.where(tied, together, -np.inf).argmax(1), np.int64)


def best(values: Numbers) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Of each row all that are as good as its best."""
    return np.asarray(values >= values.max(1, keepdims=True) - EVEN)


def ranked(said: Probabilities) -> Probabilities:
    """Of each class how many of the images it is less likely in, as a share: confidence that is
    too high or too low in one model counts no more than in another.
    """
    ranks = np.empty(said.shape, np.float32)
    for label, column in enumerate(said.T):
        ordered = np.sort(column)
        below, upto = (ordered.searchsorted(column, side) for side in ("left", "right"))
        ranks[:, label] = (below + upto + 1) / 2 / len(said)  # equals share the mean of theirs
    return ranks


def shares(weights: Sequence[float]) -> list[float]:
    """Weights that add up to 1."""
    total = sum(weights)
    return [weight / total for weight in weights]
