"""Cancel, drain and a second worker: what people wish of a worker happens, and costs little."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.runs import a_worker
from support.waiting import wait_until
from support.workers import Site, TestWorker

from schemas.run import State


def busy(
    site: Site, note: str = "steps=5000", **env: str
) -> tuple[str, TestWorker, psutil.Process]:
    """A run, the worker that runs it, and its trainer."""
    run_id = site.submit(note)
    worker = site.worker("cpu", "--no-warm", **env)
    site.at_step(run_id, 3)
    return run_id, worker, worker.trainers()[0]


def test_a_running_run_is_cancelled_after_a_checkpoint(site: Site) -> None:
    run_id, worker, _ = busy(site)
    site.queue.cancel(run_id, by="bo", reason="wrong split")
    run = site.ended(run_id)
    assert (run.state, run.ended_by, run.error) == (State.CANCELLED, "bo", "wrong split")
    assert run.checkpoint_step == site.steps(run_id)[-1]["step"]
    wait_until(lambda: f"cancelled {run_id} by bo" in worker.said(), what="the worker's word")
    assert site.ended(site.submit("steps=2")).state is State.FINISHED


def test_a_trainer_that_ignores_a_cancel_is_ended_after_the_grace(site: Site) -> None:
    run_id, _, trainer = busy(site, "steps=5000 deaf orphan", TRAINQ_GRACE_S="1")
    asked = time.monotonic()
    site.queue.cancel(run_id, by="bo")
    assert site.ended(run_id).state is State.CANCELLED
    assert time.monotonic() - asked > 1
    assert not trainer.is_running()
    wait_until(lambda: not site.leftovers(), what="the end of what was left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_puts_the_run_back_with_a_checkpoint(site: Site, number: signal.Signals) -> None:
    run_id, worker, _ = busy(site)
    worker.send(number)
    worker.send(number)  # a second one makes nothing worse
    assert worker.wait() == 0
    run = site.queue.get(run_id)
    assert (run.state, run.crashes, run.stalls) == (State.QUEUED, 0, 0)
    assert run.checkpoint_step == site.steps(run_id)[-1]["step"]
    assert site.queue.workers() == []
    assert "drained" in worker.said()


def test_a_drain_of_worker_and_trainer_at_once_is_a_drain(site: Site) -> None:
    run_id, worker, _ = busy(site)
    worker.stop_all(signal.SIGTERM)
    assert worker.wait() == 0
    assert (site.queue.get(run_id).state, site.queue.get(run_id).crashes) == (State.QUEUED, 0)


def test_a_drain_does_not_wait_for_a_trainer_that_does_not_leave(site: Site) -> None:
    run_id, worker, _ = busy(site, "steps=5000 deaf", TRAINQ_GRACE_S="1")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    run = site.queue.get(run_id)
    assert (run.state, run.crashes) == (State.QUEUED, 0)


def test_an_idle_worker_leaves_when_asked(site: Site) -> None:
    worker = site.worker().ready()
    wait_until(worker.trainers, what="a warm trainer")
    (warm,) = worker.trainers()
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert not warm.is_running()


def test_a_drained_run_is_resumed_by_the_next_worker(site: Site) -> None:
    run_id, worker, _ = busy(site, "steps=30 gate=3")
    worker.send(signal.SIGTERM)
    worker.wait()
    site.open_gate(run_id)
    assert site.worker("cpu:1", "--burst").wait() == 0
    assert site.queue.get(run_id).state is State.FINISHED
    assert [row["step"] for row in site.steps(run_id)] == list(range(1, 31))


def test_a_second_worker_of_the_same_lane_is_refused_and_named(site: Site) -> None:
    first = site.worker().ready()
    second = site.worker()
    assert second.wait() == 2
    assert f"already has a worker: pid {first.pid}" in second.said()
    assert "Traceback" not in second.said()


def test_a_machine_with_the_name_of_another_is_refused_and_one_that_was_rebooted_is_not(
    site: Site,
) -> None:
    mine = socket.gethostname()
    stranger = a_worker(f"{mine}:cpu:9", boot_id="another-boot")
    worker = site.worker()

    def refused() -> bool:
        site.queue.announce(stranger)
        return worker.process.poll() is not None

    site.queue.announce(stranger)
    wait_until(refused, what="the refusal")
    assert worker.process.returncode == 2
    assert f"another machine is called {mine} too" in worker.said()
    assert "TRAINQ_HOST" in worker.said() and "Traceback" not in worker.said()
    site.server.client().zadd("trainq:workers", {stranger.lane: 1})  # the other one is silent now
    site.worker("cpu", "--no-warm").ready()


def test_two_workers_never_take_the_same_run(site: Site) -> None:
    runs = [site.submit("steps=3 step_s=0.01") for _ in range(6)]
    workers = [site.worker("cpu:1", "--burst"), site.worker("cpu:2", "--burst")]
    assert [worker.wait() for worker in workers] == [0, 0]
    assert all(site.queue.get(run).attempt == 1 for run in runs)
    assert all(len(site.steps(run)) == 3 for run in runs)


@pytest.mark.parametrize(
    ("arguments", "env", "code", "word"),
    [
        (["--gpu", "7x"], {}, 2, "--gpu cpu"),
        (["--gpu", "99"], {}, 2, "--gpu cpu works everywhere"),
        (["--gpu", "cpu"], {"REDIS_URL": "redis://:pw@127.0.0.1:1/0"}, 4, "cannot reach Redis"),
        (["--gpu", "cpu"], {"TRAINQ_LEASE_S": "soon"}, 2, "TRAINQ_LEASE_S"),
        ([], {}, 2, "--gpu"),
    ],
)
def test_a_start_that_cannot_work_says_what_to_do(
    tmp_path: Path, arguments: list[str], env: dict[str, str], code: int, word: str
) -> None:
    command = [sys.executable, "-m", "queue_worker", *arguments]
    settings = {"REDIS_URL": f"unix://{tmp_path}/none", **env}
    answer = subprocess.run(
        command,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert answer.returncode == code, answer.stderr
    assert word in answer.stderr and "Traceback" not in answer.stderr and "pw" not in answer.stderr


def test_help_needs_neither_redis_nor_rq(tmp_path: Path) -> None:
    code = "import sys, queue_worker.__main__ as m; print(sorted(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(eval(answer.stdout))
    assert not loaded & {"rq", "redis", "torch", "timm", "psutil", "slack_sdk"}
