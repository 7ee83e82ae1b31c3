"""`python benchmarks/ensemble.py [SEED...]`: is a k-fold better than its best fold?

Three folds of `examples/sketch/folds.yaml`, some minutes a seed, which draws the pictures, splits
them and begins the weights; and a hundred more pictures of each class that no fold has seen. Folds
and ensemble answer those with the same flipped views. The best fold is the best on these very
images: luck counts for it, never for the ensemble. Exits with 1 when the gain is not above its own
spread over the seeds.
"""

import csv
import json
import random
import runpy
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from typer.testing import CliRunner

from schemas.rundir import RunDir
from schemas.source import load
from trainer.entry import by_hand
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.report import Report

EXAMPLE = Path(__file__).parents[1] / "examples" / "sketch"
TESTS, FOLDS, SEEDS = 100, 3, range(5)


def main() -> None:
    torch.set_num_threads(1)
    seeds = [int(word) for word in sys.argv[1:]] or list(SEEDS)
    print(f"{'seed':6}{'each fold':38}{'together':10}gain on the best, 95%", flush=True)
    gains = [of_seed(seed) for seed in seeds]
    spread = statistics.stdev(gains) if gains[1:] else 0.0
    print(f"gain {statistics.fmean(gains):+.4f} ± {spread:.4f} over {len(gains)} seeds")
    sys.exit(0 if statistics.fmean(gains) > spread else "the ensemble is not surely better")


def of_seed(seed: int) -> float:
    """What the ensemble of one seed is better by; one line for people."""
    with tempfile.TemporaryDirectory(prefix="ensemble") as name:
        folder = Path(name)
        truth = draw(folder, seed)
        runs = [learnt(folder, seed, fold) for fold in range(FOLDS)]
        words = ["ensemble", *map(str, runs), "--truth", str(truth), "--json"]
        env = {"TRAINQ_CACHE": str(folder / "cache")}
        done = CliRunner(env=env).invoke(by_hand.app, [*words, "--data", str(folder / "data")])
        if done.exit_code:
            sys.exit(done.output)
    said = json.loads(done.stdout)
    values = {row["what"]: row["values"]["accuracy"] for row in said["ways"]}
    each, gain = " ".join(f"{values[run.name]:.4f}" for run in runs), said["gain"]["accuracy"]
    interval = f"{gain['value']:+.4f} ({gain['low']:+.4f} .. {gain['high']:+.4f})"
    print(f"{seed:<6}{each:38}{values['all alike']:<10.4f}{interval}", flush=True)
    return float(gain["value"])


def learnt(folder: Path, seed: int, fold: int) -> Path:
    """A fold of the example, in this process."""
    changes = [
        f"seed={seed}",
        f"data.split.folds={FOLDS}",
        f"data.split.fold={fold}",
        "data.workers=0",
    ]
    config = load(EXAMPLE / "folds.yaml", changes).config
    run = RunDir(folder / f"fold{fold}")
    order = by_hand.prepare(run, config, folder / "data", folder / "cache", 1)
    if execute(order, Report([]), Leave()):
        sys.exit(f"fold {fold} of seed {seed} did not finish")
    return run.path


def draw(folder: Path, seed: int) -> Path:
    """The example's drawings, with more to answer; the table of the answers."""
    sketches = runpy.run_path(str(EXAMPLE / "sketches.py"))
    make = sketches["make"]
    make.__globals__.update(TEST_EACH=TESTS)
    make(folder / "data" / "sketch", seed)
    labels = [label for label in range(len(sketches["SHAPES"])) for _ in range(TESTS)]
    random.Random(seed).shuffle(labels)  # as the script did
    truth = folder / "truth.csv"
    rows = [(number, f"{number}.JPEG", label) for number, label in enumerate(labels)]
    with truth.open("w", newline="") as file:
        csv.writer(file).writerows([("ID", "image_path", "target"), *rows])
    return truth


if __name__ == "__main__":
    main()
