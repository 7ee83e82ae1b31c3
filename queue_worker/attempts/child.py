"""One trainer process: its pipes, its signals, its end. Knows no Redis, no run and no policy.

Spawn it from the main thread only: PDEATHSIG follows the thread that spawned the child.
"""

import contextlib
import logging
import os
import secrets
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from queue_worker.attempts import sweep
from schemas.events import BEAT, FENCED, Line, Order, Warm, parse_line

log = logging.getLogger(__name__)

SECRETS = ("REDIS_", "SLACK_")  # what a trainer never needs does not reach its environment
LINE_LIMIT = 1 << 20  # bytes; a trainer that writes more without an end of line is not ours
TURN_LIMIT = 1 << 18  # bytes taken at once, more than a pipe holds: a flood must not stop the beats


class Trainer:
    """One trainer process: imports, waits for an order, trains, ends."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.mark = sweep.mark(secrets.token_hex(4))
        self.warm: Warm | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`; what it says
        # before it has a log
        self._process = subprocess.Popen(
            [*command, "attend", "--parent", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in the worker's terminal is the worker's alone
            env={**without_secrets(env), sweep.VARIABLE: str(self.mark)},
        )
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._partial = b""
        self.pid = self._process.pid

    # ---- talk

    def order(self, order: Order) -> bool:
        """Turn it into the trainer of an attempt; False when it has died waiting."""
        try:
            self._stdin.write(order.model_dump_json().encode() + b"\n")
        except BrokenPipeError:
            return False
        os.set_blocking(self._stdin.fileno(), False)  # a full pipe must never stop the worker
        return True

    def beat(self) -> None:
        """Tell it that its parent runs."""
        self._write(BEAT)

    def fence(self) -> None:
        """Tell it that its lease is lost: leave, save nothing."""
        self._write(FENCED)

    def hear(self, timeout_s: float) -> list[Line]:
        """What it said, waiting at most so long; broken lines are logged and left out."""
        self._selector.select(timeout_s)
        return self._parse(self._read())

    # ---- end

    def ended(self) -> bool:
        """It has ended, though it may not be collected yet."""
        if self._process.returncode is not None:
            return True
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def send(self, number: signal.Signals) -> None:
        """A signal to the trainer itself."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL for it and its process group; never after its number was given back."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def collect(self) -> int:
        """Its exit code (negative: a signal), after what it started is gone too."""
        self.kill()
        code = self._process.wait()
        # whoever shows a finished run elsewhere may stay: `Followers` looks after them
        sweep.end_remains(self.mark, *([self.mark.followers] if code else []))
        return code

    def discard(self) -> None:
        """End one that is not needed any more."""
        self.kill()
        self.collect()
        self.close()

    def close(self) -> None:
        """Let go of its pipes."""
        self._selector.close()
        for pipe in (self._stdin, self._stdout, self._errors):
            with contextlib.suppress(OSError):
                pipe.close()

    def last_words(self) -> bytes:
        """What it wrote to stderr before it had a log: why it could not start."""
        self._errors.seek(0)
        return self._errors.read(64 * 1024)

    # ---- inside

    def _write(self, word: bytes) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._stdin.fileno(), word)

    def _read(self) -> bytes:
        chunks: list[bytes] = []
        while self._selector.get_map() and sum(map(len, chunks)) < TURN_LIMIT:
            try:
                chunk = os.read(self._stdout.fileno(), 65536)
            except BlockingIOError:
                break
            if not chunk:
                self._selector.unregister(self._stdout)
                break
            chunks.append(chunk)
        return b"".join(chunks)

    def _parse(self, fresh: bytes) -> list[Line]:
        *whole, self._partial = (self._partial + fresh).split(b"\n")
        if len(self._partial) > LINE_LIMIT:
            log.warning("the trainer wrote %d bytes without an end of line", len(self._partial))
            self._partial = b""
        lines = [line for raw in whole if raw.strip() and (line := _line(raw))]
        self.warm = next((line for line in lines if isinstance(line, Warm)), self.warm)
        return lines


def _line(raw: bytes) -> Line | None:
    try:
        return parse_line(raw)
    except ValidationError:
        log.warning("the trainer said something that is no event: %r", raw[:200])
        return None


def without_secrets(more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: ours, less what it must not know, and more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS)}
    return {**kept, **more}
