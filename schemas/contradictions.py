"""What no single key of a config can know to be wrong: two parts that are right alone."""

from collections.abc import Iterator
from typing import NamedTuple

from schemas import timm_models
from schemas.components.augment import Augment, Batched, Curriculum, Mix, Steps, TimmAugment
from schemas.components.data import Data, KFold, Weighted
from schemas.components.loop import Loop
from schemas.components.loss import ArcFace, Heads, Loss, MeanSquares, Ordinal, Sum
from schemas.components.model import Directional, LastLayer, Model, Own, Timm, Torchvision
from schemas.components.optim import Optim, Sgd
from schemas.components.pixels import Files
from schemas.components.predict import Predict
from schemas.components.schedule import MultiStep, OneCycle, Restarts, Schedule
from schemas.components.search import Choice, Range, Search
from schemas.components.sources import Csv, Extra, Mask, Source, knows_people
from schemas.components.steps import RandAugment
from schemas.components.track import Track
from schemas.errors import count

FROZEN = "write freeze: [{parts: [backbone]}]"


class Contradiction(NamedTuple):
    """Two keys that are right alone and wrong together."""

    key: str  # the one to point at
    text: str
    others: tuple[str, ...] = ()
    help: str = ""


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


def of_the_gpus(size: int, mix: Mix, gpus: int) -> Iterator[Contradiction]:
    """A batch of which every GPU cannot take the same part; how many there are says no config."""
    pieces = gpus * (2 if mix.on else 1)
    if gpus > 1 and size % pieces:
        mixed = ", mixed in pairs" if mix.on else ""
        text = f"a batch of {size} cannot be shared by {gpus} GPUs{mixed}"
        fix = f"data.batch_size={size // pieces * pieces + pieces}"
        yield Contradiction("data.batch_size", text, help=fix)


def of_the_steps(train: Loop, size: int) -> Iterator[Contradiction]:
    """A batch that cannot be cut as it is asked to."""
    parts = train.accumulate
    if size % parts:
        text = f"a batch of {size} cannot be cut into {parts} equal parts"
        fitting = [str(n) for n in range(1, min(size, 2 * parts) + 1) if size % n == 0]
        help = f"these fit: {', '.join(fitting)}"
        yield Contradiction("train.accumulate", text, ("data.batch_size",), help)
    limits = [key for key in ("clip_norm", "clip_value", "clip_agc") if getattr(train, key)]
    for key in limits[1:]:
        text = f"{limits[0]} and {key} exclude each other"
        yield Contradiction(f"train.{key}", text, (f"train.{limits[0]}",), "keep one of them")


def of_the_momentum(optim: Optim) -> Iterator[Contradiction]:
    """A look ahead along nothing."""
    if isinstance(optim, Sgd) and optim.nesterov and not optim.momentum:
        text = "nesterov needs a momentum"
        yield Contradiction("optim.nesterov", text, ("optim.momentum",), "write momentum: 0.9")


def of_the_rates(schedule: Schedule, epochs: int, peak: float) -> Iterator[Contradiction]:
    """A schedule that does not fit into the run, or goes up where it should go down."""
    if isinstance(schedule, OneCycle):
        return
    warmup = schedule.warmup_epochs
    if warmup >= epochs:
        text = f"the warm-up must be shorter than the run of {epochs} epochs"
        yield Contradiction("schedule.warmup_epochs", text, ("train.epochs",))
    if isinstance(schedule, Restarts) and warmup >= schedule.first:
        text = f"the warm-up must be shorter than the first cosine, of {schedule.first:g} epochs"
        yield Contradiction("schedule.warmup_epochs", text, ("schedule.first",))
    if warmup > 0 and schedule.warmup_lr > peak:
        text = f"the warm-up must start at or below optim.lr, which is {peak:g}"
        others = ("optim.lr", "schedule.warmup_epochs")
        yield Contradiction("schedule.warmup_lr", text, others)
    if getattr(schedule, "min_lr", 0.0) > peak:
        text = f"the {schedule.kind} must end at or below optim.lr, which is {peak:g}"
        yield Contradiction("schedule.min_lr", text, ("optim.lr",))
    if isinstance(schedule, MultiStep) and list(schedule.at) != sorted(set(schedule.at)):
        yield Contradiction("schedule.at", f"epochs must go up, got {list(schedule.at)}")


def of_the_model(model: Model, size: int) -> Iterator[Contradiction]:
    """What would be refused when the model is built."""
    if not isinstance(model, Own) and model.pretrained and model.weights:
        text = "pretrained and weights exclude each other"
        yield Contradiction("model.weights", text, ("model.pretrained",), "keep one of them")
    if model.copy_head:
        yield from of_copied_heads(model)
    if isinstance(model, Timm):
        yield from of_timms(model, size)
    if isinstance(model, Torchvision):
        for key, said in (
            ("in_chans", model.in_chans != 3),
            ("lr_scale_min", model.lr_scale_min < 1),
            ("grad_checkpointing", model.grad_checkpointing),
        ):
            if said:
                text = f"torchvision's models know no {key}"
                help = "leave it out, or take a model of timm"
                yield Contradiction(f"model.{key}", text, ("model.kind",), help)


def of_copied_heads(model: Model) -> Iterator[Contradiction]:
    """Heads that cannot begin with rows of another."""
    key = "model.copy_head"
    if not (model.weights or (not isinstance(model, Own) and model.pretrained)):
        help = "write pretrained: true, or weights"
        yield Contradiction(key, "random weights have no rows to copy", ("model.pretrained",), help)
    if not isinstance(model.head, LastLayer) or model.answers == "parts":
        text = "only a single last layer can have rows of another"
        yield Contradiction(key, text, ("model.head", "model.answers"), "leave it out")


def of_the_features(
    model: Model, augment: Augment, mix: Mix, data: Data
) -> Iterator[Contradiction]:
    """Views that would not stay what they are."""
    frozen = any(not each.until and "backbone" in each.parts for each in model.freeze)
    for text, wrong, other, help in (
        ("a backbone that learns has no features to keep", not frozen, "model.freeze", FROZEN),
        ("features cannot be mixed as images are", mix.on, "mix", "mixup: 0, cutmix: 0"),
        ("these features are of one size", bool(data.smaller), "data.smaller", "leave it out"),
        ("views come round again", isinstance(augment, Curriculum), "augment.kind", "one stage"),
    ):
        if model.feature_views and wrong:
            yield Contradiction("model.feature_views", text, (other,), help)


def of_timms(model: Timm, size: int) -> Iterator[Contradiction]:
    """What timm says of its models."""
    if model.pretrained and (refusal := timm_models.refusal_of_weights(model.name)):
        yield Contradiction("model.pretrained", refusal[0], ("model.name",), refusal[1])
    for option in ("drop_rate", "drop_path_rate"):
        refusal = timm_models.refusal_of_option(model.name, option)
        if getattr(model, option) and refusal:
            yield Contradiction(f"model.{option}", refusal[0], ("model.name",), refusal[1])
    if refusal := refusal_of_size(model, size):
        yield Contradiction("data.img_size", refusal[0], ("model.name",), refusal[1])


def of_the_answers(model: Model, loss: Loss, source: Source) -> Iterator[Contradiction]:
    """Heads for parts that the classes do not have, losses for heads that are not there."""
    whole = isinstance(source, Mask) and source.task == "all"
    if model.answers == "parts" and not whole:
        text = "only the classes of the mask layout have parts: mask, gender and age"
        help = "write data.source.kind: mask and task: all, or answers: classes"
        yield Contradiction("model.answers", text, ("data.source",), help)
    if isinstance(loss, Heads) and model.answers != "parts":
        text = "this model has one head"
        yield Contradiction("loss.kind", text, ("model.answers",), "write model.answers: parts")


def losses(loss: Loss) -> dict[str, Loss]:
    """All losses of which one is made, by their keys."""
    parts: dict[str, Loss] = {"loss": loss}
    if isinstance(loss, Heads):
        heads = {"mask": loss.mask, "gender": loss.gender, "age": loss.age}
        parts = {f"loss.{name}.loss": head.loss for name, head in heads.items()}
    for key, each in list(parts.items()):
        if isinstance(each, Sum):
            parts |= {f"{key}.parts.{n}.loss": part.loss for n, part in enumerate(each.parts)}
    return parts


def of_the_margin(loss: Loss, model: Model, mix: Mix) -> Iterator[Contradiction]:
    """An angle needs directions, and one true class."""
    for key, part in losses(loss).items():
        if not isinstance(part, ArcFace):
            continue
        if not isinstance(model.head, Directional):
            text, help = "arcface needs a head of directions", "write model.head.kind: cosine"
            yield Contradiction(f"{key}.kind", text, ("model.head.kind",), help)
        elif model.head.scale != part.scale:
            text = f"model.head.scale is {model.head.scale:g}, and here is {part.scale:g}"
            help = f"write {model.head.scale:g}"
            yield Contradiction(f"{key}.scale", text, ("model.head.scale",), help)
        if mix.on:
            text = "arcface wants one class an image, mixup and cutmix give it two"
            yield Contradiction(f"{key}.kind", text, ("mix.mixup", "mix.cutmix"), "leave mix out")


def of_the_loss(loss: Loss, source: Source) -> Iterator[Contradiction]:
    """Distances between classes that stand in no order."""
    if not isinstance(source, Mask) or source.task == "age":
        return
    for key, part in losses(loss).items():
        if key.startswith("loss.age."):
            continue
        if isinstance(part, MeanSquares | Ordinal):
            text = f"{part.kind} is for classes in an order, those of task {source.task} have none"
            help = "write task: age, or another loss"
            yield Contradiction(f"{key}.kind", text, ("data.source.task",), help)


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


def refusal_of_size(model: Model, size: int) -> timm_models.Refusal | None:
    """Why the model does not take such images, as far as that is known without it."""
    known = isinstance(model, Timm) and not model.options
    return timm_models.refusal_of_size(model.name, size) if known else None


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
    every = augment.stages if isinstance(augment, Curriculum) else ()
    batched = any(isinstance(each, Batched) for each in (augment, *(s.augment for s in every)))
    if batched and isinstance(data.pixels, Files):
        text = "batched augmentation takes its pixels from the cache, not from files"
        yield Contradiction("data.pixels.kind", text, ("augment.kind",), "write kind: cache")


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


def of_the_vote(predict: Predict) -> Iterator[Contradiction]:
    """Ways to count voices that exclude each other."""
    if predict.ties == "rare" and predict.vote != "hard":
        text = f"only a hard vote has ties, and this one is {predict.vote}"
        yield Contradiction("predict.ties", text, ("predict.vote",), "write vote: hard")
    if predict.tune_priors and predict.vote != "soft":
        text = f"classes are weighed by their mean probability, and this vote is {predict.vote}"
        yield Contradiction("predict.tune_priors", text, ("predict.vote",), "write vote: soft")
    if predict.search_weights and predict.vote != "soft":
        text = f"weights are searched for the mean probability, and this vote is {predict.vote}"
        yield Contradiction("predict.search_weights", text, ("predict.vote",), "write vote: soft")
    if predict.search_weights and predict.weights:
        text = "weights are either given or searched"
        yield Contradiction("predict.search_weights", text, ("predict.weights",), "leave one out")


def of_the_tracking(track: Track) -> Iterator[Contradiction]:
    """Weights for somebody who is not told; one who is told twice."""
    if track.weights and track.to and "wandb" not in track.to:
        text = f"only W&B takes weights, and to names {', '.join(track.to)}"
        yield Contradiction("track.weights", text, ("track.to",), "write to: [wandb]")
    if len(set(track.to)) < len(track.to):
        yield Contradiction("track.to", "each may be named once")


FIXED = ("name", "note", "notify", "evaluate", "track", "search")


def of_the_search(search: Search, epochs: int) -> Iterator[Contradiction]:
    """Ranges without anything in them, and keys that tell no trials apart."""
    for number, axis in enumerate(search.space):
        place = f"search.space.{number}"
        if axis.key in {other.key for other in search.space[:number]}:
            yield Contradiction(f"{place}.key", f"{axis.key} varies twice", (), "leave one out")
        if axis.key.split(".")[0] in FIXED:
            text = f"trials that differ in {axis.key} cannot be compared by what they learn"
            yield Contradiction(f"{place}.key", text)
        if isinstance(axis, Choice):
            if len(axis.of) < 2:
                yield Contradiction(f"{place}.of", "a choice is between two or more")
        elif axis.low >= axis.high:
            text = f"the range must go from low to high, got {axis.low:g} to {axis.high:g}"
            yield Contradiction(f"{place}.high", text, (f"{place}.low",))
        elif axis.log and axis.low <= 0:
            yield Contradiction(f"{place}.low", "log is for numbers above 0", (f"{place}.log",))
        elif isinstance(axis, Range) and axis.log and axis.step:
            text = "log and step exclude each other"
            yield Contradiction(f"{place}.step", text, (f"{place}.log",), "leave one out")
    if search.prune_from >= epochs and search.space:
        text = f"trials of {epochs} epochs end before they could be given up"
        yield Contradiction("search.prune_from", text, ("train.epochs",))
