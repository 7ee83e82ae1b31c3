"""From what several models said to one answer. Pure."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from trainer.predictions import Probabilities
from trainer.scores import Labels

Way = Literal["soft", "hard"]


def mean(said: Sequence[Probabilities]) -> Probabilities:
    """The mean probability of every class, each voice alike."""
    together: Probabilities = np.stack(said).mean(0, dtype=np.float64).astype(np.float32)
    return together


def answers(said: Sequence[Probabilities], way: Way) -> Labels:
    """soft: the class of the largest mean; hard: the class that most name, ties by that mean."""
    together = mean(said)
    if way == "soft":
        return np.asarray(together.argmax(1), np.int64)
    votes = np.zeros(together.shape)
    for one in said:
        votes[np.arange(len(one)), one.argmax(1)] += 1
    return np.asarray((votes + together / 2).argmax(1), np.int64)  # a mean is below 1: it only ties
