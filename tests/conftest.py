"""Fixtures of the whole suite: no setting leaks in; a real, empty server for whoever asks; the door
to it, and those who sit at it.
"""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from support import lean, quick
from support.attendants import FORK
from support.desk import Desk
from support.servers import KINDS, TestServer
from support.slack_server import SlackServer
from support.waiting import TORCH_S, wait_until
from support.workers import Site

from queue_worker.queue import Queue
from schemas.rundir import RunsRoot

# A shell has its background jobs ignore Ctrl-C, and every process that a test starts would too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at each run: a find of chance is worth having, but no reason to refuse a change.
# HYPOTHESIS_PROFILE=default looks for new ones.
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Tests are gathered from modules that import torch, timm and scikit-learn, and all of that stays:
# nobody looks for garbage in it, then or later.
gc.disable()


def pytest_collection_finish() -> None:
    lean.over()
    gc.freeze()
    gc.enable()


OURS = ("TRAINQ_", "REDIS_", "SLACK_", "WANDB_")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRAINQ_PREFLIGHT_S", "0")  # a pre-flight loads torch: 4 s a test


@pytest.fixture(scope="session", params=KINDS)
def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestServer]:
    """One server of each kind for the session; tests that kill servers start their own."""
    server = TestServer(tmp_path_factory.mktemp("srv"), request.param).start()
    yield server
    server.kill()


@pytest.fixture
def server(shared_server: TestServer) -> Iterator[TestServer]:
    """The shared server, empty."""
    with shared_server.client() as client:
        client.flushall()
    yield shared_server


@pytest.fixture
def connection(server: TestServer) -> Iterator[redis.Redis]:
    """A client of the empty server."""
    with server.client() as client:
        yield client


@pytest.fixture
def queue(connection: redis.Redis) -> Queue:
    """The door to it."""
    return Queue(connection, "trainq:")


@pytest.fixture
def desk(server: TestServer, tmp_path: Path) -> Iterator[Desk]:
    """Where somebody types commands."""
    desk = Desk(server, tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A host for workers, with a server of its own that may be killed."""
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture(scope="session")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Starts trainers without a wait: where it is not their start that is to be proven."""
    folder = tmp_path_factory.mktemp("quick")
    FORK.Process(target=quick.serve, args=(folder / "s",), daemon=True).start()
    wait_until((folder / "s").exists, TORCH_S, what="the first trainer to be imported")
    return quick.write_python(folder)


@pytest.fixture
def runs(tmp_path: Path) -> RunsRoot:
    """A runs root."""
    return RunsRoot(tmp_path / "runs")


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    """A Slack on loopback, not looked for behind a proxy."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = SlackServer().start()
    yield server
    server.stop()
