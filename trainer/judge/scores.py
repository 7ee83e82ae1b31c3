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
Floats = npt.NDArray[np.float32]  # as models say them

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

    @property
    def mean_confidence(self) -> float:
        """Of all images."""
        return float((self.confidence * self.images).sum() / self.images.sum())


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


def among(probabilities: Numbers | Floats, true: Labels, k: int) -> npt.NDArray[np.bool_]:
    """Of each image whether the truth is among the k likeliest."""
    own = probabilities[np.arange(len(true)), true]
    return np.asarray((probabilities > own[:, None]).sum(1) < k)


def confused(matrix: Counts, most: int) -> list[tuple[int, int, int]]:
    """Which class (first) is taken for which, how often; the most frequent first."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [(int(a), int(b), int(wrong[a, b])) for a, b in pairs if wrong[a, b]]


def calibration(probabilities: Numbers | Floats, true: Labels, bins: int = 15) -> Calibration:
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
    """Of accuracy and macro F1, by drawing whole groups again and again."""
    drawn = draws(true, guessed, groups, classes, seed)
    return {name: middle(values) for name, values in drawn.items()}


def gains(
    true: Labels, guessed: Labels, before: Labels, groups: Labels, classes: int, seed: int = 0
) -> dict[str, Interval]:
    """Of what answers are better than others by: both are judged by the same draws."""
    mine = draws(true, guessed, groups, classes, seed)
    others = draws(true, before, groups, classes, seed)
    return {name: middle(values - others[name]) for name, values in mine.items()}


def draws(
    true: Labels, guessed: Labels, groups: Labels, classes: int, seed: int
) -> dict[str, Numbers]:
    """Accuracy and macro F1 of every draw. Only three counts a class are drawn (right, to find,
    found), so that 500 classes stay cheap.
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
    return {"accuracy": hit.sum(1) / support.sum(1), "macro_f1": f1.sum(1) / seen.sum(1)}


def of_mean(values: Numbers | npt.NDArray[np.bool_], groups: Labels, seed: int = 0) -> Interval:
    """Of the mean of something that each image has, by drawing whole groups."""
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.bincount(number, values)
    dice = np.random.Generator(np.random.Philox(seed))
    times = dice.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), DRAWS)
    return middle(times @ sums / (times @ sizes))


def middle(values: Numbers) -> Interval:
    """Where all but the outermost draws lie."""
    low, high = np.quantile(values, [(1 - LIKELY) / 2, (1 + LIKELY) / 2])
    return Interval(float(low), float(high))
