"""Where an attempt begins: at step 0, where an attempt of the same run was, or from another run."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.components.loop import Evaluate
from schemas.config import TrainConfig
from schemas.events import Order
from schemas.run import Best
from schemas.rundir import RunDir
from schemas.takeover import HONESTY, Takeover, takeover
from trainer import checkpoint
from trainer.checkpoint import Checkpoint, Shelf
from trainer.data.plan import Plan
from trainer.faults import DataFault
from trainer.learn import model
from trainer.learn.learner import Learner
from trainer.state import State

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What to begin with. `exact`: at the very position; otherwise only the weights are taken.

    Another run's bad losses do not count: the retry may have mended what made them.
    """

    folder: Path
    found: Checkpoint
    exact: bool
    other_run: bool = True

    @property
    def origin(self) -> str:
        """Of the weights that it all began with; older checkpoints do not say."""
        return str(self.found.meta.get("origin", ""))


def choose(
    order: Order, config: TrainConfig, plan: Plan, data: str, alive: Callable[[], None]
) -> Start | None:
    """The checkpoint to begin with; None for step 0. The log says which, and why."""
    if order.resume:
        return resume(Path(order.resume), RunDir(Path(order.run_dir)), data, alive)
    if order.init_from:
        return take_over(Path(order.init_from), config, plan, data)
    return None


def resume(named: Path, run: RunDir, data: str, alive: Callable[[], None]) -> Start | None:
    """The named checkpoint of this run, else the newest whole one that is not ahead of it; a whole
    one that is ahead is as good: its attempt could not tell of it, or has pruned what it told.
    """
    behind = checkpoint.newest(run, up_to=checkpoint.step_of(named))
    for folder in dict.fromkeys((named, *behind, *checkpoint.newest(run))):
        alive()
        if why := checkpoint.damage(folder):
            LOG.warning("checkpoint %s is damaged: %s", folder, why)
            continue
        try:
            found = checkpoint.read(folder)
        except OSError as error:  # gone between the two looks
            LOG.warning("checkpoint %s cannot be read: %s", folder, error)
            continue
        if found.meta["data"] != data:
            raise DataFault(
                "the table of images is not the one that this run began with",
                fix="restore it, or begin anew: publisher retry --fresh",
            )
        LOG.info("goes on from step %s (%s)", found.meta["step"], run.relative(folder))
        return Start(folder, found, exact=True, other_run=False)
    LOG.warning("no checkpoint is whole: starts from step 0")
    return None


def take_over(folder: Path, config: TrainConfig, plan: Plan, data: str) -> Start | None:
    """A retry begins where the old run stopped, as far as the changed keys allow."""
    if why := checkpoint.damage(folder):
        LOG.warning("checkpoint %s is damaged: %s; starts from step 0", folder, why)
        return None
    found = checkpoint.read(folder)
    much, key = takeover(found.meta["config"], config.canonical())
    if reason := useless(found.meta, much, key, data):
        LOG.info("starts from step 0, without the old weights: %s", reason)
        return None
    if reason := inexact(found, much, key, plan):
        LOG.info("starts from the weights of %s, at step 0: %s", folder, reason)
        return Start(folder, found, exact=False)
    LOG.info("goes on from step %s of %s", found.meta["step"], folder)
    return Start(folder, found, exact=True)


def useless(meta: dict[str, Any], much: Takeover, key: str, data: str) -> str:
    """Why old weights cannot be used; empty when they can."""
    if much is Takeover.NOTHING and key in HONESTY:
        return f"{key} changed, and with it the images that validate"
    if meta["data"] != data:
        return "the table of images changed, and with it the images that validate"
    if much is Takeover.NOTHING:
        return f"{key} changed, they are of {meta['config']['model']['name']}"
    return ""


def inexact(found: Checkpoint, much: Takeover, key: str, plan: Plan) -> str:
    """Why the old position means nothing here; empty when it can be taken up."""
    if much is Takeover.WEIGHTS:
        return f"{key} changed"
    if found.state is None:
        return "it holds only weights"
    return "" if found.meta["step"] < plan.steps else "it is past this run's end"


def begin(start: Start, learner: Learner, state: State, shelf: Shelf, evaluate: Evaluate) -> None:
    """Put weights, memory and bookkeeping in place."""
    if not start.exact or start.found.state is None:
        LOG.info("took over %s", model.fit(learner.model, start.found.weights, start.folder.name))
        return
    learner.restore(start.found.weights, start.found.state)
    total, counted, *bad = start.found.state["tally"]
    state.tally.set([total, counted, *([0] * len(bad) if start.other_run else bad)])
    meta = start.found.meta
    state.step, state.epoch, state.rows = meta["step"], meta["epoch"], meta["rows"]
    learner.heed(state.rows)
    state.seconds = meta.get("seconds", 0.0)  # older checkpoints do not say
    for best, step in list(zip(*tops(meta), strict=True))[: evaluate.keep]:
        weights = start.folder.with_name(f"best-{step}")
        if best["metric"] == evaluate.metric and shelf.adopt_best(weights):
            state.top.append(Best(**best))


def tops(meta: dict[str, Any]) -> tuple[list[dict[str, Any]], list[int]]:
    """The best epochs of a checkpoint and their steps; older ones know of one."""
    if "top" in meta:
        return meta["top"], meta["top_steps"]
    return ([meta["best"]], [meta["best_step"]]) if meta["best"] else ([], [])
