"""`make bench`, second part: images a second from JPEG to weights, beside timm's own train.py and
beside the model alone.

Pairs in turn, A B A B, whole processes; waits a minute for a quiet machine, then refuses. timm's
script is not in its wheel: PEER_TIMM names a checkout of it, or any folder with its train.py.
Without it only the rows that need no peer are measured.

    python benchmarks/throughput.py [IMAGES] [REPEATS]
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
OURS = {"PYTHONPATH": str(ROOT)}
IMAGES, REPEATS = 640, 3
CLASSES, SIZE, BATCH, WORKERS = 16, 128, 64, 2
EPOCHS = 3  # the first is told apart; the last also validates and does not count
# each model with the precision that is fastest for it on a CPU
MODELS = (("resnet18", "bf16"), ("efficientnet_b0", "fp32"))
AUGMENTS = {"crop and flip": "", "RandAugment": "rand-m9-mstd0.5"}
ALONE_STEPS = 10
BUSY, LOOK_S, PATIENCE = 0.1, 2.0, 30  # of all cores; seconds; looks until it is given up


@dataclass(frozen=True)
class Run:
    """One training, as a stop-watch sees it."""

    first_s: float  # from the start of the process to the end of its first epoch
    rate: float  # images a second in the epochs after it, but the last


@dataclass(frozen=True)
class Task:
    """What both sides do."""

    model: str
    precision: str
    augment: str  # timm's name of a policy, or nothing

    @property
    def amp(self) -> bool:
        return self.precision == "bf16"


def main() -> None:
    given = [int(word) for word in sys.argv[1:]]
    images, repeats = (*given, *(IMAGES, REPEATS)[len(given) :])
    peer = peer_script()
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        draw(folder, images)
        print("| images a second | trainq | other | ratio | spread of trainq | of the other |")
        print("|---|---|---|---|---|---|", flush=True)
        for model, precision in MODELS:
            for title, augment in AUGMENTS.items():
                measure(Task(model, precision, augment), title, folder, images, repeats, peer)


def refuse_load() -> None:
    """Before every pair: somebody else's work would be measured as well."""
    for _ in range(PATIENCE):
        if (share := busy()) < BUSY:
            return
    sys.exit(f"error: {share:.0%} of the cores work\n  try:   again when nothing else runs")


def busy() -> float:
    """The part of all cores that works just now."""
    before = ticks()
    time.sleep(LOOK_S)
    idle, whole = (now - then for now, then in zip(ticks(), before, strict=True))
    return 1 - idle / whole


def ticks() -> tuple[int, int]:
    """What the kernel counted of idle time, waits for disks included, and of all."""
    counted = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return counted[3] + counted[4], sum(counted)


def peer_script() -> Path | None:
    """timm's train.py, where somebody has it."""
    script = Path(os.environ.get("PEER_TIMM", "")) / "train.py"
    if os.environ.get("PEER_TIMM") and script.is_file():
        return script
    print("timm's train.py: skipped, PEER_TIMM names no folder with it", flush=True)
    return None


def measure(
    task: Task, title: str, folder: Path, images: int, repeats: int, peer: Path | None
) -> None:
    """The rows of one task, from runs in turn."""
    ours, theirs, alone = [], [], []
    for _ in range(repeats):
        refuse_load()
        ours.append(trainq(task, folder, images))
        if peer:
            theirs.append(timm(task, folder, images, peer))
        alone.append(float(said([*THIS, "alone", task.model, task.precision], OURS)[-1]))
    name = f"{task.model}, {title}"
    rates = [run.rate for run in ours]
    if theirs:
        row(f"{name}, train.py", rates, [run.rate for run in theirs])
        firsts = ([images / run.first_s for run in each] for each in (ours, theirs))
        row(f"{name}, train.py, first epoch from the start", *firsts)
    row(f"{name}, model alone", rates, alone)


def row(title: str, ours: list[float], others: list[float]) -> None:
    """Images a second, medians, as a line of README.md; a ratio of more than 1 is good."""
    a, b = statistics.median(ours), statistics.median(others)
    spreads = " | ".join(f"{min(each):.1f}-{max(each):.1f}" for each in (ours, others))
    print(f"| {title} | {a:.1f} | {b:.1f} | {a / b:.2f} | {spreads} |", flush=True)


# ---- the images ----------------------------------------------------------------------------------


def draw(folder: Path, images: int) -> None:
    """JPEGs like those of the sketch task: 640 x 600, about 90 kB, two of three gray."""
    dice = np.random.default_rng(0)
    coarse = Image.fromarray(dice.integers(120, 255, (90, 90), np.uint8)).resize((1800, 1800))
    canvas = np.asarray(coarse, np.int16)[..., None] + dice.integers(-13, 14, (1800, 1800, 3))
    canvas = canvas.clip(0, 255).astype(np.uint8)
    names: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(images + 2 * CLASSES):
        part = "train" if number < images else "val"
        name = f"c{number % CLASSES:02d}/{number}.jpg"
        top, left = divmod(number * 104_729 % (1200 * 1160), 1160)  # no two alike
        pixels = canvas[top : top + 600, left : left + 640]
        if number % 3:
            pixels = np.repeat(pixels[..., :1], 3, 2)
        for home in ("all", part):
            (folder / home / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "all" / name, quality=87)
        os.link(folder / "all" / name, folder / part / name)
        names[part].append(name)
    for part, listed in names.items():
        (folder / f"{part}.csv").write_text("\n".join(["image_path", *listed]) + "\n")


# ---- both sides ----------------------------------------------------------------------------------

CONFIG = """
model: {{name: {model}}}
data:
  source: {{kind: folders, root: all}}
  split: {{kind: index_files, train: train.csv, validate_on: val.csv}}
  img_size: {size}
  batch_size: {batch}
  workers: {workers}
augment: {{scale: [0.35, 1.0], auto_augment: "{augment}"}}
optim: {{kind: adamw, lr: 1e-3}}
train: {{epochs: {epochs}, precision: {precision}, log_every: 50}}
evaluate: {{every: {epochs}}}
"""


def trainq(task: Task, folder: Path, images: int) -> Run:
    """A run by hand, with a cache that nobody has built yet."""
    here = Path(tempfile.mkdtemp(dir=folder))
    (here / "config.yaml").write_text(
        CONFIG.format(**vars(task), size=SIZE, batch=BATCH, workers=WORKERS, epochs=EPOCHS)
    )
    words = ["train", str(here / "config.yaml"), "--data", str(folder), "--out", str(here / "run")]
    env = {"TRAINQ_CACHE": str(here / "cache")}
    return timed(["-m", "trainer", *words], OURS | env, r"^epoch (\d+)/", images)


def timm(task: Task, folder: Path, images: int, script: Path) -> Run:
    """The same by timm, as fast as its flags allow."""
    steps = images // BATCH
    words = f"""
    --data-dir {folder} --train-split train --val-split val --val-interval {EPOCHS}
    --model {task.model} --num-classes {CLASSES} --img-size {SIZE} --batch-size {BATCH}
    --workers {WORKERS} --epochs {EPOCHS} --warmup-epochs 0 --cooldown-epochs 0 --log-interval 50
    --scale 0.35 1.0 --ratio 0.75 1.3333 --color-jitter 0 --train-interpolation bicubic
    --opt adamw --lr 1e-3 --opt-kwargs fused=True --device cpu --channels-last
    --use-multi-epochs-loader
    --output {folder / "timm"}
    """.split()
    words += ["--amp", "--amp-dtype", "bfloat16"] if task.amp else []
    words += ["--aa", task.augment] if task.augment else []
    last = rf"Train: (\d+) \[ *{steps - 1}/{steps} "
    return timed([str(script), *words], {}, last, images)


def timed(words: list[str], env: dict[str, str], end: str, images: int) -> Run:
    """A process, by the moments at which it says that an epoch has ended."""
    began = time.perf_counter()
    ends = [at - began for at, line in heard(words, env) if re.search(end, line)]
    if len(ends) != EPOCHS:
        sys.exit(f"error: {len(ends)} of {EPOCHS} epochs were said by {words[:2]}")
    whole = ends[-2] - ends[0]
    return Run(first_s=ends[0], rate=images // BATCH * BATCH * (EPOCHS - 2) / whole)


def heard(words: list[str], env: dict[str, str]) -> Iterator[tuple[float, str]]:
    """Every line of a process and when it came."""
    command = [sys.executable, *words]
    lines = []
    with subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            yield time.perf_counter(), line
    if process.returncode:
        last = "".join(lines[-3:])
        sys.exit(f"error: {' '.join(command[:3])} ended with {process.returncode}\n{last}")


def said(words: list[str], env: dict[str, str]) -> list[str]:
    return [line for _, line in heard(words, env)]


# ---- the model alone -----------------------------------------------------------------------------

THIS = [str(Path(__file__).resolve())]


def alone(model: str, precision: str) -> None:
    """Steps on one batch of numbers that are there already: what no data pipeline can beat."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import timm as models
    import torch

    from trainer import machine

    net = machine.place(models.create_model(model, num_classes=CLASSES), torch.device("cpu"))
    images = torch.randn(BATCH, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(CLASSES, (BATCH,))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(net(images), targets)
        loss.backward()
        optimizer.step()

    step()
    step()
    before = time.perf_counter()
    for _ in range(ALONE_STEPS):
        step()
    print(BATCH * ALONE_STEPS / (time.perf_counter() - before))


if __name__ == "__main__":
    alone(*sys.argv[2:]) if sys.argv[1:2] == ["alone"] else main()
