"""Ties a process to its parent by prctl(2). Standard library only: it runs before torch loads."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def die_with(parent: int) -> bool:
    """From now on the end of the parent is the end of this process; False: it ended already.

    The kernel watches the parent's thread that started us, so that one must not be a passing one.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def adopt_orphans() -> None:
    """Processes that our children leave behind become ours: the worker finds them by descent."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_children() -> None:
    """SIGKILL for what this process has started itself."""
    for listed in Path("/proc/self/task").glob("*/children"):
        for child in listed.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":  # elsewhere nothing starts trainers for others
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
