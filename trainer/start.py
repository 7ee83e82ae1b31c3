"""Where an attempt begins: at step 0, where an attempt of the same run was, or from another run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.config import TrainConfig
from schemas.events import Order
from schemas.run import Best
from schemas.rundir import RunDir
from trainer import checkpoint, model
from trainer.checkpoint import Checkpoint, Shelf
from trainer.data.plan import Plan
from trainer.learner import Learner
from trainer.loop import State

LOG = logging.getLogger(__name__)

# a key here changes which images validate: the old weights may have learnt from them
HONESTY = ("seed", "data.source", "data.split")
# a key here changes what a step is, so a position in the old run means nothing in the new one
POSITION = ("data.batch_size", "data.img_size")


@dataclass(frozen=True, slots=True)
class Start:
    """What to begin with. `exact`: at the very position; otherwise only the weights are taken."""

    folder: Path
    found: Checkpoint
    exact: bool


def choose(
    order: Order, run: RunDir, config: TrainConfig, plan: Plan, alive: Callable[[], None]
) -> Start | None:
    """The checkpoint to begin with; None for step 0. The log says which, and why."""
    if order.resume:
        return resume(Path(order.resume), run, alive)
    if order.init_from:
        return take_over(Path(order.init_from), config, plan)
    return None


def resume(named: Path, run: RunDir, alive: Callable[[], None]) -> Start | None:
    """The named checkpoint of this run, or the newest whole one that is not ahead of it."""
    others = (
        folder
        for folder in checkpoint.newest(run, up_to=checkpoint.step_of(named))
        if folder != named
    )
    for folder in (named, *others):
        alive()
        if why := checkpoint.damage(folder):
            LOG.warning("checkpoint %s is damaged: %s", folder, why)
            continue
        found = checkpoint.read(folder)
        LOG.info("goes on from step %s (%s)", found.meta["step"], run.relative(folder))
        return Start(folder, found, exact=True)
    LOG.warning("no checkpoint is whole: starts from step 0")
    return None


def take_over(folder: Path, config: TrainConfig, plan: Plan) -> Start | None:
    """A retry begins where the old run stopped, as far as the changed keys allow."""
    if why := checkpoint.damage(folder):
        LOG.warning("checkpoint %s is damaged: %s; starts from step 0", folder, why)
        return None
    found = checkpoint.read(folder)
    old, new = found.meta["config"], config.canonical()
    if changed := [key for key in HONESTY if pick(old, key) != pick(new, key)]:
        LOG.info("starts from step 0: %s changed, so its images are split anew", changed[0])
        return None
    if old["model"]["name"].split(".")[0] != config.model.name.split(".")[0]:
        LOG.info("starts from step 0: the old weights are of %s", old["model"]["name"])
        return None
    reason = inexact(found, old, new, plan)
    if reason:
        LOG.info("starts from the weights of %s, at step 0: %s", folder, reason)
    else:
        LOG.info("goes on from step %s of %s", found.meta["step"], folder)
    return Start(folder, found, exact=not reason)


def inexact(found: Checkpoint, old: dict[str, Any], new: dict[str, Any], plan: Plan) -> str:
    """Why the old position means nothing here; empty when it can be taken up."""
    changed = [key for key in POSITION if pick(old, key) != pick(new, key)]
    if changed:
        return f"{changed[0]} changed"
    if found.state is None:
        return "it holds only weights"
    return "" if found.meta["step"] < plan.steps else "it is past this run's end"


def pick(config: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def begin(start: Start | None, learner: Learner, state: State, shelf: Shelf, metric: str) -> None:
    """Put weights, memory and bookkeeping in place."""
    if start is None:
        return
    if not start.exact or start.found.state is None:
        LOG.info("took over %s", model.fit(learner.model, start.found.weights, start.folder.name))
        return
    learner.restore(start.found.weights, start.found.state)
    state.tally.set(start.found.state["tally"])
    meta = start.found.meta
    state.step, state.epoch, state.rows = meta["step"], meta["epoch"], meta["rows"]
    best = meta["best"]
    if best and best["metric"] == metric:
        best_weights = start.folder.with_name(f"best-{meta['best_step']}")
        state.best = Best(**best) if shelf.adopt_best(best_weights) else None
