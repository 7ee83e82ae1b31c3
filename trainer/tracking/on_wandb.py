"""A run on W&B: one run there for one run here, whichever attempt tells of it."""

import logging
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from schemas.events import ExitCode
from schemas.surroundings import read_wandb
from trainer.tracking import sights
from trainer.tracking.told import Begun, Ended, Rows, Shown, Sight, Told

LOG = logging.getLogger(__name__)
SERVER = "https://api.wandb.ai"
PROBE_S = 3.0
INIT_S = 20.0  # W&B's own patience is 90 s
CHART = 100  # classes: W&B draws no larger table


class OnWandb:
    """What W&B is told; whatever it raises is for the process to die of."""

    def __init__(self, attempt: Path, env: Mapping[str, str], why: str = "") -> None:
        """With a reason only into files."""
        self.attempt, self.env, self.why = attempt, env, why
        self.run: Any = None
        self.step = 0  # the newest: W&B takes nothing for one before

    def take(self, told: Told) -> None:
        """One line."""
        if isinstance(told, Begun):
            self.begin(told)
        elif self.run is None:
            return
        elif isinstance(told, Rows):
            for row in told.rows:
                if (
                    epoch := int(row["epoch"])
                ) >= self.run.starting_step:  # it has the others already
                    self.log(row, epoch)
        elif isinstance(told, Sight):
            if told.epoch >= self.run.starting_step:
                logged = {sights.called(name, told): each for name, each in charts(told).items()}
                self.log(logged, told.epoch)
        else:
            self.end(told)

    def log(self, values: Mapping[str, Any], epoch: int) -> None:
        self.step = max(self.step, epoch)
        self.run.log(values, step=self.step)

    def begin(self, begun: Begun) -> None:
        """Online if it can be, else into files that `wandb sync` sends later."""
        mode, why = ("offline", self.why) if self.why else mode_of(self.env)
        if mode == "online":
            self.run = self.online(begun)
            mode, why = ("online", "") if self.run else ("offline", "it did not take the run")
        if mode == "offline":
            self.run = self.opened(begun, mode="offline")
            where = Path(self.run.dir).parent
            LOG.info("W&B: offline, %s; later: wandb sync %s", why, where)
        elif mode == "disabled":
            LOG.info("W&B: %s", why)
        else:
            LOG.info("W&B: %s", self.run.url)

    def online(self, begun: Begun) -> Any:
        try:
            return self.opened(begun, mode="online", resume="allow")
        except Exception as error:  # no permission, an unknown entity, a server that only answers
            LOG.warning("W&B: %s", " ".join(str(error).split())[:300])
            wandb.teardown()  # the id would be in use
            return None

    def opened(self, begun: Begun, **more: Any) -> Any:
        track = begun.track
        return wandb.init(
            project=track.project or self.env.get("WANDB_PROJECT") or "trainq",
            id=begun.id,
            name=begun.name,
            group=track.group or begun.batch or None,
            job_type=track.job_type,
            tags=track.tags or None,
            config=begun.config,
            dir=str(self.attempt),
            settings=wandb.Settings(console="off", silent=True, init_timeout=INIT_S),
            **more,
        )

    def end(self, ended: Ended) -> None:
        """With the trainer's exit code: a run that failed is no finished one."""
        if ended.best:
            self.run.summary[f"best_{ended.best.metric}"] = ended.best.value
            self.run.summary["best_epoch"] = ended.best.epoch
        if ended.weights:
            artifact = wandb.Artifact(f"weights-{self.run.id}", type="model")
            artifact.add_file(ended.weights, policy="immutable")  # no copy in a cache
            self.run.log_artifact(artifact, aliases=["best"])
        if ended.code == ExitCode.SAVED:
            self.run.mark_preempting()
        self.run.finish(exit_code=ended.code)


def mode_of(env: Mapping[str, str]) -> tuple[str, str]:
    """How to speak to W&B, and why so."""
    found = read_wandb(env, Path.home())
    if found.mode == "disabled":
        return "disabled", "disabled by WANDB_MODE"
    if found.mode in ("offline", "dryrun"):
        return "offline", "as WANDB_MODE says"
    if not (found.key or found.login):
        return "offline", "there is no WANDB_API_KEY and no login"
    if why := unreachable(env.get("WANDB_BASE_URL") or SERVER):
        return "offline", why
    return "online", ""


def unreachable(url: str) -> str:
    """Why the server cannot be spoken to; empty when it answers anything sensible in time."""
    try:
        with urllib.request.urlopen(url, timeout=PROBE_S):
            return ""
    except urllib.error.HTTPError as error:
        return f"the server answers {error.code}" if error.code >= 500 else ""
    except OSError as error:
        return f"no server: {error}"


def charts(sight: Sight) -> dict[str, Any]:
    """The evaluation's pictures as W&B shows them."""
    logged: dict[str, Any] = {}
    if sight.cells and len(sight.classes) <= CHART:
        logged["confusion"] = wandb.plot.confusion_matrix(
            y_true=[true for true, _, number in sight.cells for _ in range(number)],
            preds=[answer for _, answer, number in sight.cells for _ in range(number)],
            class_names=list(sight.classes),
            title="Confusion matrix",
        )
    elif sight.cells:
        logged["confusion"] = wandb.Image(sights.matrix(sight))
    if sight.wrong:
        logged["wrong"] = [
            wandb.Image(sights.picture(each.path), caption=line(each), file_type="jpg")
            for each in sight.wrong
        ]
    if sight.grid:
        grid = sights.together(f"epoch {sight.epoch}", sight.grid)
        logged["grid"] = wandb.Image(grid, file_type="jpg")
    return logged


def line(shown: Shown) -> str:
    return f"{shown.name}: {sights.words(shown)}"
