"""Trainers that start at once, for tests of what trainers are part of: to import torch anew costs
each 5 s of a core. `quick_python` is a program to be given to whoever starts `python -m trainer`.

A real trainer it is all the same: a process, in which the trainer's own `main` runs. Tests of how
processes are started, killed, orphaned or found again start real ones.
"""

import json
import multiprocessing
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from trainer import lifeline
from trainer.__main__ import main

ITS_PYTHON = "QUICK_PYTHON"  # in a trainer's environment: what starts those that it starts
CLIENT = Path(__file__).with_name("quick_trainer.py")


def write_python(folder: Path) -> Path:
    """The program, which asks at the door `s` beside it."""
    program = folder / "python"
    program.write_text(f"#!{sys.executable} -IS\n{CLIENT.read_text()}")
    program.chmod(0o755)
    return program


def serve(door: Path) -> None:
    """Fork a keeper for each who asks, until whoever started us ends."""
    lifeline.die_with(os.getppid())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(door.with_name("new")))
        listening.listen(16)
        door.with_name("new").rename(door)
        while True:
            line, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                keep(line)
            line.close()


def keep(line: socket.socket) -> NoReturn:
    """Its one trainer ends with the one that asked for it, and the other way round."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, descriptors, _, _ = socket.recv_fds(line, 1, 3)
    with line.makefile("rb", buffering=0) as words:
        order = json.loads(words.readline())
    child = os.fork()
    if child == 0:
        line.close()
        become(descriptors, **order)
    for descriptor in descriptors:
        os.close(descriptor)
    ended = os.pidfd_open(child)
    while ended not in (ready := select.select([line, ended], [], [])[0]):
        heard = line.recv(16) if line in ready else b""
        for number in heard or [signal.SIGKILL]:
            os.kill(child, number)
        if not heard:
            break
    _, status = os.waitpid(child, 0)
    try:
        line.sendall(str(status).encode())
    except OSError:
        os._exit(1)  # it is gone
    os._exit(0)


def become(
    descriptors: list[int], words: list[str], env: dict[str, str], cwd: str, ppid: int
) -> NoReturn:
    """The trainer, as if it had been started where its line ends."""
    os.setsid()
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = ["trainer", *words]
    sys.executable = env.get(ITS_PYTHON, sys.executable)
    me, really = os.getpid(), os.getppid
    os.getppid = lambda: ppid if os.getpid() == me else really()  # its loader processes ask too
    multiprocessing.current_process().daemon = False  # it may have children
    code: Any = 1
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)
