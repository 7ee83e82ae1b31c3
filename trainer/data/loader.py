"""Reads batches by plan, in this process or in several; the result is the same."""

import os
import signal
import sys
from collections.abc import Generator, Iterable
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from trainer import lifeline, randomness
from trainer.data.batched import SIZE, Kitchen
from trainer.data.course import Course
from trainer.data.images import Images
from trainer.data.plan import VALIDATION, Place, Plan
from trainer.data.unreadable import Unreadable

Sample = tuple[Tensor, int] | Unreadable
Batch = tuple[Tensor, Tensor]  # images [B,3,H,W], targets [B]


class Pictures(Dataset[Sample]):
    """One sample by its place: looked up, transformed under its own seed."""

    def __init__(self, images: Images, course: Course, seed: int) -> None:
        self.images, self.course, self.seed = images, course, seed

    def __getitem__(self, place: Place) -> Sample:
        epoch, index = place
        validates = epoch == VALIDATION
        way = self.course.validating if validates else self.course.training[epoch]
        picture = way.picture(index)
        if isinstance(picture, Unreadable):
            return picture
        if validates:
            return way.transform(picture), self.images.targets[index]
        seed = randomness.stream(self.seed, "sample", epoch, index)
        randomness.settle(seed, devices=False)
        return way.transform(picture), self.label(epoch, index)

    def label(self, epoch: int, index: int) -> int:
        """The training label: drawn anew every epoch where it is in doubt."""
        if self.images.numbers:
            return self.images.numbers[index]
        if odds := self.images.odds.get(index):
            return randomness.drawn(odds, "label", epoch, index, seed=self.seed)
        return self.images.targets[index]


def collate(samples: list[Sample]) -> Batch | Unreadable:
    """A batch, or the first file that spoils it."""
    for sample in samples:
        if isinstance(sample, Unreadable):
            return sample
    images, targets = default_collate(samples)
    return images, targets


def read(
    pictures: Pictures,
    plan: Plan,
    workers: int,
    device: torch.device,
    *,
    epoch: int,
    step: int,
) -> Generator[Batch, None, None]:
    """All batches from a position to the end of the run, from one set of loader processes."""
    return stream(pictures, plan.batches(epoch, step), workers, device, plan.ranks)


def stream(
    pictures: Pictures,
    batches: Iterable[list[Place]],
    workers: int,
    device: torch.device,
    ranks: int = 1,
) -> Generator[Batch, None, None]:
    """These batches, in this order; so many others read on this host as well."""
    cores = len(os.sched_getaffinity(0)) // ranks
    helpers = min(workers, max(1, cores))
    loader = DataLoader(
        pictures,
        batch_sampler=batches,
        num_workers=helpers,
        multiprocessing_context="fork" if helpers else None,  # children of ours, there at once
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        worker_init_fn=partial(tie_to_trainer, os.getpid()),
    )
    kitchens, coming = Kitchens(pictures.course, device), iter(loader)
    while True:
        # A batch to learn from may arrive while the one before it is evaluated.
        with torch.inference_mode(False):
            batch = next(coming, None)
            if batch is None:
                return
            if isinstance(batch, Unreadable):
                raise batch.fault()
            images, targets = kitchens.cooked(batch[0]), batch[1]
        yield images, targets


class Kitchens:
    """Bytes of a batch, whether a loader process made them or only wrote down how."""

    def __init__(self, course: Course, device: torch.device) -> None:
        self.course, self.device = course, device
        self.by_size: dict[int, Kitchen] = {}

    def cooked(self, images: Tensor) -> Tensor:
        if images.dim() == 4:
            return images
        size = int(images[0, SIZE])
        if size not in self.by_size:
            self.by_size[size] = Kitchen(self.course.caches[size], self.device)
        return self.by_size[size](images)


def tie_to_trainer(trainer: int, number: int) -> None:
    """A loader process ends with its trainer and not before: signals to the group are for that."""
    if not lifeline.die_with(trainer):
        sys.exit()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
