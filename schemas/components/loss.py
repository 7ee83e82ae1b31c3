"""What is minimised."""

from typing import Literal

from schemas.components.spec import BelowOne, Spec


class CrossEntropy(Spec):
    """Softmax cross entropy."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: BelowOne = 0.0
    """How much of the target is spread over all classes."""
