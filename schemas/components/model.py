"""What learns."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from schemas import timm_models, torchvision_models
from schemas.components.spec import (
    BelowOne,
    Count,
    Fraction,
    Portion,
    Positive,
    RelativePath,
    Spec,
    Switch,
    Whole,
)


def known_to_timm(name: str) -> str:
    """A model that timm has, by `name` or `name.tag`; read from a list, without torch."""
    if refusal := timm_models.refusal(name):
        message, help = refusal
        raise PydanticCustomError("unknown_model", "{what}", {"what": message, "help": help})
    return name


TimmName = Annotated[str, AfterValidator(known_to_timm)]


def known_to_torchvision(name: str) -> str:
    """A classifier that torchvision has; read from a list, without torch."""
    if refusal := torchvision_models.refusal(name):
        message, help = refusal
        raise PydanticCustomError("unknown_model", "{what}", {"what": message, "help": help})
    return name


TorchvisionName = Annotated[str, AfterValidator(known_to_torchvision)]
DOTTED = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
DottedName = Annotated[str, StringConstraints(pattern=DOTTED, max_length=200)]

PART = r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$"
PartName = Annotated[str, StringConstraints(pattern=PART)]


class Freeze(Spec):
    """Parts that do not learn, and whose BatchNorm keeps its statistics."""

    parts: Annotated[tuple[PartName, ...], Field(min_length=1)] = ("backbone",)
    """Parts by timm's names (`stem`, `stages.0`, `blocks.3`); `backbone`: all but the head."""
    until: Whole = 0
    """For so many epochs; 0: for the whole run."""


class LastLayer(Spec):
    """The model's own last layer, for the classes of the data."""

    kind: Literal["linear"] = "linear"


class Mlp(Spec):
    """More layers in place of the last one."""

    kind: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Count, ...], Field(min_length=1)] = (512,)
    """The width of each hidden layer."""
    norm: Switch = True
    """BatchNorm behind each of them."""
    activation: Literal["relu", "leaky_relu", "gelu"] = "relu"
    """What stands behind each of them."""
    drop_rate: BelowOne = 0.0
    """Dropout behind each of them."""


class Directional(Spec):
    """A last layer that only looks at directions: `scale` times the cosine between the features and
    each class. ArcFace wants it."""

    kind: Literal["cosine"] = "cosine"
    scale: Positive = 30.0
    """What a cosine of 1 counts."""


Head = Annotated[LastLayer | Mlp | Directional, Field(discriminator="kind")]

# arguments of constructors that a config says elsewhere, or that would read files of the host
OURS = {
    **{name: f"write model.{name}" for name in ("drop_rate", "drop_path_rate", "in_chans")},
    **dict.fromkeys(("pretrained", "progress"), "write model.pretrained"),
    **dict.fromkeys(("img_size", "image_size"), "write data.img_size"),
    **dict.fromkeys(("weights", "checkpoint_path", "cache_dir"), "write model.weights"),
    **dict.fromkeys(("pretrained_cfg", "pretrained_cfg_overlay"), "write model.weights"),
    "num_classes": "the data say how many classes there are",
}
SCALARS = (bool, int, float, str)


def left_to_say(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments that are no keys of ours and name no file; values that JSON has."""
    for name, value in options.items():
        what, help = "", OURS.get(name, "")
        if help or not name.isidentifier():
            what = f"{name!r} is no option of a model"
        elif not all(isinstance(each, SCALARS) for each in (value if is_list(value) else [value])):
            what, help = f"the option {name!r} has no plain value", "a number, a word, or a list"
        if what:
            raise PydanticCustomError("unknown_model", "{what}", {"what": what, "help": help})
    return options


def is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


Options = Annotated[dict[str, Any], AfterValidator(left_to_say)]


class Net(Spec):
    """What every model has."""

    kind: str
    name: str
    """What the model is called."""
    weights: RelativePath | None = None
    """Start from a local .safetensors or .pth file below the data root."""
    copy_head: Switch = False
    """The head begins with the rows that the first weights have for classes of the same name:
    WordNet ids, such as n01440764."""
    head: Head = Field(default_factory=LastLayer)
    """From features to classes."""
    answers: Literal["classes", "parts", "years"] = "classes"
    """classes: an output for each; parts: a head each for mask, gender and age (task: all), from
    which the 18 classes follow, and a head of more layers is one for each; years: the age itself,
    one number (task: age), whose group follows by age_limits; it wants loss.kind mse or l1."""
    in_chans: Literal[1, 3] = 3
    """Channels that the model takes; 1: it sees images in gray."""
    options: Options = Field(default_factory=dict)
    """More keyword arguments of its constructor."""
    freeze: tuple[Freeze, ...] = ()
    """What does not learn, and until when: several entries unfreeze part after part."""
    feature_views: Whole = 0
    """Of a backbone that is frozen for the whole run: run it once over so many augmented views of
    each training image, then train only the head; 0: run it in every step."""
    lr_scale_min: Portion = 1.0
    """Layer-wise decay: the first layer's learning rate as a part of the head's; 1 is off."""
    grad_checkpointing: Switch = False
    """Less memory for more time: what a block computed is computed again when it is needed.
    BatchNorm then counts each batch twice."""


class Timm(Net):
    """Any model of timm, by name or `name.tag`."""

    kind: Literal["timm"] = "timm"
    name: TimmName
    """A name that `timm.list_models()` knows, with or without a pretrained tag."""
    pretrained: Switch = False
    """Start from timm's published weights (needs them in the host's cache, or the network)."""
    drop_rate: Fraction = 0.0
    """Dropout before the head."""
    drop_path_rate: Fraction = 0.0
    """Stochastic depth, for models that have it."""


class Torchvision(Net):
    """A model of torchvision, for those that timm does not have."""

    kind: Literal["torchvision"] = "torchvision"
    name: TorchvisionName
    """A name that `torchvision.models.list_models()` knows."""
    pretrained: Switch = False
    """Start from torchvision's published weights (in the host's cache, or by the network)."""


class Own(Net):
    """Your own module: a class or a function that makes one."""

    kind: Literal["own"] = "own"
    name: DottedName
    """Where it is, `package.module:function`; the package must stand in TRAINQ_PLUGINS there.
    It is called with num_classes, with img_size and in_chans where it takes them, and `options`."""


Model = Annotated[Timm | Torchvision | Own, Field(discriminator="kind")]
