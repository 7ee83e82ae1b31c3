"""A finished run as it lies on the disk: its config, its classes and its best weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from schemas.config import TrainConfig
from schemas.errors import NotFound
from schemas.events import ExitCode
from schemas.rundir import RunDir
from schemas.source import load
from trainer import checkpoint, model
from trainer.faults import DataFault
from trainer.start import bare


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run has left."""

    folder: Path
    config: TrainConfig
    meta: dict[str, Any]
    weights: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.meta["classes"])

    def net(self) -> nn.Module:
        """A model of its own with these weights: no two runs share one."""
        net = model.create(bare(self.config.model), len(self.classes), self.config.data.img_size)
        net.load_state_dict(checkpoint.read(self.weights).weights)
        return net.eval()


def find(folder: Path) -> Finished:
    """The finished run of a folder."""
    run_dir = RunDir(folder.resolve())
    if not run_dir.config.is_file():
        raise NotFound(f"{folder} is no run's folder", fix="name a folder below TRAINQ_RUNS")
    for result in sorted(run_dir.attempts.glob("*/result.json"), reverse=True):
        attempt = run_dir.attempt(result.parent.name)
        if json.loads(result.read_text())["exit_code"] == ExitCode.FINISHED:
            if why := checkpoint.damage(attempt.best):
                raise DataFault(f"the best weights of {folder} are damaged: {why}")
            meta = json.loads((attempt.best / checkpoint.META).read_text())
            return Finished(run_dir.path, load(run_dir.config).config, meta, attempt.best)
    raise NotFound(f"the run in {folder} has not finished", fix="only finished runs have weights")
