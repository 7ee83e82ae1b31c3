"""A config: the one description of an experiment, checked as a whole, and its hash.

Reading files, overrides and caret errors is `schemas.source`; here is only what a config is.
"""

import hashlib
import json
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

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

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
NOTIFY = r"^(none|@me|#[a-z0-9_-]{1,79}|[CGDU][A-Z0-9]+)$"
Notify = Annotated[str, StringConstraints(pattern=NOTIFY)]


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
        """Every contradiction between parts, one `key: message` line each."""
        if problems := list(contradictions(self)):
            raise ValueError("\n".join(f"{key}: {text}" for key, text in problems))
        return self

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values with every default filled in."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """The same for the same experiment, however its file was written."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def contradictions(config: TrainConfig) -> list[tuple[str, str]]:
    """What no single key can know to be wrong: (the key to point at, what is wrong)."""
    found: list[tuple[str, str]] = []
    data, train, split = config.data, config.train, config.data.split
    if isinstance(split, KFold) and split.fold >= split.folds:
        last = split.folds - 1
        found.append(("data.split.fold", f"{split.folds} folds are counted 0 to {last}"))
    if config.mix.on and data.batch_size % 2:
        found.append(("data.batch_size", "mixup and cutmix mix pairs: the batch must be even"))
    if config.schedule.warmup_epochs >= train.epochs:
        found.append(
            ("schedule.warmup_epochs", f"the warm-up must be shorter than {train.epochs} epochs")
        )
    if data.batch_size < train.accumulate:
        found.append(
            ("train.accumulate", f"a batch of {data.batch_size} has no {train.accumulate} parts")
        )
    elif data.batch_size % train.accumulate:
        found.append(
            ("train.accumulate", f"{train.accumulate} does not divide a batch of {data.batch_size}")
        )
    if config.model.pretrained and config.model.weights:
        found.append(("model.weights", "pretrained and weights exclude each other"))
    if isinstance(config.augment, TimmAugment):
        for key in ("scale", "ratio"):
            low, high = getattr(config.augment, key)
            if low > high:
                found.append((f"augment.{key}", "the range must go from low to high"))
    return found
