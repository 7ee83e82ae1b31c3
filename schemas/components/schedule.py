"""How the step size moves, from step to step. Epochs here may be parts of one."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.components.loop import Metric
from schemas.components.spec import NonNegative, Number, Part, Portion, Positive, Spec, Whole

Factor = Annotated[Number, Field(ge=1)]


class Warmed(Spec):
    """Begins with a linear warm-up."""

    kind: str
    warmup_epochs: NonNegative = 0.0
    """Length of the warm-up; must be shorter than the run."""
    warmup_lr: NonNegative = 1e-6
    """Where the warm-up starts."""


class Cosine(Warmed):
    """Linear warm-up, then a half cosine down to `min_lr`, moved every step."""

    kind: Literal["cosine"] = "cosine"
    min_lr: NonNegative = 0.0
    """Where the cosine ends."""


class Restarts(Warmed):
    """Cosines, one after the other; each begins with the warm-up and ends at `min_lr`."""

    kind: Literal["restarts"] = "restarts"
    first: Positive = 10.0
    """Epochs of the first one, its warm-up included."""
    factor: Factor = 1.0
    """How many times as long each one is as the one before."""
    decay: Portion = 1.0
    """How high each one begins, as a part of the one before."""
    min_lr: NonNegative = 0.0
    """Where each one ends."""


class Step(Warmed):
    """A part of itself every so many epochs, the warm-up's included."""

    kind: Literal["step"] = "step"
    every: Positive = 10.0
    """Epochs between two falls."""
    gamma: Portion = 0.1
    """What stays at each."""


class MultiStep(Warmed):
    """A part of itself at each of some epochs, counted from the start of the run."""

    kind: Literal["multistep"] = "multistep"
    at: Annotated[tuple[Positive, ...], Field(min_length=1)]
    """After so many epochs it falls."""
    gamma: Portion = 0.1
    """What stays at each."""


class Exponential(Warmed):
    """A part of itself after every epoch."""

    kind: Literal["exponential"] = "exponential"
    gamma: Portion = 0.95
    """What stays."""


class Poly(Warmed):
    """Down to `min_lr` by a power of what is left of the run; 1 is a straight line."""

    kind: Literal["poly"] = "poly"
    power: Positive = 1.0
    """Of what is left."""
    min_lr: NonNegative = 0.0
    """Where it ends."""


class OneCycle(Spec):
    """Up to the peak and down to next to nothing, both as half cosines: torch's OneCycleLR, which
    leaves the momentum alone."""

    kind: Literal["one_cycle"] = "one_cycle"
    rise: Part = 0.3
    """The part of the run in which it goes up."""
    start: Portion = 0.04
    """Where it begins, as a part of the peak."""
    end: Portion = 4e-6
    """Where it ends, as a part of the peak."""


class Plateau(Warmed):
    """A part of itself when a value has not got better for some evaluations."""

    kind: Literal["plateau"] = "plateau"
    metric: Metric = "loss"
    """The value."""
    patience: Whole = 2
    """Evaluations in a row that may be no better; one more and it falls."""
    threshold: NonNegative = 1e-4
    """Better by less than this part of the best one is no better."""
    gamma: Part = 0.1
    """What stays."""
    min_lr: NonNegative = 0.0
    """It never falls below."""


class Constant(Warmed):
    """The same throughout, after the warm-up."""

    kind: Literal["constant"] = "constant"


Schedule = Annotated[
    Cosine | Restarts | Step | MultiStep | Exponential | Poly | OneCycle | Plateau | Constant,
    Field(discriminator="kind"),
]
