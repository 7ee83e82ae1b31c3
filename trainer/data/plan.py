"""What is read, in which order: a pure function of the config and of where to begin."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from schemas.components.data import Sampler, Shuffle
from schemas.config import TrainConfig
from schemas.contradictions import learning
from trainer import randomness
from trainer.crew import Crew, share
from trainer.data.sampler import chances
from trainer.data.split import Indices, Parts
from trainer.faults import ConfigFault

VALIDATION = -1  # the epoch of a validation image: it is never augmented

SHUFFLE = Shuffle()

Place = tuple[int, int]  # (epoch, image): all that a sample depends on


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run as a sequence of batches: an epoch, its evaluation, the next epoch."""

    parts: Parts
    seed: int
    batch: int
    epochs: int
    evaluate_every: int
    rank: int = 0  # of those who share each batch
    ranks: int = 1
    sampler: Sampler = SHUFFLE

    @classmethod
    def of(cls, config: TrainConfig, parts: Parts, crew: Crew) -> Self:
        """The plan of a config, refused when not even one whole batch comes together."""
        size = config.data.batch_size
        for found in learning.of_the_gpus(size, config.mix, crew.size):
            raise ConfigFault(found.text, fix=found.help)
        epochs, every = config.train.epochs, config.evaluate.every
        who, sampler = (crew.rank, crew.size), config.data.sampler
        plan = cls(parts, config.seed, size, epochs, every, *who, sampler)
        if plan.steps_per_epoch == 0:
            raise ConfigFault(
                f"a batch of {plan.batch} is more than the {len(parts.train)} training images",
                fix=f"data.batch_size={len(parts.train)} or less",
            )
        return plan

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches only: a last, smaller one would weigh its images more."""
        return len(self.parts.train) // self.batch

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def evaluates(self, epoch: int) -> bool:
        """Whether this epoch, counted from 0, ends with an evaluation."""
        return (epoch + 1) % self.evaluate_every == 0 or epoch + 1 == self.epochs

    def batches(self, epoch: int, step: int) -> Iterator[list[Place]]:
        """Everything still to be read when `epoch` epochs are closed and `step` steps are done."""
        for number in range(epoch, self.epochs):
            images = self.order(number)
            done = step - number * self.steps_per_epoch if number == epoch else 0
            for start in range(done * self.batch, self.steps_per_epoch * self.batch, self.batch):
                batch = images[start : start + self.batch].tolist()
                yield [(number, image) for image in share(batch, self.rank, self.ranks)]
            if self.evaluates(number):
                yield from self.validation()

    def order(self, epoch: int) -> Indices:
        """The training images of an epoch, one after the other: it hangs on nothing but these."""
        train = self.parts.train
        weights = chances(self.sampler, self.parts)
        return train[randomness.order(self.seed, epoch, len(train), weights)]

    def class_counts(self, classes: int) -> list[int]:
        """How many training images each class has."""
        return [
            int(n) for n in np.bincount(self.parts.targets[self.parts.train], minlength=classes)
        ]

    @property
    def validated(self) -> Indices:
        """The validation images in the order in which all ranks' answers are put together."""
        shares = [self.parts.validate[rank :: self.ranks] for rank in range(self.ranks)]
        return np.concatenate(shares)

    def validation(self) -> Iterator[list[Place]]:
        """Every validation image once, on one of the ranks; the last batch may be smaller."""
        images, size = self.parts.validate[self.rank :: self.ranks], self.batch // self.ranks
        for start in range(0, len(images), size):
            yield [(VALIDATION, image) for image in images[start : start + size].tolist()]
