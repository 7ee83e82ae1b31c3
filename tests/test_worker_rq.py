"""RQ's own tools show our workers and attempts; whatever they break, no run notices."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import wait_until
from support.workers import Site

from schemas.run import State


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def rq(site: Site, *arguments: str) -> str:
    """What RQ's command line says."""
    command = [sys.executable, "-m", "rq.cli", *arguments, "--url", site.server.url]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return answer.stdout


def test_rq_info_shows_the_worker_and_its_attempts(site: Site) -> None:
    failed, done, running = site.submit("crash=2"), site.submit("steps=2"), site.submit("steps=999")
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
        {"created_at": "2026-01-01T00:00:00Z", "data": '["os.system",null,["touch canary"],{}]'},
    ],
)
def test_a_poisoned_rq_job_is_dropped_and_the_next_run_goes_on(
    site: Site, poison: dict[str, str]
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
