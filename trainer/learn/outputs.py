"""What a model's outputs say: a score for each class, one for each value of its parts, or an age.

A class is one value of every part, the last part counting fastest, so that targets stay class
numbers, or probabilities of classes, everywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from schemas.components.model import Net
from schemas.components.sources import PARTS, Ages, Mask
from schemas.config import TrainConfig
from trainer.faults import ConfigFault

MIDDLE, TWENTY = 40.0, 20.0  # years: what an output of 0 says, and what 1 more adds
DOUBT = 3.0  # years beyond a limit that make a group e times less likely


@dataclass(frozen=True, slots=True)
class Outputs:
    """How many values each part has; a class that has no parts is the only one."""

    sizes: tuple[int, ...]

    @property
    def width(self) -> int:
        """What comes out of the model for an image."""
        return sum(self.sizes)

    @property
    def labels(self) -> int:
        """How many different training labels there are."""
        return prod(self.sizes)

    def split(self, logits: Tensor) -> tuple[Tensor, ...]:
        """The outputs of each head."""
        return torch.split(logits, list(self.sizes), 1)

    def joint(self, logits: Tensor) -> Tensor:
        """A score for each class, whose softmax is the product of what the heads say."""
        if len(self.sizes) == 1:
            return logits
        total, *others = (head.float().log_softmax(1) for head in self.split(logits))
        for each in others:
            total = (total[:, :, None] + each[:, None, :]).flatten(1)
        return total

    def targets(self, targets: Tensor) -> tuple[Tensor, ...]:
        """What each head should say; of mixed images the share of each value in all classes."""
        if targets.ndim == 2:
            table = targets.reshape(-1, *self.sizes)
            axes = range(1, len(self.sizes) + 1)
            return tuple(table.sum([axis for axis in axes if axis != own]) for own in axes)
        strides = [prod(self.sizes[place + 1 :]) for place in range(len(self.sizes))]
        return tuple(
            targets // stride % size for stride, size in zip(strides, self.sizes, strict=True)
        )

    def counts(self, class_counts: Sequence[int]) -> list[list[int]]:
        """How many training images each value of each part has."""
        table = np.array(class_counts).reshape(self.sizes)
        axes = range(len(self.sizes))
        return [table.sum(tuple(each for each in axes if each != own)).tolist() for own in axes]


PARTED = Outputs(tuple(PARTS.values()))


@dataclass(frozen=True, slots=True)
class Years:
    """One number, which says an age; age groups, which are the classes, follow from it.

    It counts in twenties of years around 40, so that a model's first guesses are ages of people.
    """

    limits: Ages  # where the middle and the last group begin
    width = 1
    labels = 1000  # the layout of people writes three digits

    def years(self, said: Tensor) -> Tensor:
        """The ages."""
        return MIDDLE + TWENTY * said.float().squeeze(1)

    def joint(self, said: Tensor) -> Tensor:
        """A score for each group: 0 for that of the age, rounded to whole years, and for others
        the less the further away they are.
        """
        years = self.years(said)
        middle, last = (limit - 0.5 for limit in self.limits)
        above, below = (years - middle).clamp(min=0), (middle - years).clamp(min=0)
        beyond, before = (years - last).clamp(min=0), (last - years).clamp(min=0)
        return -torch.stack([above, below + beyond, before], 1) / DOUBT


def sizes(spec: Net, classes: int) -> tuple[int, ...]:
    """How many values each head of a spec's model says."""
    if spec.answers == "years":
        return (Years.width,)
    if spec.answers == "classes":
        return (classes,)
    if classes != prod(PARTED.sizes):
        what = f"the {classes} classes of these data have no parts"
        raise ConfigFault(what, fix="model.answers=classes")
    return PARTED.sizes


def of(config: TrainConfig, classes: int) -> Outputs | Years:
    """What the outputs of a config's model are."""
    source = config.data.source
    if config.model.answers == "years" and isinstance(source, Mask):
        return Years(source.age_limits)
    found = sizes(config.model, classes)
    return PARTED if config.model.answers == "parts" else Outputs(found)
