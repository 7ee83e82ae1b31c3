"""The catalogue: one small frozen spec for each thing a config can choose. Says what, never how.

A component's name is the `kind` literal of its spec; `trainer` dispatches on the spec's type.
Every default of a component stands here and nowhere else.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas import timm_models

Count = Annotated[int, Field(strict=True, ge=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
NonNegative = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Fraction = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
BelowOne = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1)]
Part = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, lt=1)]
Switch = Annotated[bool, Field(strict=True)]


def below_the_root(path: str) -> str:
    """A name below the data root: each host has its own, and nothing may point out of it."""
    if path.startswith("/") or ".." in path.split("/") or "\\" in path:
        raise ValueError("must be relative, below the data root (TRAINQ_DATA), without '..'")
    return path


PATH = r"^[^\x00-\x1f\x7f]+$"
RelativePath = Annotated[
    str, StringConstraints(pattern=PATH, max_length=400), AfterValidator(below_the_root)
]


def known_to_timm(name: str) -> str:
    """A model that timm has, by `name` or `name.tag`; read from a list, without torch."""
    if refusal := timm_models.refusal(name):
        message, help = refusal
        raise PydanticCustomError("unknown_model", "{what}", {"what": message, "help": help})
    return name


TimmName = Annotated[str, AfterValidator(known_to_timm)]

_NUMBER = r"\d+(\.\d+)?"
AUTO_AUGMENT = (
    rf"^((original|originalr|v0|v0r|3a)(-mstd{_NUMBER})?"
    rf"|rand(-(m\d+|n[1-9]\d?|p(0?\.\d+|1|1\.0)|mstd{_NUMBER}|mmax\d+|inc[01]|tweights|t3aw?))*"
    rf"|augmix(-(m\d+|w[1-9]\d?|d[1-9]\d?|a{_NUMBER}|b[01]|mstd{_NUMBER}))*)?$"
)


class Spec(BaseModel):
    """Frozen; an unknown key is an error, not a wish."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def a_part_without_kind_is_of_the_default_kind(cls, values: Any) -> Any:
        """`augment: {hflip: 0}` means the kind that an empty config has."""
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        for name, field in cls.model_fields.items():
            part = values.get(name)
            if field.discriminator and isinstance(part, dict) and "kind" not in part:
                default = field.get_default(call_default_factory=True)
                filled[name] = {"kind": default.kind, **part}
        return filled


# ---- data ----------------------------------------------------------------------------------------


class SketchCsv(Spec):
    """A folder with `train.csv` (class_name,image_path,target) and a folder of images a class."""

    kind: Literal["sketch_csv"] = "sketch_csv"
    root: RelativePath = "."
    """The data set's folder, below the data root of whoever trains (TRAINQ_DATA)."""
    train_csv: RelativePath = "train.csv"
    """The table of training images, below `root`."""
    images: RelativePath = "train"
    """The folder that `image_path` is relative to, below `root`."""


class Holdout(Spec):
    """One stratified part held out for validation."""

    kind: Literal["holdout"] = "holdout"
    fraction: Part = 0.2
    """The share of every class that validates."""


class KFold(Spec):
    """One fold of a stratified k-fold."""

    kind: Literal["kfold"] = "kfold"
    folds: Annotated[int, Field(strict=True, ge=2, le=100)] = 5
    """How many folds the data are cut into."""
    fold: Whole = 0
    """Which of them validates, counted from 0."""


Split = Annotated[Holdout | KFold, Field(discriminator="kind")]


class Data(Spec):
    """What is learnt from, at which size, how many at a time."""

    source: SketchCsv = SketchCsv()
    """Where the images and their labels are."""
    split: Split = Holdout()
    """Which images validate."""
    img_size: Annotated[int, Field(strict=True, ge=16, le=2048)] = 224
    """Height and width that the model sees."""
    batch_size: Count = 32
    """Images an optimizer step: the effective batch, whatever the GPU's memory."""
    workers: Annotated[int, Field(strict=True, ge=0, le=64)] = 2
    """Loader processes; the result does not depend on it."""


# ---- model, loss, optimizer, schedule ------------------------------------------------------------


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


class CrossEntropy(Spec):
    """Softmax cross entropy."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: BelowOne = 0.0
    """How much of the target is spread over all classes."""


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


# ---- augmentation --------------------------------------------------------------------------------


class NoAugment(Spec):
    """Resize and centre crop only, as in validation."""

    kind: Literal["none"] = "none"


class TimmAugment(Spec):
    """timm's training transform."""

    kind: Literal["timm"] = "timm"
    scale: tuple[Positive, Positive] = (0.35, 1.0)
    """Area range of the random resized crop."""
    ratio: tuple[Positive, Positive] = (0.75, 1.3333)
    """Aspect range of the random resized crop."""
    hflip: Fraction = 0.5
    """Chance of a horizontal flip."""
    vflip: Fraction = 0.0
    """Chance of a vertical flip."""
    color_jitter: NonNegative = 0.0
    """Strength of brightness, contrast and saturation jitter."""
    auto_augment: Annotated[str, StringConstraints(pattern=AUTO_AUGMENT)] = ""
    """A timm policy such as `rand-m9-mstd0.5`, `3a` or `augmix-m3`; empty for none."""
    erase: Fraction = 0.0
    """Chance of random erasing."""


Augment = Annotated[NoAugment | TimmAugment, Field(discriminator="kind")]


class Mix(Spec):
    """Mixup and cutmix over the whole effective batch."""

    mixup: NonNegative = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: NonNegative = 0.0
    """Alpha of cutmix; 0 is off."""
    prob: Fraction = 1.0
    """Chance that a batch is mixed at all."""
    switch_prob: Fraction = 0.5
    """Chance of cutmix where both are on."""

    @property
    def on(self) -> bool:
        return (self.mixup > 0 or self.cutmix > 0) and self.prob > 0


# ---- the loop ------------------------------------------------------------------------------------


class Loop(Spec):
    """How long, how exactly, how safely."""

    epochs: Count = 10
    """Passes over the training part."""
    accumulate: Count = 1
    """Micro-batches an optimizer step; divides the batch."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """auto: bf16 where the GPU has it, fp16 with a scaler on a V100, fp32 on the CPU."""
    clip_norm: NonNegative = 0.0
    """Gradient norm limit; 0 is off."""
    deterministic: Switch = False
    """Also choose only kernels that repeat bit by bit on a GPU."""
    log_every: Count = 10
    """Steps between two looks at the loss."""
    save_every_s: Positive = 300.0
    """Seconds between two checkpoints; every epoch's end may save too."""
    save_every_steps: Whole = 0
    """Steps between two checkpoints; 0: by time only."""
    nan_limit: Count = 3
    """Steps in a row with a loss that is no number before the run counts as diverged."""


class Evaluate(Spec):
    """What a good model is."""

    metric: Literal["accuracy", "macro_f1", "loss"] = "accuracy"
    """Which value picks the best epoch."""
    every: Count = 1
    """Epochs between two evaluations; the last epoch is always evaluated."""
