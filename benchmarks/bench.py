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
from collections.abc import Callable, Sequence
from pathlib import Path

import redis
from rq import Queue as RqQueue

from publisher import __main__ as publisher
from publisher import queue_cli
from queue_worker import steer
from queue_worker.door import embedded
from queue_worker.queue import Queue, Submission, WorkerCard
from schemas.config import TrainConfig
from schemas.run import ENDED, ID_ALPHABET, ID_LENGTH, new_id, new_nonce

ROOT = Path(__file__).resolve().parents[1]
CONFIG = TrainConfig.model_validate({"model": {"name": "resnet10t"}}).canonical()
FAKE_TRAINER = f"{sys.executable} {ROOT / 'tests/support/fake_trainer.py'}"
QUEUE = ["-m", "publisher.queue_cli"]
REPEATS = 7
MANY, FEW = 100_000, 100
LISTED = 5_000
UNFIT = 10_000
WARM_S = 6.0  # in which an idle worker's next trainer has imported torch and timm
Job = Callable[[], float]


def main() -> None:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores + 0.5:
        sys.exit(f"error: load {load:.1f} on {cores} cores\n  try:   again when nothing else runs")
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        folder = Path(name)
        url = embedded.ensure(folder / "redis").url
        try:
            print(f"{'':52}{'A':>10}{'B':>10}{'A / B':>8}   spread of A", flush=True)
            bench_claim(url)
            bench_unfit(url)
            bench_listing(url)
            bench_commands(url, folder)
            bench_sweep(folder)
            bench_start(url, folder)
            bench_first_line(url, folder)
        finally:
            embedded.stop(folder / "redis")


def row(title: str, first: Job, second: Job, repeats: int = REPEATS) -> None:
    """Time A and B in turn and print one line."""
    told(title, [(first(), second()) for _ in range(repeats)])


def told(title: str, pairs: Sequence[tuple[float, float]]) -> None:
    a, b = ([pair[side] * 1000 for pair in pairs] for side in (0, 1))
    middle_a, middle_b = statistics.median(a), statistics.median(b)
    ratio = middle_a / middle_b
    print(
        f"{title:52}{middle_a:8.1f}ms{middle_b:8.1f}ms{ratio:8.2f}   {min(a):.1f}-{max(a):.1f}",
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
    for pending in (1_000, 10_000, MANY):
        before = used_bytes(url)
        queue = filled(url, "many:" if pending == MANY else f"n{pending}:", pending)
        size = (used_bytes(url) - before) / pending
        title = f"claim at {pending:,} pending (B: at {FEW})"
        few = filled(url, f"few{pending}:", FEW)
        row(title, lambda queue=queue: claim(queue), lambda few=few: claim(few), 51)
        print(f"{'':4}one pending run of {pending:,}: {size:,.0f} bytes in Redis")
    in_redis(url, queue)


def bench_unfit(url: str) -> None:
    """Runs that fit no worker cost a claim nothing: it looks at the first of each lane."""
    blocked = Queue(redis.Redis.from_url(url), "unfit:")
    unfit = [a_run(n).model_copy(update={"gpus": 8, "priority": 9}) for n in range(UNFIT)]
    for start in range(0, UNFIT, 500):
        blocked.submit(unfit[start : start + 500])
    for start in range(UNFIT, UNFIT + 500, 500):
        blocked.submit([a_run(number) for number in range(start, start + 500)])
    few = filled(url, "few:", FEW)
    row(
        f"claim behind {UNFIT:,} that fit nowhere (B: at {FEW})",
        lambda: claim(blocked),
        lambda: claim(few),
        51,
    )


def in_redis(url: str, queue: Queue) -> None:
    """What a claim costs the server itself, beside the plainest move there is."""
    client = redis.Redis.from_url(url)
    client.rpush("from", *range(60))
    client.config_resetstat()
    for _ in range(40):
        claim(queue)
        client.blmove("from", "to", 1)
    stats = client.info("commandstats")
    a, b = (stats[f"cmdstat_{name}"]["usec_per_call"] for name in ("evalsha", "blmove"))
    print(f"{'claim inside Redis (B: BLMOVE)':52}{a / 1000:8.3f}ms{b / 1000:8.3f}ms{a / b:8.1f}")


def used_bytes(url: str) -> int:
    return int(redis.Redis.from_url(url).info("memory")["used_memory"])


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


BARE = """
import typer
app = typer.Typer(add_completion=False)
@app.command()
def hello(name: str = "you") -> None:
    print(f"hello {name}")
app()
"""


def bench_commands(url: str, folder: Path) -> None:
    """Whole processes, beside a typer program that does nothing."""
    filled(url, "listed:", LISTED)
    (folder / "bare.py").write_text(BARE)
    bare = process([str(folder / "bare.py")], {})
    row("a bare typer program (B: bare python)", bare, process(["-c", "pass"], {}))
    here = {"REDIS_URL": url, "TRAINQ_PREFIX": "listed:", "TRAINQ_PREFLIGHT_S": "0"}
    for runs, prefix in ((LISTED, "listed:"), (MANY, "many:")):
        listing = process([*QUEUE, "list"], {**here, "TRAINQ_PREFIX": prefix})
        row(f"queue list, {runs:,} runs (B: bare typer)", listing, bare)
    for verb in ("show", "why", "logs"):
        row(
            f"queue {verb}, {LISTED:,} runs (B: bare typer)",
            process([*QUEUE, verb, an_id(7)], here),
            bare,
        )
    config = folder / "config.yaml"
    config.write_text("model: {name: resnet10t}\n")
    validate = process(["-m", "publisher", "validate", str(config)], {})
    row("publisher validate (B: bare typer)", validate, bare)
    words = ["-m", "publisher", "submit", str(config), "--again"]
    here |= {"TRAINQ_PREFIX": "sub:", "TRAINQ_STATE": str(folder / "state")}
    submit = process(words, {**here, "TRAINQ_PREFLIGHT_S": "0"})
    row("publisher submit (B: publisher validate)", submit, validate)
    foreseen = process(words, here)
    foreseen()  # a child with torch answers; from here on the cache does
    row("publisher submit, pre-flight known (B: without)", foreseen, submit)
    bench_starts(bare)


def bench_starts(bare: Job) -> None:
    """What every verb costs before it does anything: its imports and its help."""
    for module, verbs in (
        ("publisher", ["", *publisher.VERBS]),
        ("publisher.queue_cli", ["", *queue_cli.KNOWN]),
        ("queue_worker", ["", *steer.VERBS]),
        ("trainer", [""]),
    ):
        for words in ([verb] if verb else [] for verb in verbs):
            started = process(["-m", module, *words, "--help"], {})
            row(f"{' '.join([module, *words])} --help (B: bare typer)", started, bare)


def process(arguments: list[str], env: dict[str, str]) -> Job:
    """A whole Python process, from its start to its end."""
    command = [sys.executable, *arguments]
    environment = {**os.environ, **env, "TRAINQ_USER": "bench"}

    def job() -> float:
        return timed(
            lambda: subprocess.run(command, env=environment, check=True, capture_output=True)
        )

    return job


# ---- many at once --------------------------------------------------------------------------------

RQ_MANY = """
import sys
from redis import Redis
from rq import Queue
queue = Queue("plain", connection=Redis.from_url(sys.argv[1]))
queue.enqueue_many([Queue.prepare_data("os.getpid", args=(n,)) for n in range(10_000)])
"""


def bench_sweep(folder: Path) -> None:
    """Ten thousand validated runs of one sweep, against as many plain jobs of RQ.

    On servers that are empty: one that holds many runs may be rewriting its log meanwhile.
    """
    config = folder / "sweep.yaml"
    seeds = ", ".join(map(str, range(1_250)))
    grid = f"seed: [{seeds}], optim.lr: [1e-3, 3e-4], mix.mixup: [0, 0.2], data.img_size: [64, 96]"
    lines = ("model: {name: resnet10t}", "sweep:", f"  grid: {{{grid}}}")
    config.write_text("\n".join(lines) + "\n")
    words = ["-m", "publisher", "submit", str(config), "--yes", "--again", "--print-id"]
    here = {"TRAINQ_PREFIX": "sweep:", "TRAINQ_STATE": str(folder / "state")}
    pairs = []
    for number in range(REPEATS):
        data = folder / f"sweep{number}"
        url = embedded.ensure(data).url
        try:
            ours = process(words, {**here, "REDIS_URL": url})
            pairs.append((ours(), process(["-c", RQ_MANY, url], {})()))
        finally:
            embedded.stop(data)
    told("publisher submit, a sweep of 10,000 (B: RQ's enqueue_many)", pairs)


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


RQ_JOB = """
import sys, time
def first_line(path):
    import torch, timm
    open(path, "w").write("line")
"""


def bench_first_line(url: str, folder: Path) -> None:
    """Until a trainer with torch and timm says something: ours is warm, RQ's job imports them."""
    (folder / "job.py").write_text(RQ_JOB)
    env = {
        **os.environ,
        "REDIS_URL": url,
        "TRAINQ_PREFIX": "line:",
        "TRAINQ_RUNS": str(folder / "lines"),
        "TRAINQ_SLACK_FILE": str(folder / "notices"),
        "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', ROOT)}",
    }
    log = (folder / "line.log").open("wb")
    ours = [sys.executable, "-m", "queue_worker", "--gpu", "cpu:8"]
    theirs = [str(Path(sys.executable).with_name("rq")), "worker", "plain", "--url", url]
    redis.Redis.from_url(url).delete("rq:queue:plain")
    with log:
        ends = [
            subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
            for command in (ours, theirs)
        ]
    try:
        queue = Queue(redis.Redis.from_url(url), "line:")
        until_first_line(queue, folder)
        plain = RqQueue("plain", connection=redis.Redis.from_url(url))
        through_rq(plain, folder)
        row(
            "submit to the trainer's first line (B: stock rq)",
            lambda: until_first_line(queue, folder),
            lambda: through_rq(plain, folder),
        )
    finally:
        for started in ends:
            started.terminate()
            started.wait(20)


def until_first_line(queue: Queue, folder: Path) -> float:
    """Its data are not there, which it says: a line too. Then the next trainer gets warm.

    All are of one batch: three such runs from several would pause their worker.
    """
    run = a_run(0).model_copy(update={"id": new_id(), "batch": "bench"})
    before = time.perf_counter()
    queue.submit([run])
    lines = folder / "lines" / run.id / "attempts"
    spent = until(lambda: any(p.stat().st_size for p in lines.glob("*/run.log")), before)
    until(lambda: queue.get(run.id).state in ENDED, before)
    time.sleep(WARM_S)
    return spent


def through_rq(plain: RqQueue, folder: Path) -> float:
    path = folder / f"{new_id()}.line"
    before = time.perf_counter()
    plain.enqueue("job.first_line", str(path))
    return until(path.exists, before)


def until(done: Callable[[], bool], before: float) -> float:
    while not done():
        if time.perf_counter() - before > 60:
            sys.exit("error: nothing was said in a minute")
        time.sleep(0.001)
    return time.perf_counter() - before


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
