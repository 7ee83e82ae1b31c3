"""From logits and targets to the number that is minimised.

Targets are class numbers or, of mixed images, probabilities. Every loss but the soft F1 is a mean
over images, so that the size of the parts of a batch does not change the experiment.
"""

import math
from collections.abc import Callable, Sequence
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from schemas.components.loss import (
    ArcFace,
    BinaryCrossEntropy,
    ClassBalancedFocal,
    CrossEntropy,
    Focal,
    HeadLoss,
    Heads,
    Loss,
    MeanAbsolute,
    MeanSquares,
    Ordinal,
    SoftF1,
    Sum,
    SymmetricCrossEntropy,
)
from trainer.learn.outputs import PARTED, TWENTY, Outputs, Years

Criterion = Callable[[Tensor, Tensor], Tensor]


@singledispatch
def criterion(spec: object, class_counts: Sequence[int], device: torch.device) -> Criterion:
    """The loss of a spec; `class_counts` are of the training images."""
    raise TypeError(f"no loss for {spec!r}")


@criterion.register
def _(spec: CrossEntropy, class_counts: Sequence[int], device: torch.device) -> Criterion:
    if spec.class_weights == "none":
        return nn.CrossEntropyLoss(label_smoothing=spec.label_smoothing)
    weights = weights_of(spec, class_counts, device)
    each = nn.CrossEntropyLoss(weights, label_smoothing=spec.label_smoothing, reduction="none")
    # torch's own mean divides by the weights of whatever is in a part of the batch: the size of
    # the parts would change the experiment. These weights are 1 in the mean over the images.
    return lambda logits, targets: each(logits, targets).mean()


@criterion.register
def _(spec: Focal, class_counts: Sequence[int], device: torch.device) -> Criterion:
    weights = weights_of(spec, class_counts, device)

    def focal(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float().log_softmax(1)  # (images, classes)
        answers = spread(targets, said, spec.label_smoothing)
        wrong = (1 - said.exp()).clamp(min=1e-8)  # the slope of a root of 0 is no number
        return -(answers * weights * wrong**spec.gamma * said).sum(1).mean()

    return focal


@criterion.register
def _(spec: ClassBalancedFocal, class_counts: Sequence[int], device: torch.device) -> Criterion:
    rare = effective(class_counts, spec.beta)
    weights = (rare * (rare > 0).sum() / rare.sum()).to(device)

    def balanced_focal(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float()
        answers = spread(targets, said)
        each = F.binary_cross_entropy_with_logits(said, answers, reduction="none")
        wrong = (-spec.gamma * (answers * said + F.softplus(-said))).exp()  # (1-p)^gamma, p^gamma
        of_image = (answers * weights).sum(1, keepdim=True)
        return (of_image * wrong * each).sum(1).mean()  # each image has one positive

    return balanced_focal


@criterion.register
def _(spec: SoftF1, class_counts: Sequence[int], device: torch.device) -> Criterion:
    def soft_f1(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float().softmax(1)
        answers = spread(targets, said)
        hits = (answers * said).sum(0)  # of each class
        precision = hits / (said.sum(0) + spec.eps)
        recall = hits / (answers.sum(0) + spec.eps)
        f1 = 2 * precision * recall / (precision + recall + spec.eps)
        return 1 - f1.clamp(spec.eps, 1 - spec.eps).mean()

    return soft_f1


@criterion.register
def _(spec: SymmetricCrossEntropy, class_counts: Sequence[int], device: torch.device) -> Criterion:
    def symmetric(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float().log_softmax(1)
        answers = spread(targets, said)
        forth = -(answers * said).sum(1)
        back = -(said.exp() * answers.clamp(min=spec.floor).log()).sum(1)
        return (spec.alpha * forth + spec.beta * back).mean()

    return symmetric


@criterion.register
def _(spec: BinaryCrossEntropy, class_counts: Sequence[int], device: torch.device) -> Criterion:
    def bce(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float()
        answers = spread(targets, said, spec.label_smoothing)
        return F.binary_cross_entropy_with_logits(said, answers)

    return bce


@criterion.register
def _(spec: MeanSquares, class_counts: Sequence[int], device: torch.device) -> Criterion:
    numbers = torch.arange(len(class_counts), dtype=torch.float32, device=device)

    def squares(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float().softmax(1)
        return (((said - spread(targets, said)) * numbers).sum(1) ** 2).mean()

    return squares


@criterion.register
def _(spec: MeanAbsolute, class_counts: Sequence[int], device: torch.device) -> Criterion:
    numbers = torch.arange(len(class_counts), dtype=torch.float32, device=device)

    def distances(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float().softmax(1)
        return ((said - spread(targets, said)) * numbers).sum(1).abs().mean()

    return distances


@criterion.register
def _(spec: Ordinal, class_counts: Sequence[int], device: torch.device) -> Criterion:
    def ordinal(logits: Tensor, targets: Tensor) -> Tensor:
        said = logits.float().softmax(1)
        return ((said - spread(targets, said)).cumsum(1) ** 2).mean()

    return ordinal


@criterion.register
def _(spec: ArcFace, class_counts: Sequence[int], device: torch.device) -> Criterion:
    ahead, behind = math.cos(spec.margin), math.sin(spec.margin)
    turned = math.cos(math.pi - spec.margin)  # an angle beyond this would come round again

    def arcface(logits: Tensor, targets: Tensor) -> Tensor:
        cosines = logits.float() / spec.scale
        own = cosines.gather(1, targets[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
        pushed = own * ahead - (1 - own**2).sqrt() * behind  # the cosine of the angle and margin
        pushed = torch.where(own > turned, pushed, own - behind * spec.margin)
        return F.cross_entropy(cosines.scatter(1, targets[:, None], pushed) * spec.scale, targets)

    return arcface


@criterion.register
def _(spec: Sum, class_counts: Sequence[int], device: torch.device) -> Criterion:
    parts = [(part.weight, criterion(part.loss, class_counts, device)) for part in spec.parts]

    def weighted(logits: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([weight * part(logits, targets) for weight, part in parts]).sum()

    return weighted


@criterion.register
def _(spec: Heads, class_counts: Sequence[int], device: torch.device) -> Criterion:
    own = (spec.mask, spec.gender, spec.age)
    heads = [
        (each.weight, criterion(each.loss, counts, device))
        for each, counts in zip(own, PARTED.counts(class_counts), strict=True)
    ]

    def added(logits: Tensor, targets: Tensor) -> Tensor:
        pairs = zip(heads, PARTED.split(logits), PARTED.targets(targets), strict=True)
        return torch.stack([weight * head(x, y) for (weight, head), x, y in pairs]).sum()

    return added


def for_outputs(
    spec: Loss, outputs: Outputs | Years, class_counts: Sequence[int], device: torch.device
) -> Criterion:
    """The loss of a spec as these outputs take it: one is for all heads, where there are several
    and no loss for each; targets of ages are ages.
    """
    if isinstance(outputs, Years):
        distance = of_years(spec)
        return lambda said, targets: distance((outputs.years(said) - ages(targets)) / TWENTY)
    if outputs is PARTED and not isinstance(spec, Heads):
        one = HeadLoss(loss=spec)
        spec = Heads(mask=one, gender=one, age=one)
    return criterion(spec, class_counts, device)


@singledispatch
def of_years(spec: object) -> Callable[[Tensor], Tensor]:
    """The loss of a spec by how far ages are from what they should be."""
    raise TypeError(f"no loss of ages for {spec!r}")


@of_years.register
def _(spec: MeanSquares) -> Callable[[Tensor], Tensor]:
    return lambda far: (far**2).mean()


@of_years.register
def _(spec: MeanAbsolute) -> Callable[[Tensor], Tensor]:
    return lambda far: far.abs().mean()


@of_years.register
def _(spec: Sum) -> Callable[[Tensor], Tensor]:
    parts = [(part.weight, of_years(part.loss)) for part in spec.parts]
    return lambda far: torch.stack([weight * part(far) for weight, part in parts]).sum()


def ages(targets: Tensor) -> Tensor:
    """The ages of images, or of mixed ones their shares of them."""
    if targets.ndim == 1:
        return targets.float()
    numbers = torch.arange(targets.shape[1], dtype=torch.float32, device=targets.device)
    return targets.float() @ numbers


def spread(targets: Tensor, like: Tensor, smoothing: float = 0.0) -> Tensor:
    """Targets as probabilities of all classes, a part of them spread over all."""
    classes = like.shape[1]
    if targets.ndim == 1:
        targets = targets[:, None] == torch.arange(classes, device=like.device)
    return targets.to(like.dtype) * (1 - smoothing) + smoothing / classes


# ---- class weights -------------------------------------------------------------------------------


def weights_of(
    spec: CrossEntropy | Focal, class_counts: Sequence[int], device: torch.device
) -> Tensor:
    """The weight of each class; over all training images their mean is 1."""
    counts = torch.tensor(class_counts, dtype=torch.float32)
    if spec.class_weights == "none":
        return torch.ones_like(counts).to(device)
    if spec.class_weights == "balanced":
        return balanced(class_counts).to(device)
    rare = effective(class_counts, spec.beta)
    return (rare * counts.sum() / (rare * counts).sum()).to(device)


def balanced(class_counts: Sequence[int]) -> Tensor:
    """By the inverse of how many images there are; 0 where there are none."""
    counts = torch.tensor(class_counts, dtype=torch.float32)
    weights = torch.where(counts > 0, counts.sum() / counts.clamp(min=1), 0.0)
    return weights / (counts > 0).sum()


def effective(class_counts: Sequence[int], beta: float) -> Tensor:
    """By the inverse of how many different images there are; 0 where there are none."""
    counts = torch.tensor(class_counts, dtype=torch.float64)
    weights = torch.where(counts > 0, (1 - beta) / (1 - beta ** counts.clamp(min=1)), 0.0)
    return weights.float()
