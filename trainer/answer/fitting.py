"""Weights of members and of classes, fitted to what was said of validation images; and honestly
measured: fitted on some people, scored on others. Pure.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from sklearn.model_selection import GroupKFold

from trainer.judge import scores
from trainer.judge.predictions import Probabilities
from trainer.judge.scores import Labels, Numbers

ROUNDS = 30  # members that the search puts together, one after the other
NESTED = 5  # parts of the people
STEPS = (0.5, 0.7, 0.85, 0.95, 1.05, 1.2, 1.4, 2.0)  # how a class weight is changed
PASSES = 3  # over all classes
LEAST = 1e-12

Said = Sequence[Probabilities]
Fitted = TypeVar("Fitted")


def weights(said: Said, true: Labels, metric: str) -> list[float]:
    """Weights of members by ensemble selection (Caruana et al., 2004): again and again the member
    that helps most is added to those that were chosen, with what the likelihood says of equals.
    """
    chosen, total = np.zeros(len(said)), np.zeros(said[0].shape)
    found, best = chosen, (-1.0, -np.inf)
    for number in range(1, ROUNDS + 1):
        worth = [quality((total + one) / number, true, metric) for one in said]
        place = max(range(len(said)), key=worth.__getitem__)
        chosen = chosen + np.eye(len(said))[place]
        total += said[place]
        if worth[place] > best:
            found, best = chosen / number, worth[place]
    return [float(weight) for weight in found]


def quality(together: Numbers, true: Labels, metric: str) -> tuple[float, float]:
    """The metric that is to be high, and the likelihood of the truth."""
    own = together[np.arange(len(true)), true]
    likelihood = float(np.log(np.maximum(own, LEAST)).mean())
    if metric == "loss":
        return likelihood, likelihood
    matrix = scores.confusion(true, together.argmax(1), together.shape[1])
    score = scores.macro_f1 if metric == "macro_f1" else scores.accuracy
    return score(matrix), likelihood


def priors(together: Probabilities, true: Labels) -> Numbers:
    """A weight for each class, changed one at a time as long as macro F1 gets better."""
    classes = together.shape[1]
    found, weighed = np.ones(classes), together.astype(np.float64)
    lead = two_best(weighed)
    best = score_of(lead[:, 0], true, classes)
    for _ in range(PASSES):
        before = best
        for label in range(classes):
            own, rows = weighed[:, label].copy(), np.arange(len(true))
            rival = np.where(lead[:, 0] == label, lead[:, 1], lead[:, 0])
            high, chosen = weighed[rows, rival], 1.0
            for step in STEPS:
                worth = score_of(np.where(own * step > high, label, rival), true, classes)
                if worth > best:
                    best, chosen = worth, step
            if chosen != 1.0:
                found[label] *= chosen
                weighed[:, label] = own * chosen
                near = (lead == label).any(1) | (own * chosen > weighed[rows, lead[:, 1]])
                lead[near] = two_best(weighed[near])
        if best == before:
            break
    return found


def two_best(weighed: Numbers) -> Labels:
    """Of each image the likeliest class and the next: of 500 the others rarely come into it."""
    pair = np.argpartition(-weighed, 1, axis=1)[:, :2]
    turned = np.take_along_axis(weighed, pair, 1)
    swap = turned[:, 0] < turned[:, 1]
    pair[swap] = pair[swap][:, ::-1]
    return pair.astype(np.int64)


def score_of(guessed: Labels, true: Labels, classes: int) -> float:
    """Macro F1 from three counts a class: a matrix of 500 classes would take ten times as long."""
    hit, support, found = (
        np.bincount(labels, minlength=classes) for labels in (true[true == guessed], true, guessed)
    )
    seen = support + found
    return float(scores.share(2 * hit, seen)[seen > 0].mean())


def nested(
    groups: Labels,
    fit: Callable[[Labels], Fitted],
    answer: Callable[[Fitted, Labels], Labels],
) -> Labels:
    """What is answered when each part of the people is judged by what was fitted to the others."""
    number = min(NESTED, len(np.unique(groups)))
    parts = GroupKFold(number, shuffle=True, random_state=0)
    answers = np.zeros(len(groups), np.int64)
    for others, part in parts.split(groups, groups=groups):
        answers[part] = answer(fit(others), part)
    return answers
