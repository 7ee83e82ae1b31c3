"""RQ's own tools show our workers and attempts; whatever they break, no run notices."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import redis
from rq import Worker
from rq.command import send_kill_horse_command, send_shutdown_command, send_stop_job_command
from rq.job import Job
from rq.registry import clean_registries
from support.waiting import wait_until
from support.workers import Site

from queue_worker import rqbook
from schemas.run import State


def rq(site: Site, *arguments: str) -> str:
    """What RQ's command line says."""
    command = [sys.executable, "-m", "rq.cli", *arguments, "--url", site.server.url]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return answer.stdout


def test_rq_info_shows_the_worker_and_its_attempts(site: Site) -> None:
    failed, done, running = (
        site.submit("crash=2"),
        site.submit("steps=2"),
        site.submit("steps=9999"),
    )
    worker = site.worker("cpu", "--no-warm")
    site.at_step(running, 3)
    client = site.server.client()
    wait_until(lambda: client.zcard(f"rq:wip:{_lane(site)}"), what="the execution")
    said = rq(site, "info")
    assert "1 executing, 1 finished, 1 failed" in said and ": busy" in said
    assert "1 finished, 1 failed" in rq(site, "info", "-W")
    assert client.hget(_worker_key(site), "current_job").decode() == f"{running}-1"
    for job in (f"{failed}-1", f"{done}-1"):
        assert 0 < client.ttl(f"rq:job:{job}") < 7 * 3600
        assert 0 < client.ttl(f"rq:results:{job}") < 7 * 3600
    worker.process.terminate()
    worker.wait()
    assert client.smembers("rq:workers") == set()


def test_a_worker_is_listed_again_after_redis_was_wiped(site: Site) -> None:
    site.worker("cpu", "--no-warm").ready()
    client = site.server.client()
    client.flushall()
    wait_until(lambda: client.scard("rq:workers") == 1, what="the worker in RQ's list")
    wait_until(site.queue.workers, what="the worker in ours")


@pytest.mark.parametrize(
    "poison",
    [
        {"data": b"\x80\x05garbage"},
        {"status": "nonsense", "created_at": "yesterday"},
        {"timeout": "long", "data": "{}"},
        {"created_at": "2026-01-01T00:00:00Z", "data": b"cos\nsystem\n(Vtouch canary\ntR."},
    ],
)
def test_a_poisoned_rq_job_is_dropped_and_the_next_run_goes_on(
    site: Site, poison: dict[str, str | bytes]
) -> None:
    worker = site.worker("cpu", "--no-warm").ready()
    client = site.server.client()
    lane = _lane(site)
    client.hset("rq:job:forged", mapping=poison)
    client.rpush(f"rq:queue:{lane}", "forged", "missing")
    assert site.ended(site.submit("steps=2")).state is State.FINISHED
    lists = f"rq:queue:{lane}", f"rq:queue:{lane}:intermediate"
    wait_until(lambda: not client.exists(*lists), what="an empty lane")
    assert worker.process.poll() is None and not list(site.folder.rglob("canary"))


def test_a_suspended_rq_starts_nothing_until_it_is_resumed(site: Site) -> None:
    rq(site, "suspend")
    site.worker("cpu", "--no-warm").ready()
    run_id = site.submit("steps=2")
    assert site.queue.get(run_id).state is State.QUEUED
    rq(site, "resume")
    assert site.ended(run_id).state is State.FINISHED


def test_every_button_of_rqs_tools_leaves_a_running_run_and_the_line_behind_it_alone(
    site: Site,
) -> None:
    """What `rq info|suspend|empty|requeue`, an `rq worker` and a program with RQ's API would do."""
    failed, running = site.submit("crash=2"), site.submit("steps=9999")
    worker = site.worker("cpu", "--no-warm")
    site.at_step(running, 2)
    waiting = site.submit("steps=2")
    client, lane, job_id = site.server.client(), _lane(site), f"{running}-1"
    wait_until(lambda: client.zcard(f"rq:wip:{lane}"), what="the execution")
    assert f"{lane}" in rq(site, "info") and "busy" in rq(site, "info", "-R")
    rq(site, "suspend")
    rq(site, "requeue", "--all", "--queue", lane)
    rq(site, "empty", "--all")
    rq(site, "resume")
    rqbook.rq_queue(lane, client).push_job_id(job_id)
    rq(site, "worker", lane, "--burst")  # somebody's own, on our lane
    site.at_step(running, site.steps(running)[-1]["step"] + 1)
    rq(site, "suspend")
    for press in _buttons(client, lane, job_id):
        press()
        site.at_step(running, site.steps(running)[-1]["step"] + 1)
    rq(site, "resume")
    site.at_step(running, site.steps(running)[-1]["step"] + 2)
    assert worker.process.poll() is None
    assert [site.queue.get(run).state for run in (running, waiting, failed)] == [
        *(State.RUNNING, State.QUEUED, State.FAILED)
    ]
    site.queue.cancel(running, by="ana")
    assert site.ended(running).state is State.CANCELLED and site.queue.get(running).attempt == 1
    assert site.ended(waiting).state is State.FINISHED
    assert site.queue.get(failed).attempt == 1 and site.kinds(failed).count("failed") == 1


def _buttons(client: redis.Redis, lane: str, job_id: str) -> list[Callable[[], object]]:
    """Everything that can be pressed against a job, a worker or a queue."""
    queue = rqbook.rq_queue(lane, client)
    name = Worker.all(connection=client)[0].name

    def job() -> Job:
        return Job.fetch(job_id, connection=client)

    return [
        lambda: send_stop_job_command(client, job_id),
        lambda: send_kill_horse_command(client, name),
        lambda: send_shutdown_command(client, name),
        lambda: job().cancel(),
        lambda: queue.enqueue_job(job()),  # "requeue" of a job that runs
        lambda: clean_registries(queue),
        lambda: job().delete(),
        lambda: queue.push_job_id(job_id),
        queue.empty,
        lambda: queue.delete(delete_jobs=True),
        lambda: client.delete("rq:workers", f"rq:worker:{name}"),
    ]


def test_rq_keys_of_a_wrong_type_stop_no_run(site: Site) -> None:
    worker = site.worker("cpu", "--no-warm").ready()
    client = site.server.client()
    for key in ("rq:workers", f"rq:queue:{_lane(site)}", f"rq:wip:{_lane(site)}"):
        client.delete(key)
        client.set(key, "garbage")
    assert site.ended(site.submit("steps=2")).state is State.FINISHED
    assert worker.process.poll() is None


def _lane(site: Site) -> str:
    return site.queue.workers()[0].card.lane


def _worker_key(site: Site) -> str:
    return next(iter(site.server.client().smembers("rq:workers"))).decode()
