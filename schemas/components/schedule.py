"""How the step size moves, from step to step."""

from typing import Literal

from schemas.components.spec import NonNegative, Spec


class Cosine(Spec):
    """Linear warm-up, then a half cosine down to `min_lr`, moved every step."""

    kind: Literal["cosine"] = "cosine"
    warmup_epochs: NonNegative = 0.0
    """Length of the warm-up; must be shorter than the run."""
    warmup_lr: NonNegative = 1e-6
    """Where the warm-up starts."""
    min_lr: NonNegative = 0.0
    """Where the cosine ends."""
