"""One model from the mean of several models' weights (Wortsman et al., 2022): as fast as one of
them. It makes sense only where all of them went out from the same first weights.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import resolve_model_data_config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from schemas.config import TrainConfig
from schemas.errors import UsageError
from schemas.events import ExitCode
from schemas.result import Result
from schemas.run import Best, new_nonce
from schemas.rundir import RunDir, RunsRoot, write_atomic
from schemas.takeover import HONESTY, SHAPE, meant
from schemas.writing import dump
from trainer import checkpoint, machine, randomness
from trainer.answer import finished, predict
from trainer.answer.finished import Finished
from trainer.checkpoint import Checkpoint
from trainer.data import check, course, loader, pixels, sources, split
from trainer.data.images import Images
from trainer.data.split import Parts
from trainer.data.transforms import Normal
from trainer.judge import predictions
from trainer.judge.predictions import Predictions
from trainer.learn.model import Weights

STATISTICS_FROM = 4096  # training images by which BatchNorm learns a soup's statistics
WHY = "the mean of weights means something only where all began with the same ones"

Alive = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kitchen:
    """The images that ingredients learnt from and validated, and where things are."""

    images: Images
    parts: Parts
    cache_root: Path
    alive: Alive


@dataclass(frozen=True, slots=True)
class Dish:
    """A model, of whom it is the mean, and what it said of images that none had learnt from."""

    of: tuple[Finished, ...]
    weights: Weights
    said: Predictions | None

    def score(self, metric: str) -> float:
        """By which the greedy recipe decides."""
        if self.said is None:
            raise UsageError("nothing to judge a soup by")
        values, _ = self.said.scored()
        return values.get(metric, values["accuracy"])


def ingredient(path: Path) -> Finished:
    """A finished run's best weights, or a checkpoint's."""
    if not (path / checkpoint.META).is_file():
        return finished.find(path)
    if why := checkpoint.damage(path):
        raise UsageError(f"the checkpoint {path} is damaged: {why}")
    meta = json.loads((path / checkpoint.META).read_text())
    return Finished(path.resolve(), TrainConfig.model_validate(meta["config"]), meta, path)


def refuse_unlike(runs: Sequence[Finished]) -> None:
    """Weights that did not begin as the same ones have no mean that means anything."""
    first = runs[0]
    if len({run.weights.resolve() for run in runs}) < len(runs):
        given = ", ".join(run.name for run in runs)
        raise UsageError(f"the same weights are given twice: {given}", fix="name each run once")
    for run in runs:
        mine, theirs = (one.config.canonical() for one in (first, run))
        if any(meant(mine, key) != meant(theirs, key) for key in SHAPE):
            names = first.config.model.name, run.config.model.name
            said = f"{first.name} is a {names[0]}, {run.name} a {names[1]}"
            raise UsageError(said, fix=WHY)
        if run.classes != first.classes:
            raise UsageError(f"{first.name} and {run.name} know different classes")
        if not run.meta.get("origin"):
            raise UsageError(f"{run.name} does not say with which weights it began", fix=WHY)
        if run.meta["origin"] != first.meta["origin"]:
            raise UsageError(
                f"{first.name} and {run.name} began with different weights{because(first, run)}",
                fix=f"{WHY}; let runs vote instead: trainer predict RUN...",
            )


def because(one: Finished, other: Finished) -> str:
    """What made the first weights differ, as far as the configs show it."""
    for key in ("seed", "model.weights", "model.pretrained"):
        mine, theirs = (meant(run.config.canonical(), key) for run in (one, other))
        if mine != theirs:
            return f": {key} is {mine} and {theirs}"
    return ""


def same_split(runs: Sequence[Finished]) -> bool:
    """Whether all of them learnt from the same images, so that the others judge honestly."""

    def cut(run: Finished) -> list[Any]:
        tree = run.config.canonical()
        return [run.meta["data"], *(meant(tree, key) for key in HONESTY)]

    return all(cut(run) == cut(runs[0]) for run in runs)


def kitchen(run: Finished, data_root: Path, shared: RunsRoot, cache: Path, alive: Alive) -> Kitchen:
    """The images of the first ingredient's config."""
    data = run.config.data
    look = pixels.look(data, cache)
    found = check.checked(sources.read(data, data_root), data.on_bad, shared, alive, look)
    parts = split.divide(found, data.split, run.config.seed, data_root)
    return Kitchen(found, parts, cache, alive)


# ---- recipes -------------------------------------------------------------------------------------


def uniform(runs: Sequence[Finished], place: Kitchen) -> Dish:
    """The mean of all of them."""
    return cooked(runs, place, judge=same_split(runs))


def greedy(runs: Sequence[Finished], place: Kitchen) -> tuple[Dish, list[Dish]]:
    """The best one, then each of the others, best first, that does not make it worse."""
    if not same_split(runs):
        raise UsageError(
            "a greedy soup is chosen by images that none of its runs had learnt from, and these "
            "runs were not cut by the same split",
            fix="give runs of one split and seed, or leave --greedy out",
        )
    metric = runs[0].config.evaluate.metric
    alone = [cooked([run], place, judge=True) for run in runs]
    order = sorted(alone, key=lambda dish: dish.score(metric), reverse=True)
    best = order[0]
    for dish in order[1:]:
        tried = cooked([*best.of, *dish.of], place, judge=True)
        if tried.score(metric) >= best.score(metric):
            best = tried
    return best, alone


def cooked(runs: Sequence[Finished], place: Kitchen, *, judge: bool) -> Dish:
    """A soup of these, with statistics of its own, and what it says."""
    net = runs[0].net()
    net.load_state_dict(mean([checkpoint.read(run.weights).weights for run in runs]))
    if len(runs) > 1:
        relearn_statistics(net, runs[0], place)
    weights = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    return Dish(tuple(runs), weights, judged(net, runs[0], place) if judge else None)


def mean(weights: Sequence[Weights]) -> Weights:
    """Of every tensor of numbers; a count, such as BatchNorm's of batches, stays the first's."""
    together: Weights = {}
    for name, first in weights[0].items():
        if first.is_floating_point():
            total = torch.stack([each[name].double() for each in weights]).mean(0)
            together[name] = total.to(first.dtype)
        else:
            together[name] = first
    return together


def relearn_statistics(net: nn.Module, run: Finished, place: Kitchen) -> None:
    """BatchNorm's mean and variance are not the mean of those of others: count them anew."""
    if not any(isinstance(layer, _BatchNorm) for layer in net.modules()):
        return
    device, data = machine.device(), run.config.data
    machine.place(net, device)
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    by_size = course.sources(run.config, place.images, place.cache_root, place.alive)
    way, last = course.course(run.config, by_size, look), run.config.train.epochs - 1
    pictures = loader.Pictures(place.images, way, run.config.seed)
    train = place.parts.train
    chosen = train[randomness.order(run.config.seed, 0, len(train))][:STATISTICS_FROM].tolist()
    size = min(data.batch_size, len(chosen))
    batches = (
        [(last, image) for image in chosen[first : first + size]]
        for first in range(0, len(chosen) - size + 1, size)
    )
    normal = Normal(look, device, run.config.model.in_chans)
    shown = (normal(batch.to(device)) for batch, _ in loader.stream(pictures, batches, 0, device))
    update_bn(shown, net)
    net.eval()


def judged(net: nn.Module, run: Finished, place: Kitchen) -> Predictions:
    """What it says of the images that none of its ingredients had learnt from."""
    which = place.parts.validate
    said = list(predict.answers_of(run, net, place.images, which, place.cache_root, place.alive))
    true = np.array(place.images.targets)[which]
    return Predictions.of(place.images, which, true, np.concatenate(said))


# ---- a run's folder ------------------------------------------------------------------------------


def serve(dish: Dish, folder: Path) -> None:
    """The soup as a finished run, which answers, is scored and votes as any other."""
    first, run_dir = dish.of[0], RunDir(folder)
    folder.mkdir(parents=True)
    config = first.config.model_copy(update={"name": None, "note": told(dish)[:500]})
    write_atomic(run_dir.config, dump(config.canonical()))
    attempt = run_dir.make_attempt(f"1-{new_nonce()}")
    values = dish.said.scored()[0] if dish.said else {}
    metric = first.config.evaluate.metric
    best = Best(metric=metric, value=values[metric], epoch=0) if metric in values else None
    ingredients = [  # of checkpoints several may have one name
        {"run": run.name, "weights_sha256": checkpoint.checksum(run.weights / checkpoint.WEIGHTS)}
        for run in dish.of
    ]
    meta = {
        **first.meta,
        "config": config.canonical(),
        "digest": config.digest(),
        "token": attempt.path.name,
        "best": best.model_dump() if best else None,
        "rows": [],
        "soup": ingredients,
    }
    more = {predictions.VALIDATION: dish.said.packed()} if dish.said else {}
    checkpoint.write(attempt.best, Checkpoint(meta, dish.weights, more=more))
    machine.record(attempt, RunsRoot(folder), machine.device())
    weights = attempt.best / checkpoint.WEIGHTS
    facts = {"soup": ingredients, "weights": run_dir.relative(weights), "text": told(dish)}
    facts |= {"weights_sha256": checkpoint.checksum(weights)}
    result = Result(
        token=attempt.path.name,
        exit_code=ExitCode.FINISHED,
        best=best,
        metrics=values,
        facts=facts,
    )
    write_atomic(attempt.result, result.model_dump_json(indent=1).encode())


def told(dish: Dish) -> str:
    return f"the mean of the weights of {', '.join(run.name for run in dish.of)}"
