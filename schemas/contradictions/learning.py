"""Steps, rates and losses: keys that are right alone and wrong together."""

from collections.abc import Iterator

from schemas import timm_optimizers
from schemas.components.augment import Mix
from schemas.components.loop import Loop
from schemas.components.loss import ArcFace, Heads, Loss, MeanAbsolute, MeanSquares, Ordinal, Sum
from schemas.components.model import Directional, Model
from schemas.components.optim import Named, Optim, Sgd
from schemas.components.schedule import MultiStep, OneCycle, Restarts, Schedule
from schemas.components.sources import Mask, Source
from schemas.contradictions.contradiction import Contradiction


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


def of_the_compiler(train: Loop, model: Model) -> Iterator[Contradiction]:
    """Kernels for what is run once."""
    if train.compile and model.feature_views:
        text = "of features that are computed once nothing is left to compile"
        yield Contradiction("train.compile", text, ("model.feature_views",), "leave it out")


def of_the_optimizer(optim: Optim) -> Iterator[Contradiction]:
    """A look ahead along nothing, options that an optimizer does not have."""
    if isinstance(optim, Named):
        for option, value in optim.options.items():
            if refusal := timm_optimizers.refusal_of_option(optim.name, option, value):
                key = f"optim.options.{option}"
                yield Contradiction(key, refusal[0], ("optim.name",), refusal[1])
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
        if isinstance(part, MeanSquares | MeanAbsolute | Ordinal):
            text = f"{part.kind} is for classes in an order, those of task {source.task} have none"
            help = "write task: age, or another loss"
            yield Contradiction(f"{key}.kind", text, ("data.source.task",), help)
