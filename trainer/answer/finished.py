"""A finished run as it lies on the disk: its config, its classes and its best weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from schemas.config import TrainConfig
from schemas.rundir import RunDir
from schemas.source import load
from trainer import checkpoint
from trainer.faults import DataFault
from trainer.judge.folders import finished_attempt
from trainer.learn import nets
from trainer.learn.model import bare


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
        net = nets.create(bare(self.config.model), len(self.classes), self.config.data.extent)
        net.load_state_dict(checkpoint.read(self.weights).weights)
        return net.eval()


def find(folder: Path) -> Finished:
    """The finished run of a folder."""
    return at(folder, finished_attempt(folder).best)


def at(folder: Path, best: Path) -> Finished:
    """The run of a folder, with these weights."""
    run_dir = RunDir(folder.resolve())
    if why := checkpoint.damage(best):
        what = f"the best weights of {folder} are damaged: {why}"
        raise DataFault(what, fix="restore them, or train the run again")
    meta = json.loads((best / checkpoint.META).read_text())
    return Finished(run_dir.path, load(run_dir.config).config, meta, best)
