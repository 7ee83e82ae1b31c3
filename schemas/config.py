"""A config: the one description of an experiment, checked as a whole, and its hash.

Reading files, overrides and caret errors is `schemas.source`; here is only what a config is.
"""

import hashlib
import json
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from schemas.components.augment import Augment, Mix, TimmAugment
from schemas.components.data import Data
from schemas.components.loop import Evaluate, Loop
from schemas.components.loss import CrossEntropy, Loss
from schemas.components.model import Model
from schemas.components.optim import AdamW, Optim
from schemas.components.predict import Predict
from schemas.components.schedule import Cosine, Schedule
from schemas.components.search import Search
from schemas.components.spec import Spec, Whole
from schemas.components.track import Track
from schemas.contradictions.referee import Referee

SLUG = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Slug = Annotated[str, StringConstraints(pattern=SLUG)]
NOTIFY = r"^(none|@me|#[a-z0-9_-]{1,79}|[CGDU][A-Z0-9]+)$"
Notify = Annotated[str, StringConstraints(pattern=NOTIFY)]

# what no result of an experiment hangs on, luck apart
SAID = ("seed", "name", "note", "notify", "track", "search")


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
    model: Model
    """What learns."""
    data: Data = Data()
    """What it learns from."""
    loss: Loss = Field(default_factory=CrossEntropy)
    """What it minimises."""
    optim: Optim = Field(default_factory=AdamW)
    """How it steps."""
    schedule: Schedule = Field(default_factory=Cosine)
    """How the step size moves."""
    augment: Augment = Field(default_factory=TimmAugment)
    """What is done to training images; validation images are never augmented."""
    mix: Mix = Mix()
    """What is done to training batches."""
    train: Loop = Loop()
    """How long and how exactly."""
    evaluate: Evaluate = Evaluate()
    """What a good model is."""
    predict: Predict = Predict()
    """How the test set is answered."""
    track: Track = Track()
    """Where the run is shown beside its own folder."""
    search: Search = Search()
    """What `publisher search` and `trainer search` try; a run by itself is the config as it is."""

    @model_validator(mode="after")
    def parts_fit_together(self, info: ValidationInfo) -> Self:
        """Every contradiction between parts at once, one `key: message` line each."""
        referee = info.context if isinstance(info.context, Referee) else Referee()
        if found := referee.contradictions(self):
            text = "\n".join(f"{each.key}: {each.text}" for each in found)
            raise PydanticCustomError("contradictions", "{text}", {"text": text, "found": found})
        return self

    def canonical(self) -> dict[str, Any]:
        """Plain JSON values with every default filled in."""
        return self.model_dump(mode="json")

    def digest(self) -> str:
        """The same for the same config, however its file was written."""
        return hashlib.sha256(_text(self.canonical()).encode()).hexdigest()

    def experiment(self) -> str:
        """The same for runs that differ in their seed, or in what is said about them."""
        return Scribe().write(self)[1]


class Scribe:
    """Writes configs down; a section that several of them share is written once.

    A section is known by which it is, not by what it equals: -0.0 equals 0.0 and reads otherwise.
    """

    def __init__(self) -> None:
        self._sections: dict[int, tuple[dict[str, Any], str, Spec]] = {}
        self._digests: dict[tuple[str, ...], str] = {}

    def write(self, config: TrainConfig) -> tuple[dict[str, Any], str]:
        """What `config.canonical()` and `config.experiment()` give; the sections of the first may
        be those of another config too."""
        values: dict[str, Any] = {}
        kept: list[str] = []
        for name, value in vars(config).items():
            known = self._section(name, value) if isinstance(value, Spec) else None
            values[name] = known[0] if known else value
            if name not in SAID:
                kept.append(known[1] if known else f'"{name}":{_text(value)}')
        same = tuple(kept)
        digest = self._digests.get(same)
        if digest is None:
            text = ",".join(sorted(kept))
            digest = hashlib.sha256(f"{{{text}}}".encode()).hexdigest()[:16]
            self._digests[same] = digest
        return values, digest

    def _section(self, name: str, section: Spec) -> tuple[dict[str, Any], str, Spec]:
        known = self._sections.get(id(section))
        if known is None:
            values = section.model_dump(mode="json")
            text = f'"{name}":{_text(values)}'
            known = values, text, section  # which is kept, so that its id stays its own
            self._sections[id(section)] = known
        return known


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
