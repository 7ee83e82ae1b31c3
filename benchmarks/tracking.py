"""`python benchmarks/tracking.py [PAIRS]`: what it costs a run to be shown on W&B and TensorBoard.

The same training, seed and config with and without `track:`, each in a process of its own, in turn,
A B B A. Two things are measured: the time between the loop's first and last moment, whose spread on
a shared machine hides one part in a hundred; and, inside of it, the time in the calls that a
tracked run makes, which does not. Exits with 1 when those are more than 1% of the loop.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import throughput

PAIRS, LIMIT = 5, 0.01
IMAGES, SIZE, BATCH, EPOCHS = 480, 64, 32, 7
TRACK = "{to: [wandb, tensorboard], confusion: true, wrong: 10, grid: 16}"
CONFIG = f"""
model: {{name: resnet18}}
data:
  source: {{kind: folders, root: all}}
  split: {{kind: index_files, train: train.csv, validate_on: val.csv}}
  img_size: {SIZE}
  batch_size: {BATCH}
  workers: 0
train: {{epochs: {EPOCHS}}}
"""


def main(pairs: int = PAIRS) -> None:
    throughput.refuse_load()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        throughput.draw(folder, IMAGES)
        (folder / "plain.yaml").write_text(CONFIG)
        (folder / "shown.yaml").write_text(f"{CONFIG}track: {TRACK}\n")
        learnt(folder, "plain")  # fills the pixel cache
        plain, shown = [], []
        for number in range(pairs):
            for kind in ("plain", "shown")[:: 1 if number % 2 else -1]:
                run = learnt(folder, kind)
                (plain if kind == "plain" else shown).append(run)
                step, calls = 1000 * run["step_s"], 1000 * run["calls_s"]
                print(f"{kind} {run['loop_s']:.1f} s, a step {step:.0f} ms, calls {calls:.1f} ms")
                sys.stdout.flush()
    sys.exit(told(plain, shown))


def told(plain: list[dict[str, Any]], shown: list[dict[str, Any]]) -> int:
    """The rows; 1 when it costs more than it may."""
    for name, title in (("loop_s", "loop, s"), ("step_s", "median step, ms")):
        scale = 1000 if name == "step_s" else 1
        a, b = ([run[name] * scale for run in runs] for runs in (shown, plain))
        ratios = [one / other for one, other in zip(a, b, strict=True)]
        spread = f"ratios of pairs {min(ratios):.3f}-{max(ratios):.3f}"
        print(f"{title:24}{statistics.median(a):9.2f}{statistics.median(b):9.2f}   {spread}")
    parts = [run["calls_s"] / run["loop_s"] for run in shown]
    most = max(run["call_s"] for run in shown)
    print(
        f"calls on the loop's way: {statistics.median(parts):.3%} of it, at most {max(parts):.3%}"
    )
    print(f"  the longest {1000 * most:.1f} ms, {shown[0]['calls']} in {shown[0]['steps']} steps")
    before = statistics.median(run["begin_s"] for run in shown)
    after = statistics.median(run["end_s"] for run in shown)
    print(f"before the loop {1000 * before:.0f} ms, after it {after:.1f} s (none under a worker)")
    return int(max(parts) > LIMIT)


def learnt(folder: Path, kind: str) -> dict[str, Any]:
    """One training, by its own clock."""
    root = str(Path(__file__).resolve().parents[1])
    env = {"PYTHONPATH": root, "TRAINQ_CACHE": str(folder / "cache"), "WANDB_MODE": "offline"}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        words = ["train", f"{folder / kind}.yaml", "--data", str(folder), "--out", f"{out}/run"]
        said = subprocess.run(
            [sys.executable, __file__, "one", *words],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        ).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


class Watch:
    """How long calls of methods take."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}

    def on(self, owner: type, name: str) -> None:
        """From now on every call of it counts."""
        inner: Callable[..., Any] = getattr(owner, name)
        took = self.took.setdefault(f"{owner.__name__}.{name}", [])

        def outer(*args: Any, **more: Any) -> Any:
            before = time.perf_counter()
            try:
                return inner(*args, **more)
            finally:
                took.append(time.perf_counter() - before)

        setattr(owner, name, outer)


def one() -> None:
    """`trainer train` in this process, with watches on the loop and on what it calls."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.modules["wandb"] = None  # type: ignore[assignment] # as the command itself begins
    from trainer.entry import by_hand
    from trainer.loop import Loop
    from trainer.tracking.telling import Tracking

    watch = Watch()
    for owner, names in {Loop: ("run", "step", "show"), Tracking: ("begin", "rows", "end")}.items():
        for name in names:
            watch.on(owner, name)

    def leave(code: int) -> None:
        took = watch.took
        calls = took["Loop.show"] + took["Tracking.rows"][1:]  # the first is before the loop
        found = {
            "loop_s": sum(took["Loop.run"]),
            "step_s": statistics.median(took["Loop.step"]),
            "steps": len(took["Loop.step"]),
            "calls_s": sum(calls),
            "call_s": max(calls),
            "calls": len(calls),
            "begin_s": sum(took["Tracking.begin"]),
            "end_s": sum(took["Tracking.end"]),
        }
        print(json.dumps(found), flush=True)
        end(code)

    end, os._exit = os._exit, leave  # type: ignore[assignment] # how `trainer train` ends
    sys.argv = ["trainer", *sys.argv[2:]]
    by_hand.app()


if __name__ == "__main__":
    one() if sys.argv[1:2] == ["one"] else main(*map(int, sys.argv[1:]))
