"""How weights step, and how the step size moves."""

from typing import Literal

from schemas.components.spec import BelowOne, NonNegative, Positive, Spec


class AdamW(Spec):
    """AdamW, as timm builds it: no decay on biases and norms."""

    kind: Literal["adamw"] = "adamw"
    lr: Positive = 1e-3
    """The peak learning rate."""
    weight_decay: NonNegative = 0.05
    """Decoupled weight decay."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    """The two momenta."""
    eps: Positive = 1e-8
    """The denominator's floor."""


class Cosine(Spec):
    """Linear warm-up, then a half cosine down to `min_lr`, moved every step."""

    kind: Literal["cosine"] = "cosine"
    warmup_epochs: NonNegative = 0.0
    """Length of the warm-up; must be shorter than the run."""
    warmup_lr: NonNegative = 1e-6
    """Where the warm-up starts."""
    min_lr: NonNegative = 0.0
    """Where the cosine ends."""
