"""What a run can take over from the one before it: the desk says it, the trainer does it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

# a change here changes which images validate: the old weights may have learnt from them
HONESTY = ("seed", "data.source", "data.extra", "data.split")
# a change here changes which tensors a model has
SHAPE = (
    "model.kind",
    "model.name",
    "model.in_chans",
    "model.options",
    "model.head",
    "model.answers",
)
# a change here changes what a step is: a position in the old run means nothing in the new one
POSITION = ("data.batch_size", "data.img_size", "data.img_width")
# what configs mean that were written before these keys
USUAL: Mapping[str, Any] = {
    "model.kind": "timm",
    "model.in_chans": 3,
    "model.options": {},
    "model.head": {"kind": "linear"},
    "model.answers": "classes",
}
Config = Mapping[str, Any]  # canonical


class Takeover(StrEnum):
    """How much of an old checkpoint fits a new config."""

    ALL = "all"  # goes on at the very step
    WEIGHTS = "weights"  # starts at step 0 with its weights
    NOTHING = "nothing"


def takeover(old: Config, new: Config) -> tuple[Takeover, str]:
    """How much, and the changed key that forbids more."""
    for keys, rest in (
        (HONESTY, Takeover.NOTHING),
        (SHAPE, Takeover.NOTHING),
        (POSITION, Takeover.WEIGHTS),
    ):
        for key in keys:
            if meant(old, key) != meant(new, key):
                return rest, key
    return Takeover.ALL, ""


def meant(config: Config, key: str) -> Any:
    """The value at a dotted key; a timm name counts without its pretrained tag."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return USUAL.get(key)
    if key == "model.name" and meant(config, "model.kind") == "timm":
        return str(value).partition(".")[0]
    return value
