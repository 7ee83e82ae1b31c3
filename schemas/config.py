"""A config: the one description of an experiment, checked as a whole, and its hash.

Reading files, overrides and caret errors is `schemas.source`; here is only what a config is.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas import timm_models
from schemas.components import (
    AdamW,
    Augment,
    Cosine,
    CrossEntropy,
    Data,
    Evaluate,
    KFold,
    Loop,
    Mix,
    Spec,
    Timm,
    TimmAugment,
    Whole,
)

SLUG = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Slug = Annotated[str, StringConstraints(pattern=SLUG)]
NOTIFY = r"^(none|@me|#[a-z0-9_-]{1,79}|[CGDU][A-Z0-9]+)$"
Notify = Annotated[str, StringConstraints(pattern=NOTIFY)]


SAID = ("seed", "name", "note", "notify")  # what no result of an experiment hangs on, luck apart


class Contradiction(NamedTuple):
    """Two keys that are right alone and wrong together."""

    key: str  # the one to point at
    text: str
    others: tuple[str, ...] = ()
    help: str = ""


class TrainConfig(Spec):
    """One experiment. Every key that is left out has the default written here."""

    name: Slug | None = None
    """What people call the run; made from model and data when left out."""
    note: Annotated[str, StringConstraints(max_length=500)] = ""
    """Why this run exists, for those who read it later."""
    seed: Whole = 42
    """All randomness follows from it."""
    notify: Notify | None = None
    """Where the end is told: a #channel, @me, or none; left out: the team's channel."""
    model: Timm
    """What learns."""
    data: Data = Data()
    """What it learns from."""
    loss: CrossEntropy = CrossEntropy()
    """What it minimises."""
    optim: AdamW = AdamW()
    """How it steps."""
    schedule: Cosine = Cosine()
    """How the step size moves."""
    augment: Augment = Field(default_factory=TimmAugment)
    """What is done to training images; validation images are never augmented."""
    mix: Mix = Mix()
    """What is done to training batches."""
    train: Loop = Loop()
    """How long and how exactly."""
    evaluate: Evaluate = Evaluate()
    """What a good model is."""

    @model_validator(mode="after")
    def parts_fit_together(self) -> Self:
        """Every contradiction between parts at once, one `key: message` line each."""
        if found := contradictions(self):
            text = "\n".join(f"{each.key}: {each.text}" for each in found)
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "found": found})
        return self

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values with every default filled in."""
        return self.model_dump(mode="json")

    def digest(self, *, without: Collection[str] = ()) -> str:
        """The same for the same config, however its file was written."""
        kept = {name: value for name, value in self.canonical().items() if name not in without}
        text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def experiment(self) -> str:
        """The same for runs that differ in their seed, or in what is said about them."""
        return self.digest(without=SAID)[:16]


def contradictions(config: TrainConfig) -> list[Contradiction]:
    """What no single key can know to be wrong."""
    return [
        *_of_the_data(config),
        *_of_the_steps(config),
        *_of_the_rates(config),
        *_of_the_model(config),
        *_of_the_crops(config),
    ]


def _of_the_data(config: TrainConfig) -> Iterator[Contradiction]:
    split, size = config.data.split, config.data.batch_size
    if isinstance(split, KFold) and split.fold >= split.folds:
        text = f"{split.folds} folds are counted 0 to {split.folds - 1}, got {split.fold}"
        yield Contradiction("data.split.fold", text, ("data.split.folds",))
    if config.mix.on and size % 2:
        text = f"mixup and cutmix mix pairs: the batch must be even, got {size}"
        others = ("mix.mixup", "mix.cutmix", "mix.prob")
        yield Contradiction("data.batch_size", text, others, f"write {size + 1}")


def _of_the_steps(config: TrainConfig) -> Iterator[Contradiction]:
    parts, size = config.train.accumulate, config.data.batch_size
    if size % parts:
        text = f"a batch of {size} cannot be cut into {parts} equal parts"
        fitting = [str(n) for n in range(1, min(size, 2 * parts) + 1) if size % n == 0]
        help = f"these fit: {', '.join(fitting)}"
        yield Contradiction("train.accumulate", text, ("data.batch_size",), help)


def _of_the_rates(config: TrainConfig) -> Iterator[Contradiction]:
    schedule, epochs, peak = config.schedule, config.train.epochs, config.optim.lr
    if schedule.warmup_epochs >= epochs:
        text = f"the warm-up must be shorter than the run of {epochs} epochs"
        yield Contradiction("schedule.warmup_epochs", text, ("train.epochs",))
    if schedule.warmup_epochs > 0 and schedule.warmup_lr > peak:
        text = f"the warm-up must start at or below optim.lr, which is {peak:g}"
        others = ("optim.lr", "schedule.warmup_epochs")
        yield Contradiction("schedule.warmup_lr", text, others)
    if schedule.min_lr > peak:
        text = f"the cosine must end at or below optim.lr, which is {peak:g}"
        yield Contradiction("schedule.min_lr", text, ("optim.lr",))


def _of_the_model(config: TrainConfig) -> Iterator[Contradiction]:
    model, size = config.model, config.data.img_size
    if model.pretrained and model.weights:
        text = "pretrained and weights exclude each other"
        yield Contradiction("model.weights", text, ("model.pretrained",), "keep one of them")
    if model.pretrained and (refusal := timm_models.refusal_of_weights(model.name)):
        yield Contradiction("model.pretrained", refusal[0], ("model.name",), refusal[1])
    for option in ("drop_rate", "drop_path_rate"):
        refusal = timm_models.refusal_of_option(model.name, option)
        if getattr(model, option) and refusal:
            yield Contradiction(f"model.{option}", refusal[0], ("model.name",), refusal[1])
    if refusal := timm_models.refusal_of_size(model.name, size):
        yield Contradiction("data.img_size", refusal[0], ("model.name",), refusal[1])


def _of_the_crops(config: TrainConfig) -> Iterator[Contradiction]:
    if isinstance(config.augment, TimmAugment):
        for key in ("scale", "ratio"):
            low, high = getattr(config.augment, key)
            if low > high:
                text = f"the range must go from low to high, got {low:g} to {high:g}"
                yield Contradiction(f"augment.{key}", text, (), f"write [{high:g}, {low:g}]")
        if config.augment.scale[1] > 1:
            text = f"a crop cannot be larger than the image, got {config.augment.scale[1]:g}"
            yield Contradiction("augment.scale", text)
