"""From logits and targets to the number that is minimised."""

from collections.abc import Callable, Sequence
from functools import singledispatch

import torch
from torch import Tensor, nn

from schemas.components.loss import CrossEntropy

Criterion = Callable[[Tensor, Tensor], Tensor]


@singledispatch
def criterion(
    spec: object, mixed: bool, class_counts: Sequence[int], device: torch.device
) -> Criterion:
    """The loss of a spec. Mixed batches come with soft targets that are smoothed already.

    `class_counts` are of the training images.
    """
    raise TypeError(f"no loss for {spec!r}")


@criterion.register
def _(
    spec: CrossEntropy, mixed: bool, class_counts: Sequence[int], device: torch.device
) -> Criterion:
    smoothing = 0.0 if mixed else spec.label_smoothing
    if spec.class_weights == "none":
        return nn.CrossEntropyLoss(label_smoothing=smoothing)
    weights = balanced(class_counts).to(device)
    each = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing, reduction="none")
    # torch's own mean divides by the weights of whatever is in a part of the batch: the size of
    # the parts would change the experiment. These weights are 1 in the mean over the images.
    return lambda logits, targets: each(logits, targets).mean()


def balanced(class_counts: Sequence[int]) -> Tensor:
    """The weight of each class; over all training images their mean is 1."""
    counts = torch.tensor(class_counts, dtype=torch.float32)
    weights = torch.where(counts > 0, counts.sum() / counts.clamp(min=1), 0.0)
    return weights / (counts > 0).sum()
