"""Real Redis-compatible servers for tests: the wheel's, and Debian's where it is installed."""

import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from queue_worker.door import embedded
from support.waiting import PATIENCE_S, wait_until

DEBIAN = shutil.which("redis-server")
KINDS = ["valkey", *(["redis"] if DEBIAN else [])]
ON_ONE_SERVER = pytest.mark.parametrize("shared_server", ["valkey"], indirect=True)


def patient(url: str) -> str:
    """An address at which a worker waits for longer than its own 3 s, on a machine that stalls,
    and a Tab for longer than its half second, for a connection as for an answer.
    """
    return f"{url}?socket_timeout={PATIENCE_S:g}&socket_connect_timeout={PATIENCE_S:g}"


class TestServer:
    """One server process on a unix socket, AOF on; may be killed, frozen and started again."""

    __test__ = False

    def __init__(self, folder: Path, kind: str = "valkey") -> None:
        self.folder, self.kind = folder, kind
        self.socket = folder / "s"
        self.url = f"unix://{self.socket}"
        self.patient_url = patient(self.url)
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> "TestServer":
        binary = str(embedded.binary()) if self.kind == "valkey" else str(DEBIAN)
        self.process = subprocess.Popen(
            [
                *(binary, "--port", "0", "--unixsocket", str(self.socket)),
                *("--dir", str(self.folder), "--appendonly", "yes", "--save", ""),
                *("--logfile", str(self.folder / "log")),
            ],
            cwd=self.folder,
        )
        wait_until(self._answers, what=f"{self.kind} at {self.socket}")
        return self

    def client(self) -> redis.Redis:
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=PATIENCE_S, retry=retry
        )

    def kill(self) -> None:
        """As a power button would: SIGKILL."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_S)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
