"""Data sets and splits: keys that are right alone and wrong together."""

from collections.abc import Iterator

from schemas.components.augment import Mix
from schemas.components.data import Data, KFold, Weighted
from schemas.components.sources import Csv, Extra, Mask, knows_people
from schemas.contradictions.contradiction import Contradiction


def of_the_data(data: Data, mix: Mix) -> Iterator[Contradiction]:
    """Folds that are not there, batches that cannot be mixed."""
    split, size = data.split, data.batch_size
    if isinstance(split, KFold) and split.fold >= split.folds:
        text = f"{split.folds} folds are counted 0 to {split.folds - 1}, got {split.fold}"
        yield Contradiction("data.split.fold", text, ("data.split.folds",))
    if mix.on and size % 2:
        text = f"mixup and cutmix mix pairs: the batch must be even, got {size}"
        others = ("mix.mixup", "mix.cutmix", "mix.prob")
        yield Contradiction("data.batch_size", text, others, f"write {size + 1}")
    yield from of_the_people(data)
    if isinstance(data.source, Mask):
        yield from of_the_ages(data.source)
    if isinstance(data.sampler, Weighted) and isinstance(data.source, Mask):
        needed, given = data.source.classes, len(data.sampler.weights)
        if needed != given:
            text = f"task {data.source.task} has {needed} classes, got {given} weights"
            yield Contradiction("data.sampler.weights", text, ("data.source.task",))
    yield from of_the_extras(data.extra, mask=isinstance(data.source, Mask))


def of_the_people(data: Data) -> Iterator[Contradiction]:
    """Splits that would put a person on both sides, or that need people where there are none."""
    split, people = data.split, knows_people(data.source)
    others = ("data.source.kind", "data.source.person")
    if people and split.by == "image":
        text = "this split puts images of one person on both sides: validation would flatter"
        help = "leave `by` out; by: image_leaking_persons is for showing how much it flatters"
        yield Contradiction("data.split.by", text, others, help)
    if not people and split.by in {"person", "image_leaking_persons"}:
        text = "this source knows no people"
        help = "name their column: data.source.person" if isinstance(data.source, Csv) else ""
        yield Contradiction("data.split.by", text, others, help)
    if isinstance(split, KFold) and split.stratify == "labels" and not people:
        text = "stratify: labels is for people of a gender and an age; this source knows none"
        yield Contradiction("data.split.stratify", text, others, "write stratify: class")


def of_the_ages(source: Mask) -> Iterator[Contradiction]:
    """Limits and ranges that run backwards."""
    for key, limits in (
        ("age_limits", source.age_limits),
        ("train_age_limits", source.train_age_limits),
    ):
        if limits and limits[0] >= limits[1]:
            text = f"the limits must go up, got {limits[0]} and {limits[1]}"
            yield Contradiction(f"data.source.{key}", text)
    for first, last in source.drop_ages:
        if first > last:
            text = f"a range goes from first to last, got {first} to {last}"
            yield Contradiction("data.source.drop_ages", text, (), f"write [{last}, {first}]")


def of_the_extras(extras: tuple[Extra, ...], *, mask: bool) -> Iterator[Contradiction]:
    """Two of one origin could not be told apart; people need the source's rules for labels."""
    for number, extra in enumerate(extras):
        key = f"data.extra.{number}"
        if extra.origin in {other.origin for other in extras[:number]}:
            text = f"two kinds of extra rows have the origin {extra.origin!r}"
            yield Contradiction(f"{key}.origin", text, (), "give each its own")
        if extra.csv is None and not mask:
            text = "extra rows need their table"
            help = "a folder of people is read only beside a source of kind: mask"
            yield Contradiction(f"{key}.csv", text, ("data.source.kind",), help)
        if extra.at_least and extra.confidence is None:
            text = "at_least needs the column that it looks at"
            yield Contradiction(f"{key}.at_least", text, (), "name it: confidence")
