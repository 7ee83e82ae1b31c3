"""Two hosts that share a queue and nothing else: names, disks, data and addresses are their own."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.proxy import LossyProxy
from support.servers import TestServer
from support.team import Team
from support.waiting import PATIENCE_S, wait_until
from support.workers import FAKE

from schemas.events import EventKind
from schemas.run import Run, State
from schemas.rundir import RunsRoot


class Host(Team):
    """A host of the team: it reaches the queue over TCP at an address that only it uses."""

    def __init__(self, server: TestServer, folder: Path) -> None:
        self.proxy = LossyProxy(server.socket)
        super().__init__(self.proxy.url, folder)
        self.env |= {"TRAINQ_HOST": folder.name, "TRAINQ_RESUME_WAIT_S": "600"}

    def works(self, *args: str) -> int:
        """A worker at work here; its pid."""
        return self.worker("--trainer-command", FAKE, "--no-warm", *args).pid

    def close(self) -> None:
        super().close()
        self.proxy.close()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Where people sit, and where the GPU is."""
    server = TestServer(tmp_path / "srv").start()
    alpha, beta = Host(server, tmp_path / "alpha"), Host(server, tmp_path / "beta")
    yield alpha, beta
    alpha.close()
    beta.close()
    server.kill()


def a_run(host: Host, note: str) -> str:
    return host.submit(host.config("small", "model: {name: resnet10t}"), f'note="{note}"')


def lost_on_the_second(alpha: Host, beta: Host) -> Run:
    """A run in line again, behind a checkpoint: its worker was killed while the other looked on."""
    run_id = a_run(alpha, "steps=40 gate=12 first")
    pid = beta.works()
    alpha.until_step(run_id, 10)
    alpha.works()
    os.kill(pid, signal.SIGKILL)
    alpha.expire(run_id)
    return alpha.until(run_id, State.QUEUED)


def begin_of(host: Host, run_id: str) -> str:
    """The first two lines of the second attempt's log, which is on this host."""
    (log,) = (host.runs / run_id / "attempts").glob("2-*/run.log")
    return "".join(log.read_text().splitlines(keepends=True)[:2])


def test_what_is_submitted_on_one_host_and_runs_on_the_other_is_read_on_the_first(
    hosts: tuple[Host, Host],
) -> None:
    alpha, beta = hosts
    run_id = a_run(alpha, "steps=8")
    beta.works("--burst")
    run = alpha.until(run_id, State.FINISHED)
    assert run.worker == "beta:cpu" and run.runs_root == RunsRoot(beta.runs).id()
    log = alpha.queue("logs", run_id).stdout
    assert "step 8" in log and f"data in {beta.data}" in log
    assert [row["accuracy"] for row in alpha.door.metrics(run_id)] == [0.9]
    shown = json.loads(alpha.queue("show", run_id, "--json").stdout)
    assert "beta:cpu" in json.dumps(shown)
    assert ".900" in alpha.queue("results").stdout
    assert (beta.runs / run_id / "result.json").is_file() and not (alpha.runs / run_id).exists()


def test_a_checkpoint_whose_only_host_is_gone_is_waited_for_and_then_given_up_aloud(
    hosts: tuple[Host, Host],
) -> None:
    alpha, beta = hosts
    run_id = lost_on_the_second(alpha, beta).id
    said = alpha.queue("list").stdout
    assert "its checkpoint is on a host without a worker" in said
    with redis.Redis.from_url(alpha.env["REDIS_URL"]) as client:  # ten minutes later
        client.zincrby("trainq:roots", -600, RunsRoot(beta.runs).id())
    run = alpha.until(run_id, State.FINISHED)
    assert (run.attempt, run.worker) == (2, "alpha:cpu")
    assert begin_of(alpha, run_id) == f"begin at step 0\ndata in {alpha.data}\n"
    assert EventKind.STARTED_OVER in {event.kind for event in alpha.door.events(run_id=run_id)}
    wait_until(lambda: alpha.told() == [run_id], what="the notice")
    assert "started over from step 0" in alpha.notices.read_text()


def test_a_host_that_comes_back_in_time_goes_on_with_its_own_checkpoint(
    hosts: tuple[Host, Host],
) -> None:
    alpha, beta = hosts
    lost = lost_on_the_second(alpha, beta)
    beta.processes[0].wait(PATIENCE_S)
    beta.works()
    run = alpha.until(lost.id, State.FINISHED)
    assert (run.attempt, run.worker) == (2, "beta:cpu")
    assert begin_of(beta, run.id) == f"begin at step {lost.checkpoint_step}\ndata in {beta.data}\n"
