"""What a worker may take on its GPUs just now. Pure: what the driver reports, to an offer.

Cards are shared with people: a notebook that holds 20 GB is neither ours nor an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NAMED = 2  # processes that one line names


@dataclass(frozen=True, slots=True)
class Process:
    """A process that computes on a GPU."""

    pid: int
    memory_mb: int = 0  # 0: the driver does not say
    owner: str = ""  # "" where it lives in another namespace, or is gone
    command: str = ""
    trainer: bool = False  # it bears the mark of a trainer of ours


@dataclass(frozen=True, slots=True)
class Reading:
    """What the driver reported of one GPU."""

    index: int
    memory_mb: int = 0
    free_mb: int = 0
    processes: tuple[Process, ...] = ()
    fault: str = ""  # why there is nothing to report


@dataclass(frozen=True, slots=True)
class Manners:
    """How a worker behaves beside others on its cards."""

    wait: bool = False  # until nobody else computes there, or until enough is free
    min_free_mb: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a run may use of each GPU, and why nothing is taken."""

    memory_mb: int = 0  # 0: no limit is known
    busy_with: str = ""
    shared_with: str = ""  # who else is there, though runs are taken


def offer(readings: Sequence[Reading], manners: Manners, training: bool) -> Offer:
    """What these GPUs can take; `training` when a trainer of this worker lives on them."""
    if not readings:
        return Offer()
    room = min(_room(reading, training) for reading in readings)
    memory = max(room, 1)  # 0 would mean that no limit is known
    if reasons := list(_in_the_way(readings, manners, training)):
        return Offer(memory, busy_with="; ".join(reasons))
    others = [_others(reading) for reading in readings if _foreign(reading)]
    return Offer(memory, shared_with="; ".join(others))


def _room(reading: Reading, training: bool) -> int:
    """What is free, and what our own trainer will give back."""
    ours = sum(process.memory_mb for process in reading.processes if process.trainer)
    return reading.free_mb + (ours if training else 0)


def _in_the_way(readings: Sequence[Reading], manners: Manners, training: bool) -> Iterator[str]:
    for reading in readings:
        if reading.fault:
            yield f"GPU {reading.index} does not answer: {reading.fault}"
        elif left := [p for p in reading.processes if p.trainer and not training]:
            yield (
                f"GPU {reading.index}: {_told(left)} of an earlier run does not die; "
                "a reboot frees the card"
            )
        elif manners.wait and (why := _wait(reading, manners, training)):
            yield why


def _wait(reading: Reading, manners: Manners, training: bool) -> str:
    """What a worker with manners waits for; empty when it need not."""
    wanted = manners.min_free_mb
    if wanted and _room(reading, training) < wanted:
        return f"{_others(reading)}; waits until {gigabytes(wanted)} are free"
    if not wanted and _foreign(reading):
        return f"{_others(reading)}; waits until the card is free"
    return ""


def _foreign(reading: Reading) -> list[Process]:
    return [process for process in reading.processes if not process.trainer]


def _others(reading: Reading) -> str:
    """Who else has memory of a card."""
    foreign = _foreign(reading)
    if not foreign:
        taken = gigabytes(reading.memory_mb - reading.free_mb)
        return f"GPU {reading.index}: {taken} are taken by nobody the driver names"
    return f"GPU {reading.index}: {_told(foreign)}"


def _told(processes: Sequence[Process]) -> str:
    """`bo's python lab.py (pid 4121, 20 GB) and 2 more`, the largest first."""
    largest = sorted(processes, key=lambda process: (-process.memory_mb, process.pid))
    more = f" and {len(processes) - NAMED} more" if len(processes) > NAMED else ""
    return ", ".join(_one(process) for process in largest[:NAMED]) + more


def _one(process: Process) -> str:
    memory = f", {gigabytes(process.memory_mb)}" if process.memory_mb else ""
    whose = f"{process.owner}'s " if process.owner else "an unseen "
    return f"{whose}{process.command or 'process'} (pid {process.pid}{memory})"


def gigabytes(megabytes: int) -> str:
    """`20 GB`: whole ones, so that the line does not change with every allocation."""
    return f"{megabytes / 1024:.0f} GB" if megabytes >= 1024 else f"{megabytes} MB"
