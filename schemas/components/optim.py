"""How weights step. No decay on biases and norms, in any of them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from schemas import timm_optimizers
from schemas.components.spec import BelowOne, Count, NonNegative, Positive, Spec, Switch


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
    amsgrad: Switch = False
    """Divide by the largest second moment so far."""


class Adam(Spec):
    """Adam, whose weight decay is part of the gradient."""

    kind: Literal["adam"] = "adam"
    lr: Positive = 1e-3
    """The peak learning rate."""
    weight_decay: NonNegative = 0.0
    """A penalty on the squares of the weights."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    """The two momenta."""
    eps: Positive = 1e-8
    """The denominator's floor."""
    amsgrad: Switch = False
    """Divide by the largest second moment so far."""


class Sgd(Spec):
    """Stochastic gradient descent."""

    kind: Literal["sgd"] = "sgd"
    lr: Positive = 0.01
    """The peak learning rate."""
    weight_decay: NonNegative = 0.0
    """A penalty on the squares of the weights."""
    momentum: BelowOne = 0.9
    """How much of the last step stays."""
    nesterov: Switch = False
    """Look ahead: the gradient counts once more."""


class RMSprop(Spec):
    """RMSprop."""

    kind: Literal["rmsprop"] = "rmsprop"
    lr: Positive = 1e-3
    """The peak learning rate."""
    weight_decay: NonNegative = 0.0
    """A penalty on the squares of the weights."""
    momentum: BelowOne = 0.9
    """How much of the last step stays."""
    alpha: BelowOne = 0.9
    """How much of the mean of the squares stays."""
    eps: Positive = 1e-8
    """The denominator's floor."""
    centered: Switch = False
    """Divide by the variance instead."""


class Lion(Spec):
    """Lion: every weight steps by the sign of a momentum. Wants a tenth of AdamW's rate."""

    kind: Literal["lion"] = "lion"
    lr: Positive = 1e-4
    """The peak learning rate."""
    weight_decay: NonNegative = 0.5
    """Decoupled weight decay; ten times AdamW's, for a tenth of the rate."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.99)
    """Of the step, and of the memory."""


class Muon(Spec):
    """Muon: matrices step by an orthogonal momentum, the head and all vectors as with AdamW."""

    kind: Literal["muon"] = "muon"
    lr: Positive = 1e-3
    """The peak learning rate; steps of matrices are as large as AdamW's."""
    weight_decay: NonNegative = 0.05
    """Decoupled weight decay."""
    momentum: BelowOne = 0.95
    """How much of the last step stays."""
    nesterov: Switch = True
    """Look ahead: the gradient counts once more."""
    ns_steps: Annotated[Count, Field(le=20)] = 5
    """Newton-Schulz iterations towards an orthogonal matrix."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    """The two momenta of the AdamW for all else."""


def known_to_timm(name: str) -> str:
    """An optimizer that timm has; read from a list, without torch."""
    if refusal := timm_optimizers.refusal(name):
        message, help = refusal
        raise PydanticCustomError("unknown_model", "{what}", {"what": message, "help": help})
    return name


class Named(Spec):
    """Any other optimizer of timm, by its name."""

    kind: Literal["timm"] = "timm"
    name: Annotated[str, AfterValidator(known_to_timm)]
    """A name of `timm.optim.list_optimizers()`: nadamw, lamb, adan, adopt, mars, ..."""
    lr: Positive = 1e-3
    """The peak learning rate."""
    weight_decay: NonNegative = 0.0
    """As this optimizer takes it."""
    options: dict[str, Any] = Field(default_factory=dict)
    """More keyword arguments of it, by timm's names."""


Optim = Annotated[
    AdamW | Adam | Sgd | RMSprop | Lion | Muon | Named,
    Field(discriminator="kind"),
]
