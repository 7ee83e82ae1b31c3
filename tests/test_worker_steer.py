"""`worker list`, `drain`, `resume`: who works, what keeps a worker from it, and how to end that."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import PATIENCE_S, wait_until
from support.workers import Site

from queue_worker.steer import table
from schemas.run import State


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, TRAINQ_USER="ana", COLUMNS="100")
    yield site
    site.close()


def environment(site: Site) -> dict[str, str]:
    return {**site.env, "PYTHONPATH": str(Path(__file__).parents[1])}


def say(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """`worker ...` as a real command."""
    return subprocess.run(
        [sys.executable, "-m", "queue_worker", *words],
        env=environment(site),
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_drained_worker_saves_puts_back_and_waits_for_its_resume(site: Site) -> None:
    run_id = site.submit("steps=5000")
    worker = site.worker("cpu", "--no-warm")
    site.at_step(run_id, 3)
    lane = site.queue.get(run_id).worker
    host = lane.partition(":")[0]
    assert f"busy   {run_id}" in say(site, "list").stdout
    drained = say(site, "drain", lane, "--reason", "new fan").stdout
    assert f"{lane}: drained" in drained and f"{run_id} saves a checkpoint" in drained
    back = wait_until(lambda: r if (r := site.queue.get(run_id)).state is State.QUEUED else None)
    assert back and back.checkpoint_step > 0
    listed = json.loads(say(site, "list", "--json").stdout)["workers"][0]
    assert (listed["state"], listed["control"]["reason"]) == ("drained", "new fan")
    assert "drained already" in say(site, "drain", lane, "--reason", "new fan").stdout
    assert worker.process.poll() is None and site.queue.get(run_id).attempt == 1
    assert say(site, "drain", host).returncode == 0
    left = say(site, "resume", lane).stdout
    assert f"{lane} still takes nothing: drained (host {host})" in left
    assert left.endswith(f"; try: worker resume {host}\n")
    assert f"{host}: no longer drained" in say(site, "resume", host).stdout
    wait_until(lambda: site.queue.get(run_id).attempt == 2, what="the second attempt")


def test_a_resume_ends_the_hold_of_a_circuit_breaker(site: Site) -> None:
    site.worker("cpu", "--no-warm").ready()
    (view,) = wait_until(site.queue.workers, what="the worker")
    lane = view.card.lane
    site.queue.set_control("hold", f"worker:{lane}", by="trainq", reason="3 broke")
    assert "held by trainq: 3 broke" in say(site, "list").stdout
    assert say(site, "resume", lane).stdout == f"{lane}: no longer held by trainq: 3 broke\n"
    assert say(site, "resume", lane).stdout == f"{lane}: was neither held nor drained\n"
    refused = say(site, "drain", "a100:0")
    assert refused.returncode == 3 and "there is no worker or host 'a100:0'" in refused.stderr


def test_worker_run_is_worker_and_bad_words_are_refused(site: Site) -> None:
    assert "no worker was seen today" in say(site, "list").stdout
    assert say(site, "run", "--gpu", "cpu", "--burst", "--no-warm").returncode == 0
    for words in ((), ("run",), ("drain",), ("drian", "v100:0")):
        answer = say(site, *words)
        assert answer.returncode == 2 and "Traceback" not in answer.stderr
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "queue_worker", "list"]
        told = subprocess.run(
            command,
            env=environment(site),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (told.returncode, told.stderr) == (1, "error: no space left on device\n")


def test_a_reason_that_is_too_long_stands_below() -> None:
    rows = [["v100:0", "", "drained", "", "a reason " * 9], ["v100:1", "", "idle", "", ""]]
    assert table(rows, 80) == [
        "WORKER  STATE    WHY",
        "v100:0  drained",
        "    a reason a reason a reason a reason a reason a reason a reason a reason a",
        "    reason",
        "v100:1  idle",
    ]
