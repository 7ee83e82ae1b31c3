"""From logits and targets to the number that is minimised."""

from collections.abc import Callable
from functools import singledispatch

from torch import Tensor, nn

from schemas.components.loss import CrossEntropy

Criterion = Callable[[Tensor, Tensor], Tensor]


@singledispatch
def criterion(spec: object, mixed: bool) -> Criterion:
    """The loss of a spec. Mixed batches come with soft targets that are smoothed already."""
    raise TypeError(f"no loss for {spec!r}")


@criterion.register
def _(spec: CrossEntropy, mixed: bool) -> Criterion:
    return nn.CrossEntropyLoss(label_smoothing=0.0 if mixed else spec.label_smoothing)
