"""The search for a learning rate: one step a rate, from low to high, as a run would take them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from timm.data import resolve_model_data_config

from schemas.components.loop import Evaluate
from schemas.components.pixels import Files
from schemas.config import TrainConfig
from schemas.contradictions.augmenting import is_batched
from trainer import machine
from trainer.crew import Solo
from trainer.data import course, loader, transforms
from trainer.data.images import Images
from trainer.data.plan import Plan
from trainer.data.split import Parts
from trainer.learn import model
from trainer.learn.learner import Learner
from trainer.learn.schedule import Ours

SMOOTH = 0.9  # how much of the mean loss stays
EXPLODED = 4.0  # times the least loss
EDGES = 5  # steps at either end of the curve that say little


@dataclass(frozen=True, slots=True)
class Range:
    """Rates to try, each a part higher than the one before."""

    low: float
    high: float
    steps: int

    def at(self, step: int) -> float:
        part = min(step, self.steps - 1) / (self.steps - 1)
        return self.low * math.pow(self.high / self.low, part)


@dataclass(frozen=True, slots=True)
class Tried:
    """A rate, and the loss before it was taken: the mean of those so far, late ones first."""

    lr: float
    smooth: float


def search(
    config: TrainConfig,
    images: Images,
    parts: Parts,
    data_root: Path,
    cache_root: Path,
    wanted: Range,
) -> list[Tried]:
    """Steps of the run's own learner on the run's own batches; they end where the loss explodes."""
    machine.settle_kernels(config.train.deterministic)
    images = images.to_learn(config.model.answers)
    device, config = machine.device(), long_enough(config, parts, wanted.steps)
    plan, size = Plan.of(config, parts, Solo()), config.data.extent
    net = model.build(config.model, images.classes, size, data_root, config.seed)
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    learner = Learner(
        config,
        machine.place(net, device, config.train.compile),
        plan,
        len(images.classes),
        device=device,
        precision=machine.precision(config.train.precision, "", device),
        micro_batch=config.data.batch_size // config.train.accumulate,
        normal=transforms.Normal(look, device, config.model.in_chans),
    )
    learner.schedule = Ours(learner.optimizer, lambda step, peak: wanted.at(step))
    by_size = course.sources(config, images, cache_root, lambda what: None)
    pictures = loader.Pictures(images, course.course(config, by_size, look), config.seed)
    batches = loader.read(pictures, plan, config.data.workers, device, epoch=0, step=0)
    tried: list[Tried] = []
    mean = 0.0
    for step in range(wanted.steps):
        loss = learner.step(*next(batches), step).item()
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        smooth = mean / (1 - SMOOTH ** (step + 1))
        if not math.isfinite(loss) or exploded(tried, smooth):
            break
        tried.append(Tried(wanted.at(step), smooth))
    return tried


def long_enough(config: TrainConfig, parts: Parts, steps: int) -> TrainConfig:
    """The same, with as many epochs as it takes, none of them evaluated; no pixels are kept but
    those that batches are made from.
    """
    pixels = config.data.pixels if is_batched(config.augment) else Files()
    epochs = 2 + steps // max(1, len(parts.train) // config.data.batch_size)
    return config.model_copy(
        update={
            "train": config.train.model_copy(update={"epochs": epochs}),
            "evaluate": Evaluate(every=epochs),
            "data": config.data.model_copy(update={"pixels": pixels}),
        }
    )


def exploded(tried: Sequence[Tried], smooth: float) -> bool:
    """Whether it makes no sense to go on."""
    return bool(tried) and smooth > EXPLODED * min(each.smooth for each in tried)


def steepest(tried: Sequence[Tried]) -> float | None:
    """The rate at which the loss fell fastest on its way down; nothing where it did not fall."""
    inner = tried[EDGES:-EDGES]
    losses = [each.smooth for each in inner]
    down = losses[: losses.index(min(losses)) + 1] if losses else []
    if len(down) < 2:
        return None
    slopes = np.gradient(down)
    place = int(slopes.argmin())
    return inner[place].lr if slopes[place] < 0 else None
