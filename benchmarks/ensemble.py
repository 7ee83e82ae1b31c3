"""`python benchmarks/ensemble.py [sketch|mask] [SEED...]`: is a k-fold better than its best fold?

Three folds of `examples/sketch/folds.yaml` or `examples/mask/folds.yaml`, minutes a seed, which
draws the pictures, splits them and begins the weights; and further pictures or people that no fold
has seen, by what the task's competition counts: accuracy, or macro F1 of 18 classes. Folds and
ensemble answer those with the same flipped views. The best fold is the best on these very images:
luck counts for it, never for the ensemble. Exits with 1 when the gain is not surely above 0: the
lower end of its 95% interval, over the seeds (Student's t) or of the only one.
"""

import json
import math
import runpy
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy import stats
from typer.testing import CliRunner

from schemas.rundir import RunDir
from schemas.source import load
from trainer.entry import by_hand
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.report import Report

EXAMPLES = Path(__file__).parents[1] / "examples"
FOLDS, SEEDS = 3, range(9)
DRAWINGS, PEOPLE = 100, 720  # of each class; of all: those that no fold has seen


@dataclass(frozen=True)
class Task:
    """One of the examples."""

    name: str
    metric: str
    draw: Callable[[Path, int], None]
    more: tuple[str, ...] = ()  # of `trainer ensemble`


def main() -> None:
    torch.set_num_threads(1)
    words = sys.argv[1:]
    task = TASKS[words.pop(0) if words[:1] and words[0] in TASKS else "sketch"]
    seeds = [int(word) for word in words] or list(SEEDS)
    print(f"{task.name}, {task.metric}")
    print(f"{'seed':6}{'each fold':38}{'together':10}gain on the best, 95%", flush=True)
    found = [of_seed(task, seed) for seed in seeds]
    low = told([value for value, _ in found]) if found[1:] else found[0][1]
    sys.exit(0 if low > 0 else "the ensemble is not surely better")


def told(gains: Sequence[float]) -> float:
    """The mean gain over the seeds, with its spread and interval; what it surely is."""
    mean, spread = statistics.fmean(gains), statistics.stdev(gains)
    off = float(stats.t.ppf(0.975, len(gains) - 1)) * spread / math.sqrt(len(gains))
    words = f"gain {mean:+.4f} ± {spread:.4f} over {len(gains)} seeds"
    print(f"{words}, 95% {mean - off:+.4f} .. {mean + off:+.4f}")
    return mean - off


def of_seed(task: Task, seed: int) -> tuple[float, float]:
    """What the ensemble of one seed is better by, and at least; one line for people."""
    with tempfile.TemporaryDirectory(prefix="ensemble") as name:
        folder = Path(name)
        task.draw(folder / "data" / task.name, seed)
        runs = [learnt(task, folder, seed, fold) for fold in range(FOLDS)]
        truth = folder / "data" / task.name / "truth.csv"
        words = ["ensemble", *map(str, runs), "--truth", str(truth), *task.more, "--json"]
        env = {"TRAINQ_CACHE": str(folder / "cache")}
        done = CliRunner(env=env).invoke(by_hand.app, [*words, "--data", str(folder / "data")])
        if done.exit_code:
            sys.exit(done.output)
    said = json.loads(done.stdout)
    values = {row["what"]: row["values"][task.metric] for row in said["ways"]}
    each, gain = " ".join(f"{values[run.name]:.4f}" for run in runs), said["gain"][task.metric]
    interval = f"{gain['value']:+.4f} ({gain['low']:+.4f} .. {gain['high']:+.4f})"
    print(f"{seed:<6}{each:38}{values['all alike']:<10.4f}{interval}", flush=True)
    return float(gain["value"]), float(gain["low"])


def learnt(task: Task, folder: Path, seed: int, fold: int) -> Path:
    """A fold of the example, in this process."""
    changes = [
        f"seed={seed}",
        f"data.split.folds={FOLDS}",
        f"data.split.fold={fold}",
        "data.workers=0",
    ]
    config = load(EXAMPLES / task.name / "folds.yaml", changes).config
    run = RunDir(folder / f"fold{fold}")
    order = by_hand.prepare(run, config, folder / "data", folder / "cache", 1)
    if execute(order, Report([]), Leave()):
        sys.exit(f"fold {fold} of seed {seed} did not finish")
    return run.path


def sketches(folder: Path, seed: int) -> None:
    """The example's drawings, with more to answer."""
    make = runpy.run_path(str(EXAMPLES / "sketch" / "sketches.py"))["make"]
    make.__globals__.update(TEST_EACH=DRAWINGS)
    make(folder, seed)


def people(folder: Path, seed: int) -> None:
    """The example's people, with more to answer; others for each seed."""
    draw = runpy.run_path(str(EXAMPLES / "mask" / "people.py"))["draw"]
    draw(folder, answered=PEOPLE, first=6000 * seed)  # they take turns in sixes


TASKS = {
    "sketch": Task("sketch", "accuracy", sketches),
    "mask": Task("mask", "macro_f1", people, ("--by", "person")),
}


if __name__ == "__main__":
    main()
