"""From the command line to a worker at work: the lane's lock, the checks, the banner.

Everything that can refuse a start is here, and says what to do.
"""

import errno
import logging
import os
import platform
import shlex
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import redis

from queue_worker import banner, host
from queue_worker.attempts.child import without_secrets
from queue_worker.attempts.standby import Standby, versions
from queue_worker.daemon import GpuWorker
from queue_worker.door import connection
from queue_worker.door.records import WorkerCard
from queue_worker.gpus import gpu, lane
from queue_worker.gpus.admission import Manners, gigabytes
from queue_worker.gpus.lane import Lane
from queue_worker.gpus.lookout import Lookout
from queue_worker.notices.notifier import Notifier, poster_of
from queue_worker.queue import Queue
from queue_worker.update import Checkout, Updates
from schemas.errors import TrainqError, UsageError
from schemas.rundir import RunsRoot
from schemas.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    gpu: str
    manners: Manners
    burst: bool = False
    max_runs: int | None = None
    warm: bool = True
    trainer_command: str = ""
    update: bool = False


def run(options: Options, settings: Settings) -> bool:
    """Work in this lane until asked to leave; a TrainqError says why not. Whether the code has
    changed, so that this process should begin anew.
    """
    mine = Lane.parse(options.gpu, settings.host)
    if options.manners.wait and not mine.indices:
        raise UsageError("--wait-for-gpu needs a GPU to wait for", fix=f"not with --gpu {mine.gpu}")
    updates = Updates(Checkout.here(), settings.lease_s) if options.update else None
    devices = tuple(gpu.look(index) for index in mine.indices)
    _demand_room(options.manners.min_free_mb, devices)
    demand_permission(devices, os.environ.get("CUDA_VISIBLE_DEVICES"))
    client, place = connection.connect(settings, worker=True, announce=log.info)
    with ExitStack() as held, client:
        for name in _locks(mine, devices, f"{place.address} {settings.prefix}"):
            held.enter_context(closing(lane.lock(lane.lock_folder() / name, mine.name)))
        try:
            return _work(options, settings, mine, devices, client, updates)
        except redis.RedisError as error:
            raise connection.unreachable(error, place) from error


def _demand_room(min_free_mb: int, devices: tuple[gpu.Gpu, ...]) -> None:
    """Refuse to wait for what no card has."""
    for device in devices:
        if min_free_mb > device.memory_mb:
            wanted, all_of_it = map(gigabytes, (min_free_mb, device.memory_mb))
            raise UsageError(
                f"GPU {device.index} has {all_of_it}: {wanted} will never be free",
                fix="--min-free-mem says what a run needs at least",
            )


def demand_permission(devices: tuple[gpu.Gpu, ...], given: str | None) -> None:
    """Refuse GPUs that a scheduler gave to somebody else: it says ours in this variable."""
    if given is None:
        return
    names = [name.strip() for name in given.split(",") if name.strip()]
    for device in devices:
        if str(device.index) not in names and not device.uuid.startswith(tuple(names)):
            raise UsageError(
                f"--gpu {device.index}: CUDA_VISIBLE_DEVICES leaves us {given or 'no GPU'}",
                fix="take one of those by its number, or unset CUDA_VISIBLE_DEVICES",
            )


def _locks(mine: Lane, devices: tuple[gpu.Gpu, ...], queue: str) -> list[str]:
    """A lock for each device, in one order for all workers."""
    uuids = [device.uuid for device in devices] or [""] * len(mine.devices)
    pairs = zip(mine.devices, uuids, strict=True)
    return sorted(lane.lock_name(mine.host, device, uuid, queue) for device, uuid in pairs)


def _work(
    options: Options,
    settings: Settings,
    mine: Lane,
    devices: tuple[gpu.Gpu, ...],
    client: "redis.Redis",
    updates: Updates | None,
) -> bool:
    trainer = shlex.split(options.trainer_command) or [sys.executable, "-m", "trainer"]
    probes = tuple(_probe(index) for index in mine.indices)
    queue = Queue.connect(settings, worker=True)
    card = _card(settings, mine, devices, queue.now())
    lookout = Lookout(lambda: tuple(map(gpu.read, mine.indices)), options.manners)
    facts = _facts(card, settings, tuple(zip(devices, probes, strict=True)), client, queue)
    for line in banner.lines(facts, settings, lookout.offer(training=False)):
        print(line, file=sys.stderr)
    standby = Standby(trainer, visible(mine.indices), warm=options.warm)
    notifier = Notifier(queue, poster_of(settings), by=card.lane, runs=RunsRoot(settings.runs))
    worker = GpuWorker(queue, client, card, settings, standby, notifier, lookout, updates)
    worker.work(burst=options.burst, max_jobs=options.max_runs)
    return worker.outdated and not worker.leaving


def _probe(index: int) -> gpu.Probe:
    """One kernel on this GPU, or a refusal."""
    env = without_secrets(visible((index,)))
    found = gpu.probe([sys.executable, "-m", "trainer.entry.probe"], env)
    gpu.demand_kernels(found)
    return found


def visible(indices: tuple[int, ...]) -> dict[str, str]:
    """The devices that a trainer of this lane may see, and no others."""
    shown = ",".join(map(str, indices))
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": shown}


def _card(settings: Settings, mine: Lane, devices: tuple[gpu.Gpu, ...], now: float) -> WorkerCard:
    return WorkerCard(
        lane=mine.name,
        host=mine.host,
        gpu=mine.gpu,
        boot_id=host.boot_id(),
        pid=os.getpid(),
        runs_root=_writable(settings.runs),
        gpus=len(mine.devices),
        memory_mb=min((device.memory_mb for device in devices), default=0),
        gpu_name=" + ".join(sorted({device.name for device in devices})),
        versions={"python": platform.python_version(), **versions()},
        user=settings.user,
        started_at=now,
    )


def _writable(runs: Path) -> str:
    """The id of a runs root in which this worker can write; said before a run is tried on it."""
    try:
        root_id = RunsRoot(runs).id()
        if not os.access(runs, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(runs))
    except OSError as error:
        raise TrainqError(
            f"run folders cannot be written: {os.strerror(error.errno or 0).lower()}",
            where=str(error.filename or runs),
            fix="set TRAINQ_RUNS to a folder that this user may write",
        ) from error
    return root_id


def _facts(
    card: WorkerCard,
    settings: Settings,
    gpus: tuple[tuple[gpu.Gpu, gpu.Probe], ...],
    client: "redis.Redis",
    queue: Queue,
) -> banner.Start:
    before = time.perf_counter()
    client.ping()
    latency_ms = (time.perf_counter() - before) * 1000
    return banner.Start(
        lane=card.lane,
        pid=card.pid,
        versions=card.versions,
        gpus=gpus,
        redis_place=queue.place.address,
        redis_facts={**client.info("server"), **client.info("persistence")},
        latency_ms=latency_ms,
        runs=settings.runs.absolute(),
        runs_root=card.runs_root,
        free_bytes=host.free_bytes(settings.runs),
        data=settings.data.absolute(),
        has_data=settings.data.is_dir(),
    )
