"""`python benchmarks/transfer.py`: what weights of other classes are worth, over several seeds.

Thirty-two classes of random strokes, drawn by the hand of `examples/sketch`. A model learns one
half of them with many images; the other half, with eight images a class, is then learnt from
scratch, by fine-tuning, with layer-wise decay, and behind a frozen backbone. Exits with 1 when one
of these three is not better than scratch by more than both spreads.
"""

import csv
import json
import random
import runpy
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from schemas.config import TrainConfig
from schemas.events import ExitCode, Order
from schemas.rundir import RunDir
from schemas.writing import dump
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.report import Report

SKETCHES = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "sketch" / "sketches.py"))
CLASSES, MANY, FEW, SEEDS = 32, 100, 40, 5
WEIGHTS = "pretrained.safetensors"
FIRST = {"name": "test_resnet"}
KNOWING: dict[str, Any] = {**FIRST, "weights": WEIGHTS}
WAYS: dict[str, dict[str, Any]] = {
    "from scratch": {"model": FIRST},
    "fine-tuning": {"model": KNOWING},
    "layer decay, the first layer at 0.1": {"model": {**KNOWING, "lr_scale_min": 0.1}},
    "frozen features, 4 views": {
        "model": {**KNOWING, "freeze": [{"parts": ["backbone"]}], "feature_views": 4},
        "optim": {"lr": 0.03},
    },
}


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="transfer") as name:
        folder = Path(name)
        draw(folder / "first", range(CLASSES // 2), MANY)
        draw(folder / "second", range(CLASSES // 2, CLASSES), FEW)
        best, accuracy = learnt(folder, "first", {"model": FIRST}, seed=1, epochs=12, part=0.1)
        (folder / "second" / WEIGHTS).write_bytes((best / "weights.safetensors").read_bytes())
        print(f"{'pretraining':40}{accuracy:8.3f}   {CLASSES // 2} classes", flush=True)
        found = {way: over_seeds(folder, way, changes) for way, changes in WAYS.items()}
    scratch = found.pop("from scratch")
    worse = [way for way, values in found.items() if not beats(values, scratch)]
    sys.exit(f"no better than from scratch: {', '.join(worse)}" if worse else 0)


def over_seeds(folder: Path, way: str, changes: dict[str, Any]) -> list[float]:
    """The accuracy of each seed, which also splits the images; one line for people."""
    values = [
        learnt(folder, "second", changes, seed=seed, epochs=20, part=0.8)[1]
        for seed in range(SEEDS)
    ]
    spread, span = statistics.stdev(values), f"{min(values):.3f}-{max(values):.3f}"
    print(f"{way:40}{statistics.fmean(values):8.3f} ± {spread:.3f}   {span}", flush=True)
    return values


def beats(values: list[float], others: list[float]) -> bool:
    """By more than both spreads."""
    ahead = statistics.fmean(values) - statistics.fmean(others)
    return ahead > statistics.stdev(values) + statistics.stdev(others)


def learnt(
    folder: Path, data: str, changes: dict[str, Any], *, seed: int, epochs: int, part: float
) -> tuple[Path, float]:
    """A run in this process: its best weights, and its accuracy after the last epoch."""
    tree = {
        "seed": seed,
        "data": {"img_size": 48, "batch_size": 16, "workers": 0, "split": {"fraction": part}},
        "augment": {"scale": [0.6, 1.0]},
        "optim": {"lr": 0.003},
        "schedule": {"warmup_epochs": 1},
        "train": {"epochs": epochs, "log_every": 1000},
        "evaluate": {"every": epochs},
        **changes,
    }
    run = RunDir(Path(tempfile.mkdtemp(dir=folder)))
    run.config.write_bytes(dump(TrainConfig.model_validate(tree).canonical()))
    attempt = run.make_attempt("1-00000001")
    order = Order(
        run=run.path.name,
        token=attempt.path.name,
        run_dir=str(run.path),
        attempt_dir=str(attempt.path),
        data_root=str(folder / data),
    )
    report = Report([])
    if execute(order, report, Leave()) is not ExitCode.FINISHED:
        sys.exit(attempt.result.read_text())
    result = json.loads(attempt.result.read_text())
    return attempt.best, float(result["metrics"]["accuracy"])


def draw(folder: Path, numbers: range, each: int) -> None:
    """`train.csv` and its images, always the same."""
    rows: list[tuple[object, ...]] = []
    for target, number in enumerate(numbers):
        name = f"n{number:08}"
        SKETCHES["SHAPES"][name] = strokes(random.Random(number))
        for image in range(each):
            path = f"{name}/{image}.JPEG"
            SKETCHES["save"](SKETCHES["draw"](name, random.Random(path)), folder / "train" / path)
            rows.append((name, path, target))
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("class_name", "image_path", "target"), *rows])


def strokes(chance: random.Random) -> list[list[tuple[float, float]]]:
    """What a class is: a few arcs and corners anywhere on the paper."""
    made = []
    for _ in range(chance.randint(3, 5)):
        x, y = chance.uniform(0.2, 0.8), chance.uniform(0.2, 0.8)
        if chance.random() < 0.5:
            start = chance.uniform(0, 360)
            reach = (chance.uniform(0.08, 0.3), chance.uniform(0.08, 0.3))
            made.append(SKETCHES["arc"](x, y, *reach, start, start + chance.uniform(120, 360)))
        else:
            corners = chance.randint(1, 3)
            more = [(chance.uniform(0.1, 0.9), chance.uniform(0.1, 0.9)) for _ in range(corners)]
            made.append([(x, y), *more])
    return made


if __name__ == "__main__":
    main()
