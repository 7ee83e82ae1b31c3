"""Trainers as processes of their own, forked from a server that has imported torch once."""

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TypeVar

from schemas.events import BEAT, Line, Order, Warm, parse_line
from support.waiting import PATIENCE_S, wait_until
from trainer.__main__ import attend, main

FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(
    [
        "support.roomy",
        "support.lean",
        "trainer.entry.attempt",
        "trainer.entry.attend",
        "support.attendants",
        "support.doomed",
        "support.quick",
    ]
)

L = TypeVar("L", bound=Line)


class Attendant:
    """A `trainer attend` process between two named pipes, as a worker sees it; its ranks are
    started by `python` where that is named.
    """

    def __init__(self, folder: Path, *, noisy: bool = False, python: Path | None = None) -> None:
        folder.mkdir()
        os.mkfifo(folder / "in")
        os.mkfifo(folder / "out")
        self.process: ForkServerProcess = FORK.Process(target=live, args=(folder, noisy, python))
        self.process.start()
        self.output = os.open(folder / "out", os.O_RDONLY | os.O_NONBLOCK)
        self.input = os.open(folder / "in", os.O_WRONLY)  # waits for the child to open it
        self.log = folder / "log"
        self.raw = b""
        self.working = False  # before its order a beat would be taken for one
        self.next(Warm)

    def take(self, order: Order) -> "Attendant":
        os.write(self.input, order.model_dump_json().encode() + b"\n")
        self.working = True
        return self

    def beat(self) -> None:
        with suppress(BrokenPipeError):
            os.write(self.input, BEAT)

    def say(self, words: bytes) -> None:
        os.write(self.input, words)

    def hang_up(self) -> None:
        os.close(self.input)

    def lines(self) -> list[Line]:
        """Everything said so far; a line that is no line fails the test."""
        try:
            while more := os.read(self.output, 65536):
                self.raw += more
        except BlockingIOError:
            pass
        whole, _, _ = self.raw.rpartition(b"\n")
        return [parse_line(line) for line in whole.splitlines()]

    def next(self, kind: type[L], number: int = 1, limit_s: float = PATIENCE_S) -> L:
        """The so-manieth line of a kind, once it is said; until then the trainer hears beats."""

        def found() -> L | None:
            if self.working:
                self.beat()
            lines = [line for line in self.lines() if isinstance(line, kind)]
            return lines[number - 1] if len(lines) >= number else None

        line = wait_until(found, limit_s, f"{kind.__name__} number {number}")
        assert line
        return line

    def signal(self, number: int) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def code(self, limit_s: float = PATIENCE_S) -> int:
        """How it ended, once it has: an exit code, or a signal as a negative number."""
        wait_until(
            lambda: self.lines() is not None and not self.process.is_alive(), limit_s, "its end"
        )
        assert self.process.exitcode is not None
        return self.process.exitcode

    def kill(self) -> None:
        if self.process.is_alive():
            self.signal(signal.SIGKILL)
        self.process.join()
        os.close(self.output)


class ByHand:
    """A `trainer train` process, with what it prints."""

    def __init__(self, folder: Path, *words: str, python: Path | None = None) -> None:
        self.out, self.talk = folder / "stdout", folder / "stderr"
        self.process: ForkServerProcess = FORK.Process(target=type_in, args=(folder, words, python))
        self.process.start()

    def signal(self, number: int) -> None:
        assert self.process.pid
        os.kill(self.process.pid, number)

    def code(self, limit_s: float = PATIENCE_S) -> int:
        wait_until(lambda: not self.process.is_alive(), limit_s, "its end")
        assert self.process.exitcode is not None
        return self.process.exitcode


def type_in(folder: Path, words: tuple[str, ...], python: Path | None) -> None:
    """The child: as a person at a shell in that folder, with stdout and stderr in files."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
    os.chdir(folder)
    if python:
        sys.executable = str(python)
    sys.argv = ["trainer", "train", *words]
    main()


def live(folder: Path, noisy: bool, python: Path | None) -> None:
    """The child: its three descriptors as a worker sets them, then the real entry."""
    for descriptor, name, flags in (
        (0, "in", os.O_RDONLY),
        (1, "out", os.O_WRONLY),
        (2, "log", os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(folder / name, flags, 0o644), descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    if noisy:
        make_noise()
    if python:
        sys.executable = str(python)
    attend(os.getppid())


def make_noise() -> None:
    """What third-party code does: it prints, from Python and from below it, at any time."""
    pipe, pause = os.fstat(1).st_ino, threading.Event()

    def shout() -> None:
        while True:
            pause.wait(0.005)
            if os.fstat(1).st_ino != pipe:  # the trainer has put its stdout away
                print("progress: 42%", flush=True)
                os.write(1, b"a warning from a C library\n")

    threading.Thread(target=shout, daemon=True).start()
