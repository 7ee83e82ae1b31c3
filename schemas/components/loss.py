"""What is minimised."""

from typing import Literal

from schemas.components.spec import BelowOne, Spec


class CrossEntropy(Spec):
    """Softmax cross entropy."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: BelowOne = 0.0
    """How much of the target is spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: a class counts by the inverse of how many training images it has."""
