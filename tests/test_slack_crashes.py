"""Dead notifiers, two hosts at once, an absent Redis: still everything is told once."""

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.notices import PACE, bot, cancelled, notifier, titles, webhook
from support.servers import TestServer
from support.slack_server import (
    HANG,
    HOLD,
    TOKEN,
    Fault,
    SlackServer,
    rate_limited,
)
from support.waiting import PATIENCE_S, wait_until

from queue_worker.queue import Queue
from schemas.rundir import RunsRoot


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """One kind of server is enough here: the door's own tests run its scripts on both."""
    server = TestServer(tmp_path_factory.mktemp("srv")).start()
    yield server
    server.kill()


SENDER = """
import sys, threading
import redis
from pydantic import SecretStr
from pathlib import Path
from queue_worker.notices.notifier import Notifier, Pace
from queue_worker.queue import Queue
from queue_worker.notices.slack import Bot
from schemas.rundir import RunsRoot
socket, api_url, by, runs, token = sys.argv[1:]
bot = Bot(SecretStr(token), api_url=api_url, channel="#ml-runs", users={}, timeout_s=20)
bot.gap_s = 0
queue = Queue(redis.Redis(unix_socket_path=socket), "trainq:")
pace = Pace(poll_s=0.01, first_wait_s=0.02, longest_wait_s=0.2, patience_s=0.8)
Notifier(queue, bot, by=by, runs=RunsRoot(Path(runs)), pace=pace).run(threading.Event())
"""


class Sender:
    """A notifier in a process of its own, to be killed."""

    def __init__(self, server: TestServer, slack: SlackServer, runs: RunsRoot, by: str) -> None:
        arguments = [str(server.socket), slack.api_url, by, str(runs.path), TOKEN]
        self.process = subprocess.Popen([sys.executable, "-c", SENDER, *arguments])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)


@pytest.mark.parametrize("fault", [HOLD, HANG], ids=["slack-has-it", "slack-has-it-not"])
@pytest.mark.parametrize("heir", ["v100:0", "other:0"], ids=["same-lane", "another-host"])
def test_of_a_notifier_killed_while_sending_the_next_one_finds_out_what_slack_has(
    queue: Queue, slack: SlackServer, runs: RunsRoot, server: TestServer, fault: Fault, heir: str
) -> None:
    cancelled(queue, 2)
    slack.order("chat.postMessage", fault)
    slack.order("conversations.history", rate_limited(0.02))  # a doubt outlives a failed look
    sender = Sender(server, slack, runs, "v100:0")
    wait_until(lambda: slack.count("chat.postMessage"))
    sender.kill()
    slack.release.set()
    wait_until(lambda: slack.messages or fault is HANG)
    assert notifier(queue, bot(slack), runs, by=heir).flush(PATIENCE_S)
    assert slack.texts() == titles(2)


def test_notifiers_killed_at_any_moment_leave_each_notice_told_once(
    queue: Queue, slack: SlackServer, runs: RunsRoot, server: TestServer
) -> None:
    cancelled(queue, 40)
    for number in range(1, 6):
        sender = Sender(server, slack, runs, f"host{number % 2}:0")
        enough = len(slack.calls) + number
        wait_until(lambda enough=enough: len(slack.calls) >= enough)  # type: ignore[misc]
        sender.kill()
    assert notifier(queue, bot(slack), runs, by="last:0").flush(PATIENCE_S)
    assert slack.texts() == titles(40)


def test_two_hosts_at_once_tell_everything_once_and_in_order(
    server: TestServer, slack: SlackServer, runs: RunsRoot, queue: Queue
) -> None:
    cancelled(queue, 40)
    stop = threading.Event()
    threads = []
    for host in ("a:0", "b:0"):
        own = Queue(server.client(), "trainq:")
        mine = notifier(own, bot(slack), runs, by=host, pace=replace(PACE, patience_s=60))
        threads.append(threading.Thread(target=mine.run, args=(stop,), daemon=True))
        threads[-1].start()
    wait_until(lambda: not queue.notices_open())
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert slack.texts() == titles(40)


def test_a_redis_that_dies_between_the_post_and_the_record_of_it_costs_no_repeat(
    slack: SlackServer, runs: RunsRoot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = TestServer(tmp_path / "own").start()
    queue = Queue(server.client(), "trainq:")
    cancelled(queue)
    worker = notifier(queue, webhook(slack), runs)
    slack.order("webhook", HOLD)
    step = threading.Thread(target=worker.step, daemon=True)
    step.start()
    wait_until(lambda: slack.count("webhook"))
    server.kill()
    slack.release.set()
    step.join(PATIENCE_S)
    assert worker.step() == worker.step() == 0
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    server.start()
    assert worker.flush(PATIENCE_S) and slack.texts() == titles(1)
    server.kill()
