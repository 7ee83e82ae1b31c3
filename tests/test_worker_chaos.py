"""A hundred runs, four workers, and somebody who keeps killing: each run ends, once."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.waiting import wait_until
from support.workers import Site, TestWorker

from queue_worker.queue import Submission
from schemas.events import END_EVENTS
from schemas.run import ENDED, State, new_id, new_nonce

RUNS, WORKERS, KILLS, LIMIT_S = 100, 4, 12, 200
SEED = 7


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, TRAINQ_CRASH_LIMIT="50", TRAINQ_LEASE_S="1.5")  # some are lost, too
    yield site
    site.close()


def tiny_run() -> Submission:
    run_id = new_id()
    config = {"note": "steps=2 step_s=0.02 save=1", "data": {"batch_size": 32}}
    return Submission(id=run_id, nonce=new_nonce(), name="tiny", user="ana", config=config)


@pytest.mark.timeout(LIMIT_S + 40)
def test_a_hundred_runs_end_once_each_however_often_workers_and_trainers_are_killed(
    site: Site,
) -> None:
    chance = random.Random(SEED)
    runs = [tiny_run() for _ in range(RUNS)]
    site.queue.submit(runs)
    workers = [site.worker(f"cpu:{lane}") for lane in range(WORKERS)]
    until = time.monotonic() + LIMIT_S
    for kill in range(KILLS):
        due = (kill + 1) * RUNS // (KILLS + 2)  # spread over the whole of the work
        wait_until(lambda due=due: ended(site) >= due, until - time.monotonic(), f"{due} ends")
        lane = chance.randrange(WORKERS)
        if chance.random() < 0.5:
            workers[lane] = killed_and_replaced(site, workers[lane], lane)
        else:
            kill_a_trainer(workers[lane])
    wait_until(lambda: ended(site) == RUNS, until - time.monotonic(), "the end of every run")
    counts = site.queue.counts()
    assert counts[State.FINISHED] == RUNS, counts
    ends = Counter(
        event.run for event in site.queue.events(limit=100_000) if event.kind in END_EVENTS
    )
    assert ends == {run.id: 1 for run in runs}
    attempts = sum(site.queue.get(run.id).attempt for run in runs)
    assert attempts > RUNS, "nobody was hit: the test kills at the wrong moments"


def ended(site: Site) -> int:
    counts = site.queue.counts()
    return sum(counts[state] for state in ENDED)


def killed_and_replaced(site: Site, worker: TestWorker, lane: int) -> TestWorker:
    worker.send(signal.SIGKILL)
    worker.wait()
    return site.worker(f"cpu:{lane}")


def kill_a_trainer(worker: TestWorker) -> None:
    for trainer in worker.trainers():
        try:
            trainer.kill()
        except psutil.NoSuchProcess:
            continue
