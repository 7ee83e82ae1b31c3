"""Finding Redis: what a person reads when it is not there, and never a password."""

import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from support.runs import submit
from support.servers import TestServer
from support.waiting import wait_until

from queue_worker.door import embedded
from queue_worker.door.connection import masked, too_old
from queue_worker.queue import Queue
from schemas.errors import QueueUnreachable
from schemas.settings import Settings

T = TypeVar("T")


def settings(url: str) -> Settings:
    return Settings.read({"REDIS_URL": url, "TRAINQ_USER": "ana"})


def test_a_unix_url_leads_to_the_queue(server: TestServer) -> None:
    queue = Queue.connect(settings(server.url))
    run_id = submit(queue)
    assert Queue.connect(settings(server.url), worker=True).get(run_id).id == run_id


def test_without_a_url_a_private_server_is_started_and_announced(tmp_path: Path) -> None:
    said: list[str] = []
    ours = Settings.read({"TRAINQ_STATE": str(tmp_path), "TRAINQ_USER": "ana"})
    run_id = submit(Queue.connect(ours, announce=said.append))
    assert len(said) == 1 and "private Redis server" in said[0]
    assert Queue.connect(ours, announce=said.append).get(run_id).id == run_id
    assert len(said) == 1
    embedded.stop(tmp_path / "redis")


def test_an_unreachable_redis_is_one_clear_error() -> None:
    with pytest.raises(QueueUnreachable) as error:
        Queue.connect(settings("redis://ana:hunter2@127.0.0.1:1/0"))
    what, where, fix = error.value.lines()
    assert what == (
        "error: cannot reach Redis at redis://ana:****@127.0.0.1:1/0 (connection refused)"
    )
    assert "REDIS_URL" in where and "docker compose up -d redis" in fix
    assert error.value.exit_code == 4


def test_a_refused_password_is_said_but_not_shown(server: TestServer) -> None:
    with server.client() as client:
        client.execute_command("ACL SETUSER ana on >right-one ~* &* +@all")
        with pytest.raises(QueueUnreachable, match="refuses us") as error:
            Queue.connect(settings(f"unix://ana:wrong-one@{server.socket}"))
        assert "wrong-one" not in "\n".join(error.value.lines())
        assert Queue.connect(settings(f"unix://ana:right-one@{server.socket}")).list() == []
        client.execute_command("ACL DELUSER ana")


REFUSALS: list[tuple[dict[str, str], str, str, str]] = [
    ({"requirepass": "s"}, "", "refuses us: it wants a password", ":password@host"),
    ({}, "?db=99", "refuses us (DB index is out of range)", "the number at the end of REDIS_URL"),
    ({"maxmemory": "1"}, "", "refuses to write: its memory is full", "raise its maxmemory"),
    ({"replicaof": "127.0.0.1 1"}, "", "refuses to write: it is a replica", "of its primary"),
]


@pytest.mark.parametrize(
    ("config", "query", "what", "fix"), REFUSALS, ids=["password", "database", "memory", "replica"]
)
def test_what_redis_refuses_is_said_with_what_helps(
    tmp_path: Path, config: dict[str, str], query: str, what: str, fix: str
) -> None:
    server = TestServer(tmp_path / "s").start()
    try:
        with server.client() as client:
            for name, value in config.items():
                if name == "replicaof":
                    client.execute_command("REPLICAOF", *value.split())
                else:
                    client.config_set(name, value)
        with pytest.raises(QueueUnreachable) as error:
            submit(Queue.connect(settings(f"unix://{server.socket}{query}")))
        assert what in error.value.what and fix in error.value.fix
    finally:
        server.kill()


def test_a_url_that_is_none_is_a_clear_error() -> None:
    with pytest.raises(QueueUnreachable, match="not a Redis URL"):
        Queue.connect(settings("localhost:6379"))


def test_a_server_that_dies_later_is_the_same_clear_error(tmp_path: Path) -> None:
    server = TestServer(tmp_path / "s").start()
    queue = Queue.connect(settings(server.url))
    server.kill()
    for ask in (queue.list, queue.counts, queue.now, queue.quarantined, queue.workers):
        with pytest.raises(QueueUnreachable, match="cannot reach Redis at unix://"):
            ask()


def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    server = TestServer(tmp_path / "s").start()
    ours = settings(f"{server.url}?socket_timeout=0.05")
    (queue,) = wait_until(lambda: in_time(lambda: Queue.connect(ours)), what="a connection")
    server.freeze()
    with pytest.raises(QueueUnreachable, match="no answer in time"):
        queue.list()
    server.thaw()
    assert wait_until(lambda: in_time(queue.list), what="an answer") == [[]]
    server.kill()


def in_time(ask: Callable[[], T]) -> list[T]:
    """The answer, if it comes within these 50 ms: a busy machine may take longer."""
    try:
        return [ask()]
    except QueueUnreachable:
        return []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:pw@localhost/0", "redis://:****@localhost/0"),
        ("rediss://ana:pw@[::1]:7/1", "rediss://ana:****@[::1]:7/1"),
        ("unix://ana:pw@/run/redis.sock?db=2", "unix://ana:****@/run/redis.sock?db=2"),
        ("redis://host/0?password=pw&db=1", "redis://host/0?password=****&db=1"),
        ("redis://host:port/0", "a URL that cannot be read"),
        ("redis://ana:p@w@host/0", "redis://ana:****@host/0"),
    ],
)
def test_a_password_is_masked_wherever_it_stands(url: str, shown: str) -> None:
    assert masked(url) == shown


class OldServer(socketserver.ThreadingTCPServer):
    """What a server before 6.2 says of itself; before 6.0 it does not know how to be greeted."""

    daemon_threads = True

    def __init__(self, version: str) -> None:
        super().__init__(("127.0.0.1", 0), Greeting)
        told = f"# Server\r\nredis_version:{version}\r\n"
        self.answers = {b"INFO": f"${len(told)}\r\n{told}\r\n", b"CLIENT": "+OK\r\n"}
        if version.startswith("6."):
            self.answers[b"HELLO"] = "%1\r\n$5\r\nproto\r\n:3\r\n"


class Greeting(socketserver.StreamRequestHandler):
    """One client of it."""

    server: OldServer

    def handle(self) -> None:
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                words.append(self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2])
            unknown = f"-ERR unknown command `{words[0].decode()}`, with args beginning with: \r\n"
            self.wfile.write(self.server.answers.get(words[0], unknown).encode())


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("6.0.16", "Redis 6.0.16 at redis://127.0.0.1:{} is too old"),
        (
            "5.0.7",
            "Redis at redis://127.0.0.1:{} refuses the first word: it is too old, or no Redis",
        ),
    ],
    ids=["6.0", "5.0"],
)
def test_a_server_that_is_too_old_is_refused_at_once_with_the_one_to_use(
    version: str, said: str
) -> None:
    with OldServer(version) as old:
        threading.Thread(target=old.serve_forever, daemon=True).start()
        with pytest.raises(QueueUnreachable) as error:
            Queue.connect(settings(f"redis://127.0.0.1:{old.server_address[1]}"))
        old.shutdown()
    what, _, fix = error.value.lines()
    assert what == f"error: {said.format(old.server_address[1])}"
    assert fix == "  try:   use Redis 6.2 or newer, or Valkey"


@pytest.mark.parametrize(
    ("version", "answer"), [("6.0.16", True), ("6.2.0", False), ("7.2.4", False), ("10.0", False)]
)
def test_servers_before_6_2_are_too_old(version: str, answer: bool) -> None:
    assert too_old(version) is answer
