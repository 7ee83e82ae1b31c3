"""Every loss against its formula in float64, written down again; mixed targets too."""

import math
from collections.abc import Callable
from itertools import chain
from typing import Any, get_args

import numpy as np
import pytest
import torch
from support.trainers import tiny

from schemas.components.loss import (
    ArcFace,
    BinaryCrossEntropy,
    ClassBalancedFocal,
    CrossEntropy,
    Focal,
    Heads,
    Loss,
    MeanAbsolute,
    MeanSquares,
    Ordinal,
    Share,
    Single,
    SoftF1,
    Sum,
    SymmetricCrossEntropy,
)
from schemas.components.spec import Spec
from trainer.learn import loss

CPU = torch.device("cpu")
COUNTS = (40, 20, 5, 0, 1)
IMAGES, CLASSES = 12, len(COUNTS)
Numbers = np.ndarray[Any, np.dtype[np.float64]]
Formula = Callable[[Numbers, Numbers], float]


def softmax(z: Numbers) -> Numbers:
    e = np.exp(z - z.max(1, keepdims=True))
    shares: Numbers = e / e.sum(1, keepdims=True)
    return shares


def sigmoid(z: Numbers) -> Numbers:
    return 1 / (1 + np.exp(-z))


def smooth(t: Numbers, by: float) -> Numbers:
    return t * (1 - by) + by / CLASSES


def cross_entropy(z: Numbers, t: Numbers, weights: Numbers | None = None) -> float:
    each = -t * np.log(softmax(z)) * (1 if weights is None else weights)
    return float(each.sum() / len(z))


def focal(z: Numbers, t: Numbers, gamma: float) -> float:
    total = 0.0
    for p, answers in zip(softmax(z), t, strict=True):
        total -= sum(a * (1 - q) ** gamma * math.log(q) for q, a in zip(p, answers, strict=True))
    return total / len(z)


def different(beta: float) -> Numbers:
    """1 / effective number, 0 for a class without images."""
    return np.array([(1 - beta) / (1 - beta**n) if n else 0.0 for n in COUNTS])


def of_mean_one(weights: Numbers) -> Numbers:
    return weights * sum(COUNTS) / float((weights * COUNTS).sum())


def class_balanced_focal(z: Numbers, t: Numbers) -> float:
    """Seed 004's: alpha * modulator * BCE, summed, divided by the positives."""
    weights = different(0.9)
    weights = weights / weights.sum() * (weights > 0).sum()
    bce = -(t * np.log(sigmoid(z)) + (1 - t) * np.log(1 - sigmoid(z)))
    modulator = np.exp(-2.0 * t * z - 2.0 * np.log(1 + np.exp(-z)))
    alpha = (weights[None] * t).sum(1)[:, None]
    return float((alpha * modulator * bce).sum() / t.sum())


def soft_f1(z: Numbers, t: Numbers) -> float:
    p, eps, found = softmax(z), 1e-7, []
    for c in range(CLASSES):
        tp = float((t[:, c] * p[:, c]).sum())
        fp = float(((1 - t[:, c]) * p[:, c]).sum())
        fn = float((t[:, c] * (1 - p[:, c])).sum())
        precision, recall = tp / (tp + fp + eps), tp / (tp + fn + eps)
        f1 = 2 * precision * recall / (precision + recall + eps)
        found.append(min(max(f1, eps), 1 - eps))
    return 1 - sum(found) / CLASSES


def symmetric(z: Numbers, t: Numbers) -> float:
    reverse = -(softmax(z) * np.log(np.clip(t, 1e-4, 1))).sum(1).mean()
    return float(0.1 * cross_entropy(z, t) + 1.0 * reverse)


def bce(z: Numbers, t: Numbers) -> float:
    return float(-(t * np.log(sigmoid(z)) + (1 - t) * np.log(1 - sigmoid(z))).mean())


def mse(z: Numbers, t: Numbers) -> float:
    numbers = np.arange(CLASSES)
    return float(((softmax(z) @ numbers - t @ numbers) ** 2).mean())


def l1(z: Numbers, t: Numbers) -> float:
    numbers = np.arange(CLASSES)
    return float(np.abs(softmax(z) @ numbers - t @ numbers).mean())


def ordinal(z: Numbers, t: Numbers) -> float:
    p = softmax(z)
    far = [((p[:, : c + 1] - t[:, : c + 1]).sum(1) ** 2).mean() for c in range(CLASSES)]
    return float(np.mean(far))


def named(value: object) -> str | None:
    """A spec by its words; pytest numbers a formula (its address would differ in every process)."""
    return str(value)[:40] if isinstance(value, Spec) else None


def arcface(z: Numbers, t: Numbers, margin: float) -> float:
    """With angles, as it is drawn; where the margin would turn the angle round, a straight line."""
    cosines = z / 30
    own = (cosines * t).sum(1)
    pushed = np.cos(np.arccos(own) + margin)
    pushed = np.where(np.arccos(own) + margin < math.pi, pushed, own - margin * math.sin(margin))
    return cross_entropy(30 * (cosines + t * (pushed - own)[:, None]), t)


BALANCED = np.array([66 / n / 4 if n else 0 for n in COUNTS])
BOTH = Sum(parts=(Share(weight=0.4, loss=SoftF1()), Share(weight=0.6, loss=Focal())))
CASES: list[tuple[Spec, Formula]] = [
    (CrossEntropy(), cross_entropy),
    (CrossEntropy(label_smoothing=0.1), lambda z, t: cross_entropy(z, smooth(t, 0.1))),
    (CrossEntropy(class_weights="balanced"), lambda z, t: cross_entropy(z, t, BALANCED)),
    (
        CrossEntropy(class_weights="effective", beta=0.99),
        lambda z, t: cross_entropy(z, t, of_mean_one(different(0.99))),
    ),
    (Focal(), lambda z, t: focal(z, t, 2)),
    (Focal(gamma=0.5, label_smoothing=0.1), lambda z, t: focal(z, smooth(t, 0.1), 0.5)),
    (Focal(gamma=0, class_weights="balanced"), lambda z, t: cross_entropy(z, t, BALANCED)),
    (ClassBalancedFocal(), class_balanced_focal),
    (SoftF1(), soft_f1),
    (SymmetricCrossEntropy(), symmetric),
    (BinaryCrossEntropy(), bce),
    (BinaryCrossEntropy(label_smoothing=0.1), lambda z, t: bce(z, smooth(t, 0.1))),
    (MeanSquares(), mse),
    (MeanAbsolute(), l1),
    (Ordinal(), ordinal),
    (ArcFace(), lambda z, t: arcface(z, t, 0.5)),
    (ArcFace(margin=1.8), lambda z, t: arcface(z, t, 1.8)),  # beyond for some images
    (BOTH, lambda z, t: 0.4 * soft_f1(z, t) + 0.6 * focal(z, t, 2)),
]


def answers(mixed: bool) -> tuple[torch.Tensor, Numbers]:
    """Targets as the loss gets them, and as probabilities; class 3 never trains."""
    draw = np.random.default_rng(3)
    one, other = (np.eye(CLASSES)[draw.choice([0, 1, 2, 4], IMAGES)] for _ in range(2))
    if not mixed:
        return torch.from_numpy(one.argmax(1)), one
    both = 0.7 * one + 0.3 * other
    return torch.from_numpy(both).float(), both


BOTH_WAYS = [(*case, mixed) for case in CASES for mixed in (False, True)]
CAN = [each for each in BOTH_WAYS if not (each[2] and isinstance(each[0], ArcFace))]


@pytest.mark.parametrize(("spec", "formula", "mixed"), CAN, ids=named)
def test_a_loss_is_its_formula_with_and_without_mixed_targets(
    spec: Spec, formula: Formula, mixed: bool
) -> None:
    logits = np.random.default_rng(4).normal(0, 3, (IMAGES, CLASSES))
    targets, same = answers(mixed)
    said = torch.from_numpy(logits).float().requires_grad_()
    found = loss.criterion(spec, COUNTS, CPU)(said, targets)
    assert found.item() == pytest.approx(formula(logits, same), rel=2e-5)
    found.backward()  # type: ignore[no-untyped-call]
    assert said.grad is not None
    step = 1e-5
    for place in ((0, 0), (5, 2), (11, 4)):  # its slope too, by differences of the formula
        up, down = logits.copy(), logits.copy()
        up[place] += step
        down[place] -= step
        slope = (formula(up, same) - formula(down, same)) / (2 * step)
        assert said.grad[place].item() == pytest.approx(slope, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("spec", [each for each, _ in CASES], ids=named)
def test_logits_that_are_sure_and_wrong_give_a_number_and_a_finite_slope(spec: Spec) -> None:
    said = torch.tensor([[90.0, -90, 0, 0, 0], [-90.0, 90, 0, 0, 0]]).requires_grad_()
    found = loss.criterion(spec, COUNTS, CPU)(said, torch.tensor([1, 1]))
    found.backward()  # type: ignore[no-untyped-call]
    assert found.isfinite() and said.grad is not None and said.grad.isfinite().all()


def kinds(union: Any) -> list[type[Spec]]:
    return list(get_args(get_args(union)[0]))


def test_every_loss_has_a_builder_and_a_formula() -> None:
    for spec in chain(kinds(Loss), kinds(Single)):
        assert loss.criterion.dispatch(spec) is not loss.criterion.dispatch(object)
    several = {Heads}  # of heads: tests/test_trainer_heads.py
    assert {type(spec) for spec, _ in CASES} == set(kinds(Loss)) - several == {*kinds(Single), Sum}


@pytest.mark.parametrize("kind", ["mse", "l1", "ordinal"])
def test_distances_between_classes_in_no_order_are_refused(kind: str) -> None:
    nested = {"kind": "sum", "parts": [{}, {"loss": {"kind": kind}}]}
    assert tiny(loss=nested, data__source={"kind": "mask", "task": "age"})
    for part in ({"kind": kind}, nested):
        with pytest.raises(ValueError, match=f"{kind} is for classes in an order"):
            tiny(loss=part, data__source={"kind": "mask"})
