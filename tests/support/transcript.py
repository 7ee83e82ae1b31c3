"""Commands in this process, as a pipe and as a terminal gets them, written down as one text."""

import contextlib
import io
import os
import pty
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from publisher import __main__ as publisher_cli
from publisher import queue_cli
from queue_worker import __main__ as worker_cli

MAINS: dict[str, Callable[[], None]] = {
    "publisher": publisher_cli.main,
    "queue": queue_cli.main,
    "worker": worker_cli.main,
}
TALK = "2> "  # in front of what went to stderr
ANSI = re.compile(r"\x1b\[[0-9;]*m")
IN_A_COLUMN = re.compile(r"  +\d+(\.\d+)?s\b")  # to the right of it: 12s is as wide as 0s
VARIES = (
    (re.compile(r"\b\d\d:\d\d:\d\d(\.\d+Z)?\b"), "00:00:00"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(T| \d\d:\d\d)?"), "2027-01-15"),
    (re.compile(r"\b\d+(\.\d+)?s\b"), "0s"),
    (re.compile(r"Valkey [\d.]+ at"), "Valkey 9.1.0 at"),
    (re.compile(r"[\d.]+ ms away"), "0.3 ms away"),
    (re.compile(r"\d+ MiB used"), "1 MiB used"),
    (re.compile(r"Redis is \d+\.\d s (ahead of|behind) this"), "Redis is 0.0 s behind this"),
)


class _Pipe(io.RawIOBase):
    """One end of a pipe that remembers what came, and that it came here."""

    def __init__(self, mark: str, told: list[tuple[str, str]]) -> None:
        self.mark, self.told = mark, told

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.told.append((self.mark, bytes(data).decode()))
        return len(data)


@contextlib.contextmanager
def pipes(told: list[tuple[str, str]]) -> Iterator[tuple[TextIO, TextIO]]:
    """stdout and stderr as two pipes, in the order of what was written."""
    out, err = (io.TextIOWrapper(_Pipe(mark, told), write_through=True) for mark in ("", TALK))  # type: ignore[type-var]
    yield out, err


@contextlib.contextmanager
def terminal(told: list[tuple[str, str]]) -> Iterator[tuple[TextIO, TextIO]]:
    """One terminal for both."""
    leader, follower = pty.openpty()

    def read() -> None:
        with contextlib.suppress(OSError):  # nobody holds the other end any more
            while chunk := os.read(leader, 65536):
                told.append(("", chunk.decode().replace("\r\n", "\n")))

    reader = threading.Thread(target=read)
    reader.start()
    with open(follower, "w") as screen:  # noqa: PTH123 - a descriptor has no path
        yield screen, screen
    reader.join()
    os.close(leader)


def typed(line: str, kind: Any = pipes) -> tuple[int, list[tuple[str, str]]]:
    """The command's own main, with the words as the shell would give them: code, and what came."""
    told: list[tuple[str, str]] = []
    words = shlex.split(line)
    code: Any = 0
    argv, stdin = sys.argv, sys.stdin
    with kind(told) as (out, err):
        sys.argv, sys.stdin = words, io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                MAINS[words[0]]()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv, sys.stdin = argv, stdin
    return code or 0, told


def written(told: list[tuple[str, str]]) -> str:
    """What came as lines, those of stderr marked; of a line that was rewritten the last state."""
    rows: list[str] = []
    begun = ""
    for mark, text in told:
        for part in text.splitlines(keepends=True):
            begun = (begun or mark) + part
            if part.endswith("\n"):
                rows.append(begun[:-1].rsplit("\r\x1b[K", 1)[-1].rstrip())
                begun = ""
    return "\n".join([*rows, *([begun] if begun.replace("\r\x1b[K", "") else [])])


def lasting(text: str, ids: Iterable[str], folder: str) -> str:
    """The text with ids in the order in which they came, and without clocks."""
    known: dict[str, str] = {}
    text = text.replace(folder, "~")
    every = re.compile(rf"\b({'|'.join([*ids, 'no id'])})\b")
    text = every.sub(lambda found: known.setdefault(found[0], f"id{len(known) + 1:04}"), text)
    text = IN_A_COLUMN.sub(lambda found: "0s".rjust(len(found[0])), text)
    for varies, steady in VARIES:
        text = varies.sub(steady, text)
    return text
