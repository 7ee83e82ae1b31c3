"""What no single key of a config can know to be wrong: two parts that are right alone."""

from collections.abc import Iterator
from typing import NamedTuple

from schemas import timm_models
from schemas.components.augment import Augment, Mix, TimmAugment
from schemas.components.data import Data, KFold
from schemas.components.loop import Loop
from schemas.components.model import Timm
from schemas.components.optim import Cosine


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


def of_the_rates(schedule: Cosine, epochs: int, peak: float) -> Iterator[Contradiction]:
    """A schedule that does not fit into the run, or goes up where it should go down."""
    if schedule.warmup_epochs >= epochs:
        text = f"the warm-up must be shorter than the run of {epochs} epochs"
        yield Contradiction("schedule.warmup_epochs", text, ("train.epochs",))
    if schedule.warmup_epochs > 0 and schedule.warmup_lr > peak:
        text = f"the warm-up must start at or below optim.lr, which is {peak:g}"
        others = ("optim.lr", "schedule.warmup_epochs")
        yield Contradiction("schedule.warmup_lr", text, others)
    if schedule.min_lr > peak:
        text = f"the cosine must end at or below optim.lr, which is {peak:g}"
        yield Contradiction("schedule.min_lr", text, ("optim.lr",))


def of_the_model(model: Timm, size: int) -> Iterator[Contradiction]:
    """What timm would refuse when it builds the model."""
    if model.pretrained and model.weights:
        text = "pretrained and weights exclude each other"
        yield Contradiction("model.weights", text, ("model.pretrained",), "keep one of them")
    if model.pretrained and (refusal := timm_models.refusal_of_weights(model.name)):
        yield Contradiction("model.pretrained", refusal[0], ("model.name",), refusal[1])
    for option in ("drop_rate", "drop_path_rate"):
        refusal = timm_models.refusal_of_option(model.name, option)
        if getattr(model, option) and refusal:
            yield Contradiction(f"model.{option}", refusal[0], ("model.name",), refusal[1])
    if refusal := timm_models.refusal_of_size(model.name, size):
        yield Contradiction("data.img_size", refusal[0], ("model.name",), refusal[1])


def of_the_crops(augment: Augment) -> Iterator[Contradiction]:
    """Ranges that run backwards, and crops larger than the image."""
    if isinstance(augment, TimmAugment):
        for key in ("scale", "ratio"):
            low, high = getattr(augment, key)
            if low > high:
                text = f"the range must go from low to high, got {low:g} to {high:g}"
                yield Contradiction(f"augment.{key}", text, (), f"write [{high:g}, {low:g}]")
        if augment.scale[1] > 1:
            text = f"a crop cannot be larger than the image, got {augment.scale[1]:g}"
            yield Contradiction("augment.scale", text)
