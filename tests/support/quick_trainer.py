"""Stands in for `python` where `-m trainer` is to start at once: see `quick`.

A process of its own, a child of whoever started it: the trainer that does the work is forked from
one that has imported torch, gets our three descriptors, hears our signals, dies with us, and its
end is ours. `quick.write_python` puts it beside the door at which that one is asked for.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "-P"]
    if words[:2] != ["-m", "trainer"]:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    order = {"words": words[2:], "env": dict(os.environ), "cwd": str(Path.cwd())}
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(Path(__file__).with_name("s")))
        socket.send_fds(line, [b"\n"], [0, 1, 2])
        line.sendall(json.dumps(order | {"ppid": os.getppid()}).encode() + b"\n")
        for number in FORWARDED:
            signal.signal(number, lambda number, _: line.send(bytes([number])))
        end_as(int(line.recv(16) or b"256"))


def end_as(status: int) -> None:
    """As the one that worked did: by its code or by its signal."""
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
