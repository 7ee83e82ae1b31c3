"""Augmentation and image sizes: keys that are right alone and wrong together."""

from collections.abc import Iterator

from schemas import timm_models
from schemas.components.augment import Augment, Batched, Curriculum, Steps, TimmAugment
from schemas.components.data import Data
from schemas.components.model import Model, Timm, Torchvision
from schemas.components.pixels import Files
from schemas.components.steps import RandAugment
from schemas.contradictions.contradiction import Contradiction
from schemas.errors import count


def of_the_stages(augment: Augment, epochs: int) -> Iterator[Contradiction]:
    """Stages that never come, or do not end where the next begins."""
    if not isinstance(augment, Curriculum):
        return
    *earlier, last = augment.stages
    if last.until:
        key = f"augment.stages.{len(earlier)}.until"
        yield Contradiction(key, "the last stage goes to the end", (), "leave its until out")
    for number, stage in enumerate(earlier):
        if not stage.until:
            text = "this stage goes to the end: those after it never come"
            yield Contradiction(f"augment.stages.{number}.until", text)
    yield from of_the_ends([stage.until for stage in earlier], "augment.stages", epochs)


def of_the_sizes(data: Data, model: Model, epochs: int) -> Iterator[Contradiction]:
    """Sizes that never come, or that the model does not take, or that are not smaller."""
    yield from of_the_ends([each.until for each in data.smaller], "data.smaller", epochs)
    for number, each in enumerate(data.smaller):
        key, others = f"data.smaller.{number}.size", ("data.img_size",)
        if each.size >= data.img_size:
            text = f"the first epochs are smaller than img_size, {data.img_size}; got {each.size}"
            yield Contradiction(key, text, others)
        if refusal := refusal_of_size(model, each.size):
            yield Contradiction(key, refusal[0], ("model.name",))


def of_the_width(data: Data, model: Model, augment: Augment) -> Iterator[Contradiction]:
    """What is only made for squares."""
    key, width = "data.img_width", data.img_width
    if width is None or width == data.img_size:
        return
    vit = isinstance(model, Torchvision) and model.name.startswith("vit_")
    for text, square, other in (
        ("the smaller images of the first epochs are squares", bool(data.smaller), "data.smaller"),
        ("batched augmentation makes squares", is_batched(augment), "augment.kind"),
        ("torchvision's vision transformers take squares", vit, "model.name"),
    ):
        if square:
            yield Contradiction(key, text, (other,), "leave one of them out")
    if refusal := refusal_of_size(model, width):
        yield Contradiction(key, refusal[0], ("model.name",), refusal[1])


def of_the_ends(ends: list[int], key: str, epochs: int) -> Iterator[Contradiction]:
    """Each must be after the one before and before the end of the run."""
    for number, end in enumerate(ends):
        if end and number and end <= ends[number - 1]:
            text = f"until must go up, got {ends[number - 1]} and then {end}"
            yield Contradiction(f"{key}.{number}.until", text)
        if end >= epochs:
            text = f"what follows never comes: the run has {count(epochs, 'epoch')}"
            yield Contradiction(f"{key}.{number}.until", text, ("train.epochs",))


def of_the_crops(augment: Augment, section: str = "augment") -> Iterator[Contradiction]:
    """Ranges that run backwards, and crops larger than the image."""
    if isinstance(augment, Curriculum):
        for number, stage in enumerate(augment.stages):
            yield from of_the_crops(stage.augment, f"{section}.stages.{number}.augment")
    if isinstance(augment, Steps):
        yield from of_the_steps_of_an_image(augment, section)
    if isinstance(augment, TimmAugment | Steps | Batched):
        for key in ("scale", "ratio"):
            low, high = getattr(augment, key)
            if low > high:
                text = f"the range must go from low to high, got {low:g} to {high:g}"
                yield Contradiction(f"{section}.{key}", text, (), f"write [{high:g}, {low:g}]")
        if augment.scale[1] > 1:
            text = f"a crop cannot be larger than the image, got {augment.scale[1]:g}"
            yield Contradiction(f"{section}.scale", text)


def of_the_batches(augment: Augment, data: Data) -> Iterator[Contradiction]:
    """Batches that have nothing to be made from."""
    if is_batched(augment) and isinstance(data.pixels, Files):
        text = "batched augmentation takes its pixels from the cache, not from files"
        yield Contradiction("data.pixels.kind", text, ("augment.kind",), "write kind: cache")


def is_batched(augment: Augment) -> bool:
    """Whether any epoch's images are made in batches."""
    every = augment.stages if isinstance(augment, Curriculum) else ()
    return any(isinstance(each, Batched) for each in (augment, *(s.augment for s in every)))


def of_the_steps_of_an_image(augment: Steps, section: str) -> Iterator[Contradiction]:
    """Ranges that run backwards, and levels that there are not."""
    for number, step in enumerate(augment.steps):
        for name in type(step).model_fields:
            value = getattr(step, name)
            if isinstance(value, tuple) and value[0] > value[1]:
                text = f"the range must go from low to high, got {value[0]:g} to {value[1]:g}"
                yield Contradiction(f"{section}.steps.{number}.{name}", text)
        if isinstance(step, RandAugment) and step.magnitude >= step.bins:
            text = f"{step.bins} bins are counted 0 to {step.bins - 1}, got {step.magnitude}"
            yield Contradiction(f"{section}.steps.{number}.magnitude", text)


def refusal_of_size(model: Model, size: int) -> timm_models.Refusal | None:
    """Why the model does not take such images, as far as that is known without it."""
    known = isinstance(model, Timm) and not model.options
    return timm_models.refusal_of_size(model.name, size) if known else None
