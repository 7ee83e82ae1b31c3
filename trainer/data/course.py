"""What becomes of images in which epoch: how large they are, and how they are augmented.

It follows from the config and the epoch alone, so a resumed run goes on as it was.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from schemas.components.augment import Augment, Curriculum
from schemas.config import TrainConfig
from trainer.data import pixels, transforms
from trainer.data.images import Images
from trainer.data.pixels import Alive, PictureOf
from trainer.data.transforms import Look, Transform


@dataclass(frozen=True, slots=True)
class Way:
    """From an image's number to what the model sees."""

    picture: PictureOf
    transform: Transform


@dataclass(frozen=True, slots=True)
class Course:
    """The way of validation, and that of each epoch."""

    validating: Way
    training: tuple[Way, ...] = ()


def sources(
    config: TrainConfig, images: Images, cache_root: Path, alive: Alive
) -> dict[int, PictureOf]:
    """Where pictures come from, for each size that an epoch or the validation has."""
    data = config.data
    sized = (data, *(data.model_copy(update={"img_size": each.size}) for each in data.smaller))
    return {each.img_size: pixels.pictures(each, images, cache_root, alive) for each in sized}


def course(config: TrainConfig, pictures: dict[int, PictureOf], look: Look) -> Course:
    """The whole run's."""
    data, full = config.data, config.data.img_size

    @cache
    def way(augment: Augment, size: int) -> Way:
        return Way(pictures[size], transforms.training(augment, size, look))

    return Course(
        Way(pictures[full], transforms.validating(full, look)),
        tuple(
            way(augment_at(config.augment, epoch), data.size_at(epoch))
            for epoch in range(config.train.epochs)
        ),
    )


def augment_at(augment: Augment, epoch: int) -> Augment:
    return augment.at(epoch) if isinstance(augment, Curriculum) else augment
