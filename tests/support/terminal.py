"""A command on a terminal of its own: what it draws, and how it leaves the terminal."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

from support.desk import MODULES, Desk
from support.transcript import ANSI
from support.waiting import PATIENCE_S

ROWS = 24
HOME = "\x1b[H"
OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


def is_whole(frame: str) -> bool:
    """Whether every row of a screen has come."""
    return frame.count("\n") == ROWS - 1


class Terminal:
    """As a person in front of it."""

    def __init__(self, desk: Desk, tool: str, *words: str, columns: int = 80, **env: str) -> None:
        self._leader, follower = pty.openpty()
        size = struct.pack("HHHH", ROWS, columns, 0, 0)
        fcntl.ioctl(follower, termios.TIOCSWINSZ, size)
        kept = {k: v for k, v in {**os.environ, **desk.env}.items() if k != "COLUMNS"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULES[tool], *words],
            env={**kept, "TERM": "xterm", **env},
            cwd=desk.folder,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._leader)

    def until(self, text: str) -> str:
        """All that was drawn, once this is among it."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come; only {self.seen!r}"
            assert self._read(), f"{text!r} did not come before the end; only {self.seen!r}"
        return self.seen

    def frame(self, text: str) -> str:
        """A whole screen with this on it, as it stood there: no colours, no empty end."""
        self.until(text)
        while not (found := [f for f in self.seen.split(HOME) if text in f and is_whole(f)]):
            assert self._read(), f"no whole screen came; only {self.seen!r}"
        rows = ANSI.sub("", found[-1]).splitlines()
        return "\n".join(row.rstrip() for row in rows).rstrip()

    def becomes_quiet_for(self, seconds: float) -> bool:
        """Whether there comes a time in which nothing is written for so long."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if not select.select([self._leader], [], [], seconds)[0]:
                return True
            assert self._read(), f"its end came before it was quiet; only {self.seen!r}"
        return False

    def to_its_end(self) -> int:
        """The exit code; `seen` has all that was drawn."""
        while self._read():
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        if not select.select([self._leader], [], [], PATIENCE_S)[0]:
            return False
        try:
            chunk = os.read(self._leader, 65536)
        except OSError:  # the last writer is gone
            return False
        self.seen += chunk.decode(errors="replace")
        return bool(chunk)
