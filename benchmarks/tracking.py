"""`python benchmarks/tracking.py [PAIRS]`: what it costs a run to be shown on W&B and TensorBoard.

One training, whose followers are told of some epochs and not of others, in turn, A B B A: what an
epoch's end is told with, pictures and all, costs from then to the next epoch's end. Two neighbours
of one process are a pair, so a machine that is slower for a minute is so for both. A core is left
to others, as every host of a GPU has some. Refuses a machine that is not quiet.

Followers draw pictures as the training's time allows. Here the time of epochs that are not told
does not count for it, so of those that are told as many have pictures as in a run that tells of
all; how many is said, and none are nothing to judge. Epochs 1 and the last have some in any case,
and lie in no pair.

Two things are judged: the time in the calls that the loop waits for; and the ratio of the epochs
with its 95% interval (Student's t of the logarithms of the pairs). The followers' own processor
time, their start and end included, is told as well. Exits with 1 when the calls are more than 1%
of the epochs that they were made in, or when those are surely slower by more: the interval's lower
end is above it. Five minutes on two cores.
"""

import itertools
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

PAIRS, LIMIT = 30, 0.01
IMAGES, SIZE, BATCH = 256, 64, 32
TRACK = "{to: [wandb, tensorboard], confusion: true, wrong: 10, grid: 16}"
CONFIG = f"""
model: {{name: resnet18}}
data:
  source: {{kind: folders, root: all}}
  split: {{kind: index_files, train: train.csv, validate_on: val.csv}}
  img_size: {SIZE}
  batch_size: {BATCH}
  workers: 0
track: {TRACK}
"""


def main(pairs: int = PAIRS) -> None:
    if pairs < 2:
        sys.exit("error: one pair has no spread\n  try:   python benchmarks/tracking.py 2")
    throughput.refuse_load()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        throughput.draw(folder, IMAGES)
        # the first epoch warms up, and nothing follows the last one's end
        (folder / "shown.yaml").write_text(f"{CONFIG}train: {{epochs: {2 * pairs + 2}}}\n")
        found = learnt(folder)
        found["pictures"] = pictured(folder / "run", *found["loop"])
    sys.exit(told(found, *parted(found["epochs"][1:])))


def is_told(epoch: int) -> bool:
    """Of epochs 2 and on: A B B A; epoch 1 is told, and warms the followers up."""
    return epoch % 4 in (1, 2)


def pictured(run: Path, since: float, until: float) -> dict[str, int]:
    """How often each place drew pictures between two moments; those of the end come later."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = run.glob("attempts/*/tensorboard")
    read = EventAccumulator(str(events), {"images": 0}).Reload()
    files = run.glob("attempts/*/wandb/*run-*/files/media/images/grid_*")
    drawn = {
        "W&B": [file.stat().st_mtime for file in files],
        "TensorBoard": [image.wall_time for image in read.Images("grid")],
    }
    return {place: sum(since < each < until for each in drawn[place]) for place in drawn}


def parted(epochs: Sequence[float]) -> tuple[list[float], list[float]]:
    """Seconds after the ends that were told, and after those that were not; pairs side by side."""
    shown, plain = [], []
    for number, seconds in enumerate(epochs, start=2):
        (shown if is_told(number) else plain).append(seconds)
    return shown, plain


def told(found: dict[str, Any], shown: Sequence[float], plain: Sequence[float]) -> int:
    """The figures in words; 1 when it costs more than it may."""
    pairs = [one / other for one, other in zip(shown, plain, strict=True)]
    ratio, low, high = likely(pairs)
    middles = f"{statistics.median(shown):.3f} s told, {statistics.median(plain):.3f} s not"
    print(f"an epoch: {middles}; {len(pairs)} pairs of {min(pairs):.3f} to {max(pairs):.3f}")
    print(f"ratio {ratio:.4f} ({low:.4f} .. {high:.4f})")
    part = sum(found["calls"]) / sum(shown)
    longest = 1000 * max(found["calls"])
    print(f"calls that the loop waits for: {part:.3%}, the longest {longest:.1f} ms")
    places = ", ".join(f"{number} by {place}" for place, number in found["pictures"].items())
    print(f"pictures of {len(shown)} epochs told: {places}")
    print(f"before the loop {1000 * found['begin_s']:.0f} ms, after it {found['end_s']:.1f} s")
    print(f"processor time of the followers: {found['followers_s']:.1f} s, start and end included")
    if not all(found["pictures"].values()):
        print("missed: not every place drew any of them, so there is nothing to judge")
        return 1
    return verdict(part, low, high)


def likely(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The mean ratio, and between what it is in 95 of 100 cases."""
    logs = [math.log(ratio) for ratio in ratios]
    middle, pairs = statistics.fmean(logs), len(logs)
    off = stats.t.ppf(0.975, pairs - 1) * statistics.stdev(logs) / math.sqrt(pairs)
    return math.exp(middle), math.exp(middle - off), math.exp(middle + off)


def verdict(part: float, low: float, high: float) -> int:
    """1 when the calls or the epochs surely cost more than they may; in words, too."""
    slow = low > 1 + LIMIT
    if part > LIMIT:
        print(f"missed: the calls are more than {LIMIT:.0%} of the epochs")
    if slow:
        print(f"missed: the epochs are surely slower by more than {LIMIT:.0%}")
    elif high > 1 + LIMIT:
        print(f"the pairs do not rule out that epochs are slower by more than {LIMIT:.0%}")
    else:
        print(f"the epochs are surely not slower by more than {LIMIT:.0%}")
    return int(part > LIMIT or slow)


def learnt(folder: Path) -> dict[str, Any]:
    """One training, by its own clock."""
    root = str(Path(__file__).resolve().parents[1])
    env = {"PYTHONPATH": root, "TRAINQ_CACHE": str(folder / "cache"), "WANDB_MODE": "offline"}
    env["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) - 1))
    words = ["train", f"{folder}/shown.yaml", "--data", str(folder), "--out", f"{folder}/run"]
    said = subprocess.run(
        [sys.executable, __file__, "one", *words],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def timed(
    owner: type, name: str, took: list[float], wanted: Callable[..., bool] | None = None
) -> None:
    """From now on calls of this method are timed, and those that are not wanted do nothing."""
    inner: Callable[..., Any] = getattr(owner, name)

    def outer(*args: Any) -> Any:
        if wanted and not wanted(*args):
            return None
        before = time.perf_counter()
        try:
            return inner(*args)
        finally:
            took.append(time.perf_counter() - before)

    setattr(owner, name, outer)


def one() -> None:
    """`trainer train` in this process, by a stop-watch; its followers miss half of the epochs."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.modules["wandb"] = None  # type: ignore[assignment] # as the command itself begins
    from trainer.entry import by_hand
    from trainer.loop import Loop
    from trainer.tracking.telling import Tracking

    begin: list[float] = []
    calls: list[float] = []
    end: list[float] = []
    ends: list[float] = []  # when the steps of an epoch were over
    timed(Tracking, "begin", begin)
    timed(Tracking, "end", end)
    timed(Tracking, "rows", calls, lambda _, rows: bool(rows) and is_told(rows[0]["epoch"]))
    timed(Loop, "show", calls, lambda loop, _: is_told(loop.state.epoch))
    close = Loop.close_epoch

    def closing(loop: Loop, batches: Any) -> None:
        ends.append(time.perf_counter())
        if len(ends) > 1 and not is_told(loop.state.epoch):  # of the epoch before
            loop.report.tracking.began += ends[-1] - ends[-2]
        close(loop, batches)

    def leave(code: int) -> None:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock = time.time() - time.perf_counter()
        found = {
            "loop": [clock + ends[1], clock + ends[-1]],  # of the pairs
            "epochs": [after - before for before, after in itertools.pairwise(ends)],
            "calls": calls,
            "begin_s": sum(begin),
            "end_s": sum(end),
            "followers_s": used.ru_utime + used.ru_stime,
        }
        print(json.dumps(found), flush=True)
        exit_now(code)

    Loop.close_epoch = closing  # type: ignore[method-assign]
    exit_now, os._exit = os._exit, leave  # type: ignore[assignment] # how `trainer train` ends
    sys.argv = ["trainer", *sys.argv[2:]]
    by_hand.app()


if __name__ == "__main__":
    one() if sys.argv[1:2] == ["one"] else main(*map(int, sys.argv[1:]))
