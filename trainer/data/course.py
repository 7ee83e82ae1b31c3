"""What becomes of images in which epoch: how large they are, and how they are augmented.

It follows from the config and the epoch alone, so a resumed run goes on as it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from schemas.components.augment import Augment, Batched, Curriculum
from schemas.components.data import Extent, sides
from schemas.config import TrainConfig
from trainer.data import pixels, transforms
from trainer.data.batched import Recipe
from trainer.data.cache import Cache
from trainer.data.files import Alive
from trainer.data.images import Images
from trainer.data.pixels import Kept, PictureOf
from trainer.data.transforms import Look


@dataclass(frozen=True, slots=True)
class Way:
    """From an image's number to what the model sees."""

    picture: Callable[[int], Any]  # a picture, or where in the cache it is
    transform: Callable[[Any], Tensor]  # to bytes [3,S,S], or to the recipe for them


@dataclass(frozen=True, slots=True)
class Course:
    """The way of validation, and that of each epoch."""

    validating: Way
    training: tuple[Way, ...] = ()
    caches: Mapping[Extent, Cache] = field(default_factory=dict)  # by size, of recipes


def sources(
    config: TrainConfig, images: Images, cache_root: Path, alive: Alive
) -> dict[Extent, PictureOf]:
    """Where pictures come from, for each size that an epoch or the validation has."""
    data = config.data
    sized = (data, *(data.model_copy(update={"img_size": each.size}) for each in data.smaller))
    return {each.extent: pixels.pictures(each, images, cache_root, alive) for each in sized}


def course(config: TrainConfig, pictures: dict[Extent, PictureOf], look: Look) -> Course:
    """The whole run's."""
    data, full = config.data, config.data.extent

    @cache
    def way(augment: Augment, size: Extent) -> Way:
        if isinstance(augment, Batched):
            return Way(kept(pictures[size]).frame, Recipe(augment, sides(size)[0]))
        return Way(pictures[size], transforms.training(augment, size, look))

    return Course(
        Way(pictures[full], transforms.validating(full, look)),
        tuple(
            way(augment_at(config.augment, epoch), data.size_at(epoch))
            for epoch in range(config.train.epochs)
        ),
        {size: each.cache for size, each in pictures.items() if isinstance(each, Kept)},
    )


def kept(pictures: PictureOf) -> Kept:
    """Batches are made only from a cache, which the config has been asked for."""
    assert isinstance(pictures, Kept)
    return pictures


def augment_at(augment: Augment, epoch: int) -> Augment:
    return augment.at(epoch) if isinstance(augment, Curriculum) else augment
