"""Whatever dies or freezes: no run is lost, none ends twice, no stale attempt publishes."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
from support.waiting import PATIENCE_S, wait_until
from support.workers import Site

from queue_worker.attempts import sweep
from schemas.run import Cause, State


def tokens(site: Site, run_id: str) -> list[str]:
    """The attempts that did steps, in the order of their first one."""
    return list(dict.fromkeys(row["token"] for row in site.steps(run_id)))


def test_the_run_of_a_killed_worker_is_resumed_by_another_and_ends_once(site: Site) -> None:
    workers = [site.worker("cpu:1"), site.worker("cpu:2")]
    for worker in workers:
        worker.ready()
    run_id = site.submit("steps=60 gate=12 orphan first")
    lane = site.at_gate(run_id, 12, saved=10).worker
    victim, survivor = workers if lane.endswith(":1") else reversed(workers)
    victim.process.kill()
    site.expire(run_id)
    site.open_gate(run_id)
    run = site.ended(run_id)
    assert (run.state, run.attempt, run.crashes) == (State.FINISHED, 2, 1)
    assert site.kinds(run_id).count("finished") == 1
    resumed = next(row for row in site.steps(run_id) if row["token"].startswith("2-"))
    assert resumed["step"] == 11  # right after the checkpoint
    survivor.send(signal.SIGTERM)
    survivor.wait()
    assert site.worker("cpu:3", "--burst").wait() == 0  # whoever starts here sweeps
    wait_until(lambda: not site.leftovers(), what="the end of what was left")


def test_a_worker_ends_what_the_trainers_of_dead_ones_have_left(site: Site) -> None:
    site.worker("cpu", "--no-warm", TRAINQ_LEASE_S="0.5").ready()
    dead = subprocess.Popen(["true"])
    dead.wait()
    mark = sweep.Mark(dead.pid, "1", "0123abcd")
    env = {**os.environ, sweep.VARIABLE: str(mark)}
    with subprocess.Popen(["sleep", "600"], env=env, start_new_session=True) as orphan:
        assert orphan.wait(PATIENCE_S) == -signal.SIGKILL


def test_a_worker_started_anew_takes_its_old_run_back_at_once(site: Site) -> None:
    run_id = site.submit("steps=30 gate=12")
    site.worker()
    site.at_gate(run_id, 12)
    site.workers[0].process.kill()
    site.workers[0].wait()
    worker = site.worker()
    site.open_gate(run_id)
    site.at_step(run_id, 1, attempt=2)
    assert f"put back {run_id}" in worker.said()
    assert site.ended(run_id).state is State.FINISHED


def test_a_killed_trainer_is_replaced_at_once(site: Site) -> None:
    run_id = site.submit("steps=20 kill=12 first")
    assert site.worker("cpu", "--burst").wait() == 0
    run = site.queue.get(run_id)
    assert (run.state, run.attempt, run.crashes) == (State.FINISHED, 2, 1)
    assert [row["step"] for row in site.steps(run_id)][11:14] == [12, 11, 12]


def test_a_run_that_always_crashes_ends_at_the_limit(tmp_path: Path) -> None:
    site = Site(tmp_path, TRAINQ_CRASH_LIMIT="3")
    try:
        run_id = site.submit("steps=20 kill=2")
        assert site.worker("cpu", "--burst").wait() == 0
        run = site.queue.get(run_id)
        assert (run.state, run.cause, run.attempt) == (State.FAILED, Cause.HOST_LOST, 3)
    finally:
        site.close()


def test_worker_and_trainer_frozen_longer_than_the_lease_publish_nothing(site: Site) -> None:
    run_id = site.submit("steps=80 gate=12")
    first = site.worker("cpu:1")
    site.at_gate(run_id, 12)
    first.stop_all(signal.SIGSTOP)
    (frozen,) = first.trainers()
    site.expire(run_id)
    site.worker("cpu:2")
    taken = site.at_step(run_id, 1, attempt=2)
    first.stop_all(signal.SIGCONT)
    site.open_gate(run_id)
    wait_until(lambda: not frozen.is_running(), what="the end of the stale trainer")
    wait_until(lambda: f"lost {run_id}" in first.said(), what="the worker's word")
    run = site.ended(run_id)
    assert (run.state, run.attempt, run.checkpoint[:11]) == (State.FINISHED, 2, "attempts/2-")
    assert taken.token == run.result_attempt
    assert site.kinds(run_id).count("finished") == 1
    assert first.process.poll() is None  # and goes on working
    assert site.ended(site.submit("steps=2")).state is State.FINISHED


def test_the_trainer_of_a_frozen_worker_leaves_by_itself(site: Site) -> None:
    """That this is before the end of the lease follows from the settings: test_trainer_attend."""
    run_id = site.submit("steps=5000")
    worker = site.worker("cpu", "--no-warm", TRAINQ_LEASE_S="4")
    site.at_step(run_id, 12)
    worker.send(signal.SIGSTOP)
    before = len(tokens(site, run_id))  # a machine that stalled may have lost a lease already
    wait_until(lambda: not any(map(alive, worker.trainers())), what="the end of the trainer")
    worker.send(signal.SIGCONT)
    wait_until(lambda: len(tokens(site, run_id)) > before, what="the next attempt")
    assert worker.process.poll() is None


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_redis_killed_and_started_again_costs_no_step(site: Site) -> None:
    run_id = site.submit("steps=110 gate=12")
    worker = site.worker()
    site.at_gate(run_id, 12)
    site.server.kill()
    site.open_gate(run_id)
    wait_until(lambda: len(site.steps(run_id)) > 62, what="steps without Redis")
    wait_until(lambda: "Redis is away" in worker.said(), what="its word")
    site.server.start()
    run = site.ended(run_id)
    assert (run.state, run.attempt) == (State.FINISHED, 1)
    assert [row["step"] for row in site.steps(run_id)] == list(range(1, 111))
    assert "Redis is back" in worker.said()
    assert "step 60" in site.queue.log(run_id)[0]


def test_a_run_that_finishes_while_redis_is_away_is_finished_when_it_is_back(site: Site) -> None:
    run_id = site.submit("steps=40 gate=12")
    worker = site.worker()
    site.at_gate(run_id, 12)
    site.server.kill()
    (trainer,) = worker.trainers()
    site.open_gate(run_id)
    wait_until(lambda: not trainer.is_running(), what="the end of the trainer")
    worker.send(signal.SIGTERM)  # not even a drain makes it forget the end
    site.server.start()
    run = site.ended(run_id)
    assert (run.state, run.attempt, run.checkpoint_step) == (State.FINISHED, 1, 40)
    assert worker.wait() == 0


def test_a_frozen_redis_neither_stops_training_nor_ends_the_worker(site: Site) -> None:
    run_id = site.submit("steps=200 gate=12")
    worker = site.worker(REDIS_URL=site.server.url)
    site.at_gate(run_id, 12)
    site.server.freeze()
    site.open_gate(run_id)
    wait_until(lambda: len(site.steps(run_id)) > 92, what="steps without Redis")
    site.server.thaw()
    assert site.ended(run_id).attempt == 1
    assert worker.process.poll() is None


def test_a_full_redis_costs_no_run(site: Site) -> None:
    run_id = site.submit("steps=40 gate=12")
    worker = site.worker()
    site.at_gate(run_id, 12)
    client = site.server.client()
    client.config_set("maxmemory", "1mb")
    wait_until(lambda: "Redis refuses: OutOfMemoryError" in worker.said(), what="a refusal")
    site.open_gate(run_id)
    wait_until(lambda: len(site.steps(run_id)) == 40, what="the end of training")
    client.config_set("maxmemory", "0")
    run = site.ended(run_id)
    wait_until(lambda: "takes everything again" in worker.said(), what="relief")
    assert worker.said().count("Redis refuses") < 5
    assert (run.state, run.attempt) == (State.FINISHED, 1)
    assert worker.process.poll() is None


def test_a_wiped_redis_lets_the_training_go_on_and_the_worker_live(site: Site) -> None:
    run_id = site.submit("steps=60 gate=12")
    worker = site.worker()
    site.at_gate(run_id, 12)
    site.server.client().flushall()
    site.open_gate(run_id)
    wait_until(lambda: f"lost {run_id}" in worker.said(), what="the worker's word")
    assert len(site.steps(run_id)) == 60
    assert site.ended(site.submit("steps=2")).state is State.FINISHED


def test_a_hung_trainer_shows_its_stacks_and_is_resumed_once(tmp_path: Path) -> None:
    """That the second time is the last: test_worker_outcome."""
    site = Site(tmp_path, TRAINQ_STALL_S="5")
    try:
        run_id = site.submit("steps=20 hang=7 first")
        site.worker("cpu", "--burst", "--no-warm").wait()
        run = site.queue.get(run_id)
        assert (run.state, run.attempt, run.stalls) == ("finished", 2, 1)
        assert "in misbehave" in (site.runs / run_id / "run.log").read_text()
    finally:
        site.close()


def test_a_busy_worker_reaps_what_another_has_lost(site: Site) -> None:
    busy, lost = site.submit("steps=5000"), site.submit("steps=5000")
    first = site.worker("cpu:1")
    site.at_step(busy, 1)
    second = site.worker("cpu:2")
    site.at_step(lost, 1)
    second.process.kill()
    site.expire(lost)
    wait_until(lambda: site.queue.get(lost).state is State.QUEUED, what="the requeue")
    assert site.queue.get(busy).state is State.RUNNING and first.process.poll() is None
