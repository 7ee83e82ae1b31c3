"""`make bench`: what the queue costs, as ratios measured side by side in one run.

Each row times two things in turn, A B A B, and shows the medians, the spread and the ratio. Real
server, real processes; refuses to measure on a busy machine.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis

from queue_worker import embedded
from queue_worker.queue import Queue, Submission, WorkerCard
from schemas.config import TrainConfig
from schemas.run import ENDED, ID_ALPHABET, ID_LENGTH, new_id, new_nonce

ROOT = Path(__file__).resolve().parents[1]
CONFIG = TrainConfig.model_validate({"model": {"name": "resnet10t"}}).canonical()
FAKE_TRAINER = f"{sys.executable} {ROOT / 'tests/support/fake_trainer.py'}"
REPEATS = 7
MANY, FEW = 100_000, 100
LISTED = 5_000
Job = Callable[[], float]


def main() -> None:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores + 0.5:
        sys.exit(f"error: load {load:.1f} on {cores} cores\n  try:   again when nothing else runs")
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        url = embedded.ensure(folder / "redis").url
        try:
            print(f"{'':44}{'A':>10}{'B':>10}{'A / B':>8}   spread of A", flush=True)
            bench_claim(url)
            bench_listing(url)
            bench_commands(url, folder)
            bench_start(url, folder)
        finally:
            embedded.stop(folder / "redis")


def row(title: str, first: Job, second: Job, repeats: int = REPEATS) -> None:
    """Time A and B in turn and print one line."""
    pairs = [(first(), second()) for _ in range(repeats)]
    a, b = ([pair[side] * 1000 for pair in pairs] for side in (0, 1))
    middle_a, middle_b = statistics.median(a), statistics.median(b)
    ratio = middle_a / middle_b
    print(
        f"{title:44}{middle_a:8.1f}ms{middle_b:8.1f}ms{ratio:8.2f}   {min(a):.1f}-{max(a):.1f}",
        flush=True,
    )


def timed(work: Callable[[], object]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


# ---- the door ------------------------------------------------------------------------------------


def filled(url: str, prefix: str, runs: int) -> Queue:
    """A queue with this many pending runs of twenty people."""
    queue = Queue(redis.Redis.from_url(url), prefix)
    for start in range(0, runs, 500):
        queue.submit([a_run(number) for number in range(start, min(start + 500, runs))])
    return queue


def an_id(number: int) -> str:
    """Ids in a row: of 100,000 random ones some would be the same."""
    base = len(ID_ALPHABET)
    return "".join(
        ID_ALPHABET[number // base**place % base] for place in reversed(range(ID_LENGTH))
    )


def a_run(number: int) -> Submission:
    return Submission(
        id=an_id(number),
        nonce=new_nonce(),
        name=f"run-{number}",
        user=f"user{number % 20}",
        config=CONFIG,
        priority=number % 3,
    )


def bench_claim(url: str) -> None:
    many, few = filled(url, "many:", MANY), filled(url, "few:", FEW)
    row(f"claim at {MANY:,} pending (B: at {FEW})", lambda: claim(many), lambda: claim(few), 51)


def claim(queue: Queue) -> float:
    card = WorkerCard(
        lane="bench:0", host="bench", gpu="0", boot_id="b", pid=1, runs_root="r", started_at=0
    )
    return timed(lambda: queue.claim(card, new_nonce()))


def bench_listing(url: str) -> None:
    many, few = (Queue(redis.Redis.from_url(url), prefix) for prefix in ("many:", "few:"))
    title = f"first 50 of {MANY:,} runs (B: of {FEW})"
    row(
        title, lambda: timed(lambda: many.list(limit=50)), lambda: timed(lambda: few.list(limit=50))
    )


# ---- whole processes -----------------------------------------------------------------------------


def bench_commands(url: str, folder: Path) -> None:
    filled(url, "listed:", LISTED)
    python = process(["-c", "pass"], {})
    here = {"REDIS_URL": url, "TRAINQ_PREFIX": "listed:"}
    row(
        f"queue list, {LISTED:,} runs (B: bare python)",
        process(["-m", "publisher.queue_cli", "list"], here),
        python,
    )
    row(
        f"queue list at {MANY:,} runs (B: bare python)",
        process(["-m", "publisher.queue_cli", "list"], {**here, "TRAINQ_PREFIX": "many:"}),
        python,
    )
    config = folder / "config.yaml"
    config.write_text("model: {name: resnet10t}\n")
    validate = process(["-m", "publisher", "validate", str(config)], {})
    row("publisher validate (B: bare python)", validate, python)
    submit = process(["-m", "publisher", "submit", str(config)], {**here, "TRAINQ_PREFIX": "sub:"})
    row("publisher submit (B: publisher validate)", submit, validate)


def process(arguments: list[str], env: dict[str, str]) -> Job:
    """A whole Python process, from its start to its end."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, **env, "TRAINQ_USER": "bench"}

    def job() -> float:
        return timed(
            lambda: subprocess.run(command, env=environment, check=True, capture_output=True)
        )

    return job


# ---- a worker ------------------------------------------------------------------------------------


def bench_start(url: str, folder: Path) -> None:
    """From submit to the end of a run whose training takes no time, under a live worker."""
    env = {
        **os.environ,
        "REDIS_URL": url,
        "TRAINQ_PREFIX": "start:",
        "TRAINQ_RUNS": str(folder / "runs"),
        "TRAINQ_SLACK_FILE": str(folder / "notices"),
    }
    command = ["-m", "queue_worker", "--gpu", "cpu:9", "--trainer-command", FAKE_TRAINER]
    log = (folder / "worker.log").open("wb")
    with (
        log,
        subprocess.Popen([sys.executable, *command], env=env, stdout=log, stderr=log) as worker,
    ):
        queue = Queue(redis.Redis.from_url(url), "start:")
        through_worker(queue)  # the first waits for the worker to start
        bare = process(["-c", "pass"], {})
        row("a run of no work, submit to end (B: python)", lambda: through_worker(queue), bare)
        worker.terminate()


def through_worker(queue: Queue) -> float:
    run = a_run(0).model_copy(update={"id": new_id(), "config": {**CONFIG, "note": "steps=1"}})
    before = time.perf_counter()
    queue.submit([run])
    while queue.get(run.id).state not in ENDED:
        if time.perf_counter() - before > 60:
            sys.exit(f"error: {run.id} did not end in a minute")
    return time.perf_counter() - before


if __name__ == "__main__":
    main()
