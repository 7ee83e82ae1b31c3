"""What a model's outputs say: a score for each class, or one for each value of its parts.

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
from schemas.components.sources import PARTS
from trainer.faults import ConfigFault


@dataclass(frozen=True, slots=True)
class Outputs:
    """How many values each part has; a class that has no parts is the only one."""

    sizes: tuple[int, ...]

    @property
    def width(self) -> int:
        """What comes out of the model for an image."""
        return sum(self.sizes)

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


def of(spec: Net, classes: int) -> Outputs:
    """What the outputs of a spec's model are."""
    if spec.answers == "classes":
        return Outputs((classes,))
    if classes != prod(PARTED.sizes):
        what = f"the {classes} classes of these data have no parts"
        raise ConfigFault(what, fix="model.answers=classes")
    return PARTED
