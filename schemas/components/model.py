"""What learns."""

from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from schemas import timm_models
from schemas.components.spec import Fraction, RelativePath, Spec, Switch


def known_to_timm(name: str) -> str:
    """A model that timm has, by `name` or `name.tag`; read from a list, without torch."""
    if refusal := timm_models.refusal(name):
        message, help = refusal
        raise PydanticCustomError("unknown_model", "{what}", {"what": message, "help": help})
    return name


TimmName = Annotated[str, AfterValidator(known_to_timm)]


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
