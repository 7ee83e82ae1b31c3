"""Writes what the loop hands over while the loop goes on: one thread, one thing at a time.

What is handed over must not change any more. Only the loop tells of it, and not before it is whole.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from trainer.faults import Fault

LOG = logging.getLogger(__name__)
T = TypeVar("T")


class Saver:
    """Its thread begins with the first thing to write: loader processes are forked before that."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "saver")
        self._writing: tuple[Future[Any], Callable[[Any], None]] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being written, or was and has not been told."""
        return self._writing is not None

    def write(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Begin. `then` hears what came of it, where `look` or `settle` is called."""
        self.settle()
        self._writing = self._thread.submit(work), then

    def look(self) -> None:
        """Tell of what is done; waits for nothing."""
        if self._writing and self._writing[0].done():
            self.settle()

    def settle(self) -> None:
        """Wait for what is being written and tell of it; what went wrong there is raised here."""
        if not self._writing:
            return
        future, then = self._writing
        wait([future])  # a signal handler may raise in here: it then is still to be told
        self._writing = None
        then(future.result())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Whatever ends a run, what it was writing gets done and told."""
        try:
            self.settle()
        except Fault as fault:
            if error is None:
                raise
            LOG.warning("%s", fault)  # the first reason to end is the one that counts
        finally:
            self._thread.shutdown()
