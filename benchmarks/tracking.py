"""`python benchmarks/tracking.py [PAIRS]`: what it costs a run to be shown on W&B and TensorBoard.

The same training, seed and config with and without `track:`, each in a process of its own, in turn,
A B B A; a core is left to others, as every host of a GPU has some. Waits a minute for a quiet
machine before every pair, then refuses. Two things are judged: the time in the calls that a tracked
run makes on its loop's way; and the ratio of the loops, from their first to their last moment, with
its 95% interval (Student's t of the logarithms of the pairs). What the followers use of other cores
is told as well. Exits with 1 when the calls are more than 1% of the loop, or when the loop is
surely slower by more than 1%: the interval's lower end is above it. Seven minutes on two cores.
"""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import throughput
from scipy import stats

PAIRS, LIMIT = 7, 0.01
IMAGES, SIZE, BATCH, EPOCHS = 480, 64, 32, 4
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
    if pairs < 2:
        sys.exit("error: one pair has no spread\n  try:   python benchmarks/tracking.py 2")
    throughput.refuse_load()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        throughput.draw(folder, IMAGES)
        (folder / "plain.yaml").write_text(CONFIG)
        (folder / "shown.yaml").write_text(f"{CONFIG}track: {TRACK}\n")
        learnt(folder, "plain")  # fills the pixel cache
        runs: dict[str, list[dict[str, Any]]] = {"plain": [], "shown": []}
        for number in range(pairs):
            throughput.refuse_load()
            for kind in ("plain", "shown")[:: 1 if number % 2 else -1]:
                runs[kind].append(run := learnt(folder, kind))
                step, calls = 1000 * run["step_s"], 1000 * run["calls_s"]
                print(f"{kind} {run['loop_s']:.1f} s, a step {step:.0f} ms, calls {calls:.1f} ms")
                sys.stdout.flush()
    sys.exit(told(runs["plain"], runs["shown"]))


def told(plain: Sequence[dict[str, Any]], shown: Sequence[dict[str, Any]]) -> int:
    """The rows; 1 when it costs more than it may."""
    print(f"{'':20}{'shown':>9}{'plain':>9}   ratio and its 95%         of the pairs")
    for name, title, scale in (("loop_s", "loop, s", 1), ("step_s", "median step, ms", 1000)):
        a, b = ([run[name] * scale for run in runs] for runs in (shown, plain))
        pairs = [one / other for one, other in zip(a, b, strict=True)]
        ratio, low, high = likely(pairs)
        middles = f"{statistics.median(a):9.2f}{statistics.median(b):9.2f}"
        spread = f"{min(pairs):.3f}-{max(pairs):.3f}"
        print(f"{title:20}{middles}   {ratio:.3f} ({low:.3f} .. {high:.3f})   {spread}")
    parts = [run["calls_s"] / run["loop_s"] for run in shown]
    most = max(run["call_s"] for run in shown)
    print(
        f"calls on the loop's way: {statistics.median(parts):.3%} of it, at most {max(parts):.3%}"
    )
    print(f"  the longest {1000 * most:.1f} ms, {shown[0]['calls']} in {shown[0]['steps']} steps")
    before = statistics.median(run["begin_s"] for run in shown)
    after = statistics.median(run["end_s"] for run in shown)
    print(f"before the loop {1000 * before:.0f} ms, after it {after:.1f} s (none under a worker)")
    used = statistics.median(run["followers_s"] for run in shown)
    print(f"processor time of the followers, their start and end included: {used:.1f} s a run")
    pairs = [one["loop_s"] / other["loop_s"] for one, other in zip(shown, plain, strict=True)]
    return verdict(parts, likely(pairs))


def likely(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The mean ratio, and between what it is in 95 of 100 cases."""
    logs = [math.log(ratio) for ratio in ratios]
    middle, pairs = statistics.fmean(logs), len(logs)
    off = stats.t.ppf(0.975, pairs - 1) * statistics.stdev(logs) / math.sqrt(pairs)
    return math.exp(middle), math.exp(middle - off), math.exp(middle + off)


def verdict(parts: Sequence[float], loops: tuple[float, float, float]) -> int:
    """1 when the calls or the loop surely cost more than they may; in words, too."""
    _, low, high = loops
    slow = low > 1 + LIMIT
    if max(parts) > LIMIT:
        print(f"missed: the calls are more than {LIMIT:.0%} of the loop")
    if slow:
        print(f"missed: the loop is surely slower by more than {LIMIT:.0%}")
    elif high > 1 + LIMIT:
        print(f"the pairs do not rule out that the loop is slower by more than {LIMIT:.0%}")
    else:
        print(f"the loop is surely not slower by more than {LIMIT:.0%}")
    return int(max(parts) > LIMIT or slow)


def learnt(folder: Path, kind: str) -> dict[str, Any]:
    """One training, by its own clock."""
    root = str(Path(__file__).resolve().parents[1])
    env = {"PYTHONPATH": root, "TRAINQ_CACHE": str(folder / "cache"), "WANDB_MODE": "offline"}
    env["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) - 1))
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
        took, ended = watch.took, resource.getrusage(resource.RUSAGE_CHILDREN)
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
            "followers_s": ended.ru_utime + ended.ru_stime,
        }
        print(json.dumps(found), flush=True)
        end(code)

    end, os._exit = os._exit, leave  # type: ignore[assignment] # how `trainer train` ends
    sys.argv = ["trainer", *sys.argv[2:]]
    by_hand.app()


if __name__ == "__main__":
    one() if sys.argv[1:2] == ["one"] else main(*map(int, sys.argv[1:]))
