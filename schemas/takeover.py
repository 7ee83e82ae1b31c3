"""What a retry can take over from the run before it: the desk says it, the trainer does it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

# a change here changes which images validate: the old weights may have learnt from them
HONESTY = ("seed", "data.source", "data.extra", "data.split")
# a change here changes what a step is: a position in the old run means nothing in the new one
POSITION = ("data.batch_size", "data.img_size", "data.img_width")


class Takeover(StrEnum):
    """How much of an old checkpoint fits a new config."""

    ALL = "all"  # goes on at the very step
    WEIGHTS = "weights"  # starts at step 0 with its weights
    NOTHING = "nothing"


def takeover(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Takeover, str]:
    """How much, and the changed key that forbids more; both configs are canonical."""
    if _model(old) != _model(new):
        return Takeover.NOTHING, "model.name"
    for keys, rest in ((HONESTY, Takeover.NOTHING), (POSITION, Takeover.WEIGHTS)):
        for key in keys:
            if _at(old, key) != _at(new, key):
                return rest, key
    return Takeover.ALL, ""


def _model(config: Mapping[str, Any]) -> str:
    return str(_at(config, "model.name")).split(".")[0]  # another tag, the same shape


def _at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
