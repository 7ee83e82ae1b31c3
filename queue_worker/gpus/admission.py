"""What a worker may take on its GPUs just now. Pure: what the driver reports, to an offer.

Cards are shared with people: a notebook that holds 20 GB is neither ours nor an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

NAMED = 2  # processes that one line names
SETTLE_S = 5.0  # a card stays free so long before we take it: people run one script after another
JUST_LEFT = f"others have just left; waits {SETTLE_S:.0f} s whether the card stays free"
DRIVERS_MB = 1024  # what a driver may keep of an empty card
MENDS_S = 30.0  # a trainer may take so long to give its memory back, a driver to find its words


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
    broken: bool = False  # no waiting helps: a person has to mend it


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier looks have shown. Times are of one clock that never jumps."""

    trainers: frozenset[int] = frozenset()  # pids that have borne the mark of a trainer of ours
    idle_mb: int = 0  # free of the fullest card when nothing of ours trained
    others_at: float | None = None  # when a worker with manners last had to wait for others
    bad_since: float | None = None  # since then a driver fails or a trainer that ended is there


UNSEEN = Past()


def look(
    readings: Sequence[Reading], manners: Manners, *, training: bool, past: Past, now: float
) -> tuple[Offer, Past]:
    """What these GPUs can take, and what to remember; `training`: a trainer of ours lives there."""
    readings = [_recognised(reading, past.trainers) for reading in readings]
    left = any(_ours(reading) for reading in readings) and not training
    bad = left or any(reading.fault for reading in readings)
    waits = any(_wait(reading, manners) for reading in readings) and not training
    free = min((reading.free_mb for reading in readings), default=0)
    seen = Past(
        idle_mb=past.idle_mb if training else free,
        trainers=frozenset(one.pid for reading in readings for one in _ours(reading)),
        others_at=now if waits else past.others_at,
        bad_since=None if not bad else now if past.bad_since is None else past.bad_since,
    )
    return offer(readings, manners, training=training, past=seen, now=now), seen


def offer(
    readings: Sequence[Reading],
    manners: Manners,
    *,
    training: bool = False,
    past: Past = UNSEEN,
    now: float = 0.0,
) -> Offer:
    """What these GPUs can take, in the light of what was seen before."""
    if not readings:
        return Offer()
    room = min(_room(reading, training, past.idle_mb) for reading in readings)
    memory = max(1, room)  # 0 would mean that no limit is known
    broken = past.bad_since is not None and now - past.bad_since > MENDS_S
    if faults := [_fault(reading) for reading in readings if reading.fault]:
        return Offer(memory, busy_with="; ".join(faults), broken=broken)
    others = "; ".join(_others(reading) for reading in readings if _foreign(reading))
    if training:  # whoever else is there now is waited for afterwards
        return Offer(memory, shared_with=others)
    if left := [_left(reading, broken) for reading in readings if _ours(reading)]:
        return Offer(memory, busy_with="; ".join(left), broken=broken)
    if waits := [why for reading in readings if (why := _wait(reading, manners))]:
        return Offer(memory, busy_with="; ".join(waits))
    if past.others_at is not None and now - past.others_at < SETTLE_S:
        return Offer(memory, busy_with=JUST_LEFT)
    return Offer(memory, shared_with=others)


def _recognised(reading: Reading, trainers: frozenset[int]) -> Reading:
    """A process that dies shows neither its mark nor its command any more: known by its number."""
    processes = (
        replace(one, trainer=True) if not one.command and one.pid in trainers else one
        for one in reading.processes
    )
    return replace(reading, processes=tuple(processes))


def _room(reading: Reading, training: bool, idle_mb: int) -> int:
    """What is free, and what our own trainer will give back."""
    if not training:
        return reading.free_mb
    if not any(process.memory_mb for process in reading.processes):
        return max(reading.free_mb, idle_mb)  # containers name nobody: it was ours to take
    return reading.free_mb + sum(process.memory_mb for process in _ours(reading))


def _fault(reading: Reading) -> str:
    return f"GPU {reading.index} does not answer: {reading.fault}"


def _left(reading: Reading, for_good: bool) -> str:
    """A trainer that should be gone."""
    told = f"GPU {reading.index}: {_told(_ours(reading))}"
    if for_good:
        return f"{told} does not die; a reboot frees the card"
    return f"{told} is still ending"


def _wait(reading: Reading, manners: Manners) -> str:
    """What a worker with manners waits for; empty when it need not."""
    wanted = manners.min_free_mb
    if not manners.wait or reading.fault:
        return ""
    if wanted and reading.free_mb < wanted:
        return f"{_others(reading)}; waits until {gigabytes(wanted)} are free"
    if not wanted and (_foreign(reading) or _taken(reading)):
        return f"{_others(reading)}; waits until the card is free"
    return ""


def _taken(reading: Reading) -> bool:
    """By somebody whom the driver does not name, as in containers."""
    return not reading.processes and reading.memory_mb - reading.free_mb > DRIVERS_MB


def _ours(reading: Reading) -> list[Process]:
    return [process for process in reading.processes if process.trainer]


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
    what = "a trainer of ours" if process.trainer else whose + (process.command or "process")
    return f"{what} (pid {process.pid}{memory})"


def gigabytes(megabytes: int) -> str:
    """`20 GB`: whole ones, so that the line does not change with every allocation."""
    return f"{megabytes / 1024:.0f} GB" if megabytes >= 1024 else f"{megabytes} MB"
