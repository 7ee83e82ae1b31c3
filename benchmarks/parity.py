"""`python benchmarks/parity.py`: do timm's own scripts and ours agree, to the last image?

A run judges its validation images from their files; `trainer export` writes its best weights, and
timm's validate.py and inference.py judge the same images with nothing but that folder. Exits with 1
when one image is answered differently, with 2 when nothing could be compared. The scripts are not
in timm's wheel: PEER_TIMM names a checkout of it, or any folder with the two.
"""

import csv
import json
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from typer.testing import CliRunner

from schemas.config import TrainConfig
from schemas.rundir import RunDir
from trainer.entry import by_hand
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.judge import predictions
from trainer.judge.predictions import Predictions
from trainer.report import Report

SKETCHES = Path(__file__).parents[1] / "examples" / "sketch" / "sketches.py"
EACH = 100  # pictures a class; half of them validate
# the size that each sees, and for how many epochs, so that it answers more than one class
MODELS = {"resnet10t": (64, 4), "test_resnet": (64, 15), "mobilenetv3_small_050": (96, 15)}
SCRIPTS = ("validate.py", "inference.py")


def main() -> None:
    peer = os.environ.get("PEER_TIMM", "")
    if not peer or not all((Path(peer) / name).is_file() for name in SCRIPTS):
        what = f"PEER_TIMM={peer!r} names no folder with {' and '.join(SCRIPTS)}"
        fix = "PEER_TIMM=<a checkout of timm> python benchmarks/parity.py"
        print(f"nothing was compared: {what}\n  try:   {fix}", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(1)
    heads = ("images", "ours right", "timm right", "answered alike")
    print(f"{'':24}{''.join(f'{head:>16}' for head in heads)}  furthest", flush=True)
    with tempfile.TemporaryDirectory(prefix="parity") as name:
        alike = [compared(model, Path(name), Path(peer)) for model in MODELS]
    sys.exit(0 if all(alike) else "some images are answered differently")


def compared(model: str, folder: Path, peer: Path) -> bool:
    """One model on both sides; one line for people."""
    draw(folder)
    run = learnt(folder, model, *MODELS[model])
    said, shown = predictions.of_run(run), folder / f"shown-{model}"
    for image in said.names:
        (shown / image).parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / "data" / "sketch" / "train" / image, shown / image)
    published = folder / f"published-{model}"
    done = CliRunner().invoke(by_hand.app, ["export", str(run), "-o", str(published)])
    if done.exit_code:
        sys.exit(done.output)
    words = [str(shown), "--model", f"local-dir:{published}", "--device", "cpu", "-j", "1"]
    right = validated(peer / "validate.py", words, len(said.names))
    named, sure = answered(peer / "inference.py", words, folder, said)
    guessed = said.probabilities.argmax(1)
    ours, alike = int((guessed == said.true).sum()), int((guessed == named).sum())
    far = float(np.abs(said.probabilities.max(1) - sure).max())
    print(f"{model:24}{len(named):16}{ours:16}{right:16}{alike:16}  {far:.1e}", flush=True)
    return ours == right and alike == len(named)


def validated(script: Path, words: list[str], images: int) -> int:
    """How many of the images timm's validate.py finds right."""
    said = json.loads(heard([str(script), *words]).partition("--result")[2])
    return round(said["top1"] * images / 100)


def answered(
    script: Path, words: list[str], folder: Path, said: Predictions
) -> tuple["np.typing.NDArray[np.int64]", "np.typing.NDArray[np.float64]"]:
    """What timm's inference.py answers, and how surely, in our order of the images."""
    table = folder / "answers.csv"
    words = [*words, "--fullname", "--include-index", "--label-type", "none"]
    heard([str(script), *words, "--no-console-results", "--results-file", str(table)])
    with table.open(newline="") as file:
        rows = {row["filename"]: row for row in csv.DictReader(file)}
    if set(rows) != set(said.names):
        sys.exit(f"timm answered {len(rows)} images, of {len(said.names)}")
    each = [rows[name] for name in said.names]
    return np.array([int(r["index"]) for r in each]), np.array([float(r["prob"]) for r in each])


def heard(words: list[str]) -> str:
    """What a script says to its stdout."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words[0]} ended with {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def learnt(folder: Path, model: str, size: int, epochs: int) -> Path:
    """A short run that looks at files as timm does."""
    tree = {
        "model": {"name": model},
        "data": {
            "source": {"kind": "sketch_csv", "root": "sketch"},
            "split": {"fraction": 0.5},
            "pixels": {"kind": "files"},
            "img_size": size,
            "workers": 0,
        },
        "optim": {"lr": 3e-3},
        "train": {"epochs": epochs},
        "evaluate": {"every": epochs},
    }
    run, data = RunDir(folder / model), folder / "data"
    config = TrainConfig.model_validate(tree)
    order = by_hand.prepare(run, config, data, folder / "cache", 1)
    if execute(order, Report([]), Leave()):
        sys.exit(f"the run of {model} did not finish")
    return run.path


def draw(folder: Path) -> None:
    """The example's drawings, once."""
    if not (folder / "data").exists():
        make = runpy.run_path(str(SKETCHES))["make"]
        make.__globals__.update(TRAIN_EACH=EACH, TEST_EACH=0)
        make(folder / "data" / "sketch")


if __name__ == "__main__":
    main()
