"""Runs for the trainer's tests: tiny configs, orders in run folders, attempts in this process."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from schemas.config import TrainConfig
from schemas.events import ExitCode, Line, Order
from schemas.result import Result
from schemas.rundir import AttemptDir, RunDir
from schemas.writing import dump
from trainer import checkpoint
from trainer.data import sources, split
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.learn import model
from trainer.report import EventFile, Report, Sink

os.environ["OMP_NUM_THREADS"] = "1"  # tiny tensors gain nothing from threads that wait for a core
torch.set_num_threads(1)

TINY: dict[str, Any] = {
    "model": {"name": "test_vit"},
    "data": {"img_size": 32, "batch_size": 4, "workers": 0},
    "train": {"epochs": 3, "log_every": 2},
}


def tiny(**changes: Any) -> TrainConfig:
    """A config that trains in a blink; `changes` are keys with `__` for the dot."""
    tree = {name: dict(section) for name, section in TINY.items()}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            tree.setdefault(section, {})[name] = value
        else:
            tree[section] = value
    return TrainConfig.model_validate(tree)


def order_for(run: Path, data: Path, config: TrainConfig, **more: Any) -> Order:
    """The run's folder with one more attempt in it, and the order to fill that."""
    run_dir = RunDir(run)
    run.mkdir(exist_ok=True)
    run_dir.config.write_bytes(dump(config.canonical()))
    number = 1 + sum(1 for _ in run_dir.attempts.glob("*"))
    attempt = run_dir.make_attempt(f"{number}-{number:08x}")
    return Order(
        run=run.name,
        token=attempt.path.name,
        run_dir=str(run),
        attempt_dir=str(attempt.path),
        data_root=str(data),
        **more,
    )


def folder_of(order: Order) -> AttemptDir:
    return RunDir(Path(order.run_dir)).attempt(order.token)


def result_of(order: Order) -> Result:
    return Result.model_validate_json(folder_of(order).result.read_text())


def judged(weights: Path, config: TrainConfig, data: Path) -> tuple[list[float], int]:
    """The loss on every validation image, one by one, and how many were guessed right."""
    images = sources.read(config.data, data)
    net = model.build(config.model, images.classes, config.data.img_size, data, config.seed)
    net.load_state_dict(checkpoint.read(weights).weights)
    net.eval()
    size = (3, config.data.img_size, config.data.img_size)
    look = resolve_model_data_config(net) | {"input_size": size}
    see = create_transform(**look, is_training=False)  # timm's own, to normalised numbers
    losses, right = [], 0
    for index in split.divide(images, config.data.split, config.seed).validate:
        with Image.open(images.paths[index]) as file, torch.inference_mode():
            logits = net(see(file.convert("RGB"))[None])
        right += int(logits.argmax() == images.targets[index])
        losses.append(F.cross_entropy(logits, torch.tensor([images.targets[index]])).item())
    return losses, right


class LeaveAt(Leave):
    """A wish to leave that is there from a step on."""

    def __init__(self, report: Report, step: int) -> None:
        super().__init__()
        self.report, self.step = report, step

    def check(self) -> None:
        if self.report.progress.step >= self.step:
            self.ask("the test")
        super().check()


def leaves(order: Order, step: int) -> None:
    """An attempt that is asked to leave at a step, and does."""
    report = Report([])
    execute(order, report, LeaveAt(report, step))
    assert (result_of(order).exit_code, result_of(order).step) == (ExitCode.SAVED, step)


def train(order: Order, *sinks: Sink, leave: Leave | None = None) -> Result:
    """An attempt in this process, from its order to its result."""
    execute(order, Report([EventFile(folder_of(order).events), *sinks]), leave or Leave())
    return result_of(order)


def interrupted(order: Order, kind: type[Line], number: int) -> Result:
    """An attempt that is asked to leave at the so-manieth line of a kind."""
    leave, left = Leave(), [number]

    def ask(line: Line) -> None:
        left[0] -= isinstance(line, kind)
        if left[0] == 0:
            leave.ask("the test")

    return train(order, ask, leave=leave)


class LeaveAtCheck(Leave):
    """A wish to leave that is there from the so-manieth look on."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.ask("the test")
        super().check()


def newest(order: Order) -> Path:
    """The last checkpoint that its attempt left."""
    return max(folder_of(order).checkpoints.glob("step-*"), key=checkpoint.step_of)
