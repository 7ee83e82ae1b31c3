"""`make bench`, third part: what its checkpoints cost a run that goes on meanwhile.

One run a model, with AdamW's memory and an average, that saves every few seconds. A save costs the
time by which the steps from its beginning to its last byte took longer than steps do: the copy for
which the run stands still, and then the cores and the disk that it shares. Exits with 1 when that
is over 1% of the time between saves, where a config says nothing of it.

    python benchmarks/saving.py [SAVES]
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from PIL import Image
from throughput import refuse_load

import trainer.run
from schemas.components.loop import Loop as Spec
from schemas.config import TrainConfig
from schemas.events import ExitCode, Order
from schemas.rundir import RunDir
from schemas.writing import dump
from trainer import checkpoint
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.loop import Loop
from trainer.report import Report

MODELS = ("resnet18", "efficientnet_b0")
SAVES, BETWEEN_S = 9, 6.0
IMAGES, CLASSES, SIZE, BATCH = 96, 4, 128, 8
EVERY_S = (Spec().save_every_s, 30.0)  # by default, and often
LIMIT = 0.01  # of the time between saves, by default
ENDLESS = 100_000  # epochs, of which only the last would be evaluated
THIS = str(Path(__file__).resolve())


def main() -> None:
    saves = int(sys.argv[1]) if sys.argv[1:] else SAVES
    shares = "".join(f" of {every:.0f} s |" for every in EVERY_S)
    print(f"| a checkpoint of | MB | stands still | costs | spread |{shares}")
    print(f"|---|---|---|---|---|{'---|' * len(EVERY_S)}", flush=True)
    dear = []
    for model in MODELS:
        refuse_load()
        words = [sys.executable, THIS, "one", model, str(saves)]
        found = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
        cost = statistics.median(found["costs"])
        told = " | ".join(f"{cost / every:.2%}" for every in EVERY_S)
        spread = f"{min(found['costs']):.2f}-{max(found['costs']):.2f} s"
        still = statistics.median(found["stills"])
        print(
            f"| {model} | {found['mb']} | {still:.2f} s | {cost:.2f} s | {spread} | {told} |",
            flush=True,
        )
        dear += [model] if cost > LIMIT * EVERY_S[0] else []
    sys.exit(f"over {LIMIT:.0%} of the time between saves: {', '.join(dear)}" if dear else 0)


# ---- one run, in a process of its own ------------------------------------------------------------


class Tick(NamedTuple):
    """The end of a step."""

    at: float
    still: float  # for how long the run stood still before it, to save
    writes: bool  # whether the last byte of a checkpoint is still to come


class Watched(Loop):
    """A loop with a stop-watch, which leaves after enough checkpoints."""

    ticks: ClassVar[list[Tick]] = []
    saves: ClassVar[int]
    still = 0.0

    def save(self) -> None:
        began = time.perf_counter()
        super().save()
        self.still = time.perf_counter() - began

    def step(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        super().step(images, targets)
        self.ticks.append(Tick(time.perf_counter(), self.still, self.saver.busy))
        self.still = 0.0
        if sum(tick.still > 0 for tick in self.ticks) > self.saves and not self.saver.busy:
            self.leave.ask("enough")


def costs(ticks: Sequence[Tick]) -> list[float]:
    """Seconds by which the steps of each save took longer than the usual step."""
    steps = [(now.at - then.at, now.still > 0, then.writes) for then, now in pairwise(ticks)]
    others = [took for took, saves, waits in steps if not (saves or waits)]
    if not others:
        sys.exit("error: every step saw a save\n  try:   again when nothing else runs")
    usual = statistics.median(others)
    found: list[float] = []
    for took, saves, waits in steps:
        if saves:
            found.append(0.0)
        if saves or waits:
            found[-1] += took - usual
    return found


def one(model: str, saves: int) -> None:
    """Train, save, and say what that cost; the first save also makes the thread."""
    Watched.saves = saves
    trainer.run.Loop = Watched  # type: ignore[misc]
    with tempfile.TemporaryDirectory(prefix="saving") as name:
        folder = Path(name)
        order = ordered(folder, config(model))
        code = execute(order, Report([]), Leave())
        newest = next(iter(checkpoint.newest(RunDir(Path(order.run_dir)))))
        size = sum(path.stat().st_size for path in newest.iterdir())
    if code != ExitCode.SAVED:
        sys.exit(f"error: the run of {model} ended with {code}")
    stills = [tick.still for tick in Watched.ticks if tick.still]
    found = {"costs": costs(Watched.ticks)[1:], "stills": stills[1:], "mb": round(size / 1e6)}
    print(json.dumps(found))


def config(model: str) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "model": {"name": model},
            "data": {
                "source": {"kind": "folders", "root": "images"},
                "img_size": SIZE,
                "batch_size": BATCH,
                "workers": 0,
            },
            "optim": {"kind": "adamw"},
            "evaluate": {"every": ENDLESS},
            "train": {
                "epochs": ENDLESS,
                "average": {"kind": "ema"},
                "save_every_s": BETWEEN_S,
                "log_every": 1,  # the loss of every step is looked at: each has an end
            },
        }
    )


def ordered(folder: Path, what: TrainConfig) -> Order:
    """A run in this folder, on images of noise."""
    dice = np.random.default_rng(0)
    for number in range(IMAGES):
        file = folder / "images" / f"c{number % CLASSES}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(file)
    run = RunDir(folder / "run")
    run.path.mkdir()
    run.config.write_bytes(dump(what.canonical()))
    attempt = run.make_attempt("1-00000001").path
    return Order(
        run="run",
        token=attempt.name,
        run_dir=str(run.path),
        attempt_dir=str(attempt),
        data_root=str(folder),
    )


if __name__ == "__main__":
    one(sys.argv[2], int(sys.argv[3])) if sys.argv[1:2] == ["one"] else main()
