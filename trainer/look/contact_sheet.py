"""What a model will be shown, for people: the very pixels and labels that a run would train on."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data import resolve_model_data_config
from torch import Tensor

from schemas.components.data import Data, px
from schemas.config import TrainConfig
from trainer import randomness
from trainer.crew import Solo
from trainer.data import course, loader
from trainer.data.images import Images
from trainer.data.loader import Batch, Pictures
from trainer.data.pixels import Kept, PictureOf
from trainer.data.plan import VALIDATION, Place, Plan
from trainer.data.split import Parts
from trainer.data.transforms import Look, Normal
from trainer.data.unreadable import Unreadable
from trainer.foresight import foresee
from trainer.learn.learner import mixer
from trainer.look.drawing import Cell, Strip, sheet

CPU = torch.device("cpu")
VIEWS = 5  # epochs, or mixed batches, that a row shows


def draw(config: TrainConfig, images: Images, parts: Parts, rows: int) -> Image.Image:
    """A row a class: an image, how it validates, how it trains in some epochs; then mixtures."""
    plan = Plan.of(config, parts, Solo())
    net = foresee.build(config.model, len(images.classes), config.data.extent)
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    classes = spread(len(images.classes), rows)
    chosen = {target: first_of(images, parts, target) for target in classes}
    epochs = spread(config.train.epochs, VIEWS)
    mixed = [epoch for epoch in epochs if epoch < (config.mix.until or plan.epochs)]
    pairs = [ends(plan, epoch) for epoch in mixed] if config.mix.on else []
    wanted = [*chosen.values(), *(image for pair in pairs for _, image in pair)]
    with tempfile.TemporaryDirectory(prefix="preview") as scratch:
        pictures = pictures_of(config, images, wanted, look, Path(scratch))
        heads = ("image", "validates as", *(head(config.data, epoch) for epoch in epochs))
        strips = [
            Strip(
                images.classes[target],
                list(cells(pictures, index, epochs)),
                heads if not row else (),
            )
            for row, (target, index) in enumerate(chosen.items())
        ]
        if pairs:
            row = mixed_cells(config, pictures, pairs, plan, look)
            strips.append(Strip("a mixed batch's first", [None, None, *row]))
    return sheet(title(config, images, len(classes)), strips)


def title(config: TrainConfig, images: Images, shown: int) -> str:
    size, way = px(config.data.extent), config.augment.kind
    some = f"{shown} of {len(images.classes)}" if shown < len(images.classes) else f"{shown}"
    return f"{config.model.name} at {size}, augment {way}, {some} classes"


def head(data: Data, epoch: int) -> str:
    return f"epoch {epoch + 1}" + (f", {px(data.size_at(epoch))}" if data.smaller else "")


def spread(whole: int, some: int) -> list[int]:
    """So many of 0 .. whole - 1, the first and the last among them."""
    return sorted({round(n) for n in np.linspace(0, whole - 1, min(some, whole))})


def first_of(images: Images, parts: Parts, target: int) -> int:
    """The training image of a class that comes first by name."""
    there = np.flatnonzero(parts.targets[parts.train] == target)
    return int(min(parts.train[there], key=lambda index: images.names[index]))


def ends(plan: Plan, epoch: int) -> tuple[Place, Place]:
    """The first and the last image of an epoch's first batch: timm mixes them with each other."""
    order = plan.order(epoch)[: plan.batch]
    return (epoch, int(order[0])), (epoch, int(order[-1]))


def pictures_of(
    config: TrainConfig, images: Images, wanted: Sequence[int], look: Look, scratch: Path
) -> Pictures:
    """As a run reads them, but only these: the rest need not be decoded for a preview."""
    numbers = sorted(set(wanted))
    few = replace(
        images,
        names=tuple(images.names[n] for n in numbers),
        paths=tuple(images.paths[n] for n in numbers),
        bad=frozenset(),
    )
    slot = {number: position for position, number in enumerate(numbers)}
    by_size = {
        size: renumbered(picture, slot)
        for size, picture in course.sources(config, few, scratch, lambda _: None).items()
    }
    return loader.Pictures(images, course.course(config, by_size, look), config.seed)


def renumbered(picture: PictureOf, slot: dict[int, int]) -> PictureOf:
    """By the numbers that the images have in the whole data set."""
    if isinstance(picture, Kept):
        return Kept(picture.cache, slot)
    return lambda number: picture(slot[number])


def cells(pictures: Pictures, index: int, epochs: Sequence[int]) -> Iterator[Cell]:
    """An image, and what becomes of it."""
    images = pictures.images
    original = pictures.course.validating.picture(index)
    if isinstance(original, Unreadable):
        raise original.fault()
    yield Cell(original, images.names[index])
    for epoch in (VALIDATION, *epochs):
        pixels, labels = batch(pictures, (epoch, index))
        label = int(labels[0])
        other = label != images.targets[index]
        yield Cell(shown(pixels[0]), images.classes[label] if other else "")


def mixed_cells(
    config: TrainConfig,
    pictures: Pictures,
    pairs: Sequence[tuple[Place, Place]],
    plan: Plan,
    look: Look,
) -> Iterator[Cell]:
    """The first image of the first batch of epochs, as mixup or cutmix leaves it."""
    normal, classes = Normal(look, CPU), pictures.images.classes
    mix = mixer(config, len(classes))
    assert mix is not None
    for pair in pairs:
        images, labels = batch(pictures, *pair)
        step = pair[0][0] * plan.steps_per_epoch
        randomness.settle(randomness.stream(config.seed, "step", step), devices=False)
        mixed, targets = mix(normal(images), labels)
        likely = [(float(p), classes[n]) for n, p in enumerate(targets[0].tolist()) if p > 0]
        words = "\n".join(f"{share:.2f} {name}" for share, name in sorted(likely, reverse=True))
        yield Cell(shown(normal.back(mixed)[0]), words)


def batch(pictures: Pictures, *places: Place) -> Batch:
    """As the loop gets it."""
    return next(loader.stream(pictures, [list(places)], 0, CPU))


def shown(pixels: Tensor) -> Image.Image:
    """Bytes [3,H,W] as a picture."""
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())
