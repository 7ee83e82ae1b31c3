"""What commands cost, in processor time: the clock also counts our neighbours."""

from collections.abc import Callable
from resource import RUSAGE_CHILDREN, getrusage

TRIES = 3  # the least of them counts: a busy neighbour makes the same work dearer


def least_cpu_s(command: Callable[[], object]) -> float:
    """Of the processes that a call runs to their end."""
    return min(_cpu_s(command) for _ in range(TRIES))


def _cpu_s(command: Callable[[], object]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    command()
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
