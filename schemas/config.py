"""A config: the one description of an experiment, checked as a whole, and its hash.

Reading files, overrides and caret errors is `schemas.source`; here is only what a config is.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas import contradictions
from schemas.components.augment import Augment, Mix, TimmAugment
from schemas.components.data import Data
from schemas.components.loop import Evaluate, Loop
from schemas.components.loss import CrossEntropy
from schemas.components.model import Timm
from schemas.components.optim import AdamW, Cosine
from schemas.components.spec import Spec, Whole
from schemas.contradictions import Contradiction

SLUG = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Slug = Annotated[str, StringConstraints(pattern=SLUG)]
NOTIFY = r"^(none|@me|#[a-z0-9_-]{1,79}|[CGDU][A-Z0-9]+)$"
Notify = Annotated[str, StringConstraints(pattern=NOTIFY)]


SAID = ("seed", "name", "note", "notify")  # what no result of an experiment hangs on, luck apart


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
        if found := self.contradictions():
            text = "\n".join(f"{each.key}: {each.text}" for each in found)
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "found": found})
        return self

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values with every default filled in."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """The same for the same config, however its file was written."""
        return digest_of(self.canonical())

    def experiment(self) -> str:
        """The same for runs that differ in their seed, or in what is said about them."""
        return experiment_of(self.canonical())

    def contradictions(self) -> list[Contradiction]:
        """What no single key can know to be wrong."""
        return [
            *contradictions.of_the_data(self.data, self.mix),
            *contradictions.of_the_steps(self.train, self.data.batch_size),
            *contradictions.of_the_rates(self.schedule, self.train.epochs, self.optim.lr),
            *contradictions.of_the_model(self.model, self.data.img_size),
            *contradictions.of_the_crops(self.augment),
        ]


def experiment_of(canonical: Mapping[str, Any]) -> str:
    """The digest of an experiment, for who has the canonical values already."""
    return digest_of({name: v for name, v in canonical.items() if name not in SAID})[:16]


def digest_of(values: Mapping[str, Any]) -> str:
    """The same for the same values, in whatever order."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
