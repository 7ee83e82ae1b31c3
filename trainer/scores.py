"""How good answers are, counted the way leaderboards count. Pure: numbers in, numbers out.

Everything is made from one confusion matrix, and every interval from one matrix a group: people are
drawn again, not images, because the images of one person are not independent.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

DRAWS = 1000
LIKELY = 0.95


@dataclass(frozen=True, slots=True)
class PerClass:
    """Of each class; where nothing was to find or nothing was found, 0."""

    precision: Numbers
    recall: Numbers
    f1: Numbers
    support: Counts
    seen: npt.NDArray[np.bool_]  # it is in the truth or in the answers: a mean is over these


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a score would lie with other people of the same kind."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence is from being right: `error` is the expected calibration error."""

    error: float
    confidence: Numbers  # the mean of each bin
    accuracy: Numbers
    images: Counts


def confusion(true: Labels, guessed: Labels, classes: int) -> Counts:
    """How often a class (row) was taken for a class (column)."""
    pairs = np.bincount(true * classes + guessed, minlength=classes * classes)
    return pairs.reshape(classes, classes).astype(np.int64)


def accuracy(matrix: Counts) -> float:
    """The share of right answers."""
    return float(np.trace(matrix) / matrix.sum())


def per_class(matrix: Counts) -> PerClass:
    """Precision, recall and F1 of every class."""
    right, support, found = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    return PerClass(
        precision=share(right, found),
        recall=share(right, support),
        f1=share(2 * right, support + found),
        support=support,
        seen=(support + found) > 0,
    )


def macro_f1(matrix: Counts) -> float:
    """The mean F1 of the classes that are there."""
    scores = per_class(matrix)
    return float(scores.f1[scores.seen].mean())


def share(part: Counts | Numbers, whole: Counts | Numbers) -> Numbers:
    """A quotient that is 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros(part.shape, np.float64), where=whole > 0)


def top_k(probabilities: Numbers, true: Labels, k: int) -> float:
    """How often the truth is among the k likeliest."""
    own = probabilities[np.arange(len(true)), true]
    return float(((probabilities > own[:, None]).sum(1) < k).mean())


def calibration(probabilities: Numbers, true: Labels, bins: int = 15) -> Calibration:
    """Bins of equal width over the confidence of the answer."""
    confidence, guessed = probabilities.max(1), probabilities.argmax(1)
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    images = np.bincount(place, minlength=bins)
    sure = np.bincount(place, confidence, bins)
    right = np.bincount(place, guessed == true, bins)
    gap = float(np.abs(sure - right).sum() / len(true))
    return Calibration(gap, share(sure, images), share(right, images), images)


# ---- intervals -----------------------------------------------------------------------------------


def intervals(
    true: Labels, guessed: Labels, groups: Labels, classes: int, seed: int = 0
) -> dict[str, Interval]:
    """Of accuracy and macro F1, by drawing whole groups again and again.

    Only three counts a class are drawn (right, to find, found), so that 500 classes stay cheap.
    """
    _, number = np.unique(groups, return_inverse=True)
    total, right = int(number.max()) + 1, true == guessed

    def counted(group: Labels, label: Labels) -> Numbers:
        cells = np.bincount(group * classes + label, minlength=total * classes)
        return cells.reshape(total, classes).astype(np.float64)

    counts = counted(number[right], true[right]), counted(number, true), counted(number, guessed)
    dice = np.random.Generator(np.random.Philox(seed))
    times = dice.multinomial(total, np.full(total, 1 / total), DRAWS).astype(np.float64)
    hit, support, found = (times @ table for table in counts)
    f1, seen = share(2 * hit, support + found), (support + found) > 0
    scores = {"accuracy": hit.sum(1) / support.sum(1), "macro_f1": f1.sum(1) / seen.sum(1)}
    return {name: middle(values) for name, values in scores.items()}


def middle(values: Numbers) -> Interval:
    """Where all but the outermost draws lie."""
    low, high = np.quantile(values, [(1 - LIKELY) / 2, (1 + LIKELY) / 2])
    return Interval(float(low), float(high))
