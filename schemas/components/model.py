"""What learns."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from schemas import timm_models
from schemas.components.spec import Fraction, Portion, RelativePath, Spec, Switch, Whole


def known_to_timm(name: str) -> str:
    """A model that timm has, by `name` or `name.tag`; read from a list, without torch."""
    if refusal := timm_models.refusal(name):
        message, help = refusal
        raise PydanticCustomError("unknown_model", "{what}", {"what": message, "help": help})
    return name


TimmName = Annotated[str, AfterValidator(known_to_timm)]


PART = r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$"
PartName = Annotated[str, StringConstraints(pattern=PART)]


class Freeze(Spec):
    """Parts that do not learn, and whose BatchNorm keeps its statistics."""

    parts: Annotated[tuple[PartName, ...], Field(min_length=1)] = ("backbone",)
    """Parts by timm's names (`stem`, `stages.0`, `blocks.3`); `backbone`: all but the head."""
    until: Whole = 0
    """For so many epochs; 0: for the whole run."""


class Timm(Spec):
    """Any model of timm, by name or `name.tag`."""

    kind: Literal["timm"] = "timm"
    name: TimmName
    """A name that `timm.list_models()` knows, with or without a pretrained tag."""
    pretrained: Switch = False
    """Start from timm's published weights (needs them in the host's cache, or the network)."""
    weights: RelativePath | None = None
    """Start from a local .safetensors or .pth file below the data root."""
    drop_rate: Fraction = 0.0
    """Dropout before the head."""
    drop_path_rate: Fraction = 0.0
    """Stochastic depth, for models that have it."""
    freeze: tuple[Freeze, ...] = ()
    """What does not learn, and until when: several entries unfreeze part after part."""
    lr_scale_min: Portion = 1.0
    """Layer-wise decay: the first layer's learning rate as a part of the head's; 1 is off."""
    grad_checkpointing: Switch = False
    """Less memory for more time: what a block computed is computed again when it is needed.
    BatchNorm then counts each batch twice."""
