"""From the command line to a worker at work: the lane's lock, the checks, the banner.

Everything that can refuse a start is here, and says what to do.
"""

import logging
import os
import platform
import shlex
import sys
import time
from contextlib import closing
from dataclasses import dataclass

import redis

from queue_worker import banner, connection, gpu, host, lane
from queue_worker.child import without_secrets
from queue_worker.daemon import GpuWorker
from queue_worker.lane import Lane
from queue_worker.notifier import Notifier, poster_of
from queue_worker.queue import Queue
from queue_worker.records import WorkerCard
from queue_worker.standby import Standby, versions
from schemas.rundir import RunsRoot
from schemas.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    gpu: str
    burst: bool = False
    max_runs: int | None = None
    warm: bool = True
    trainer_command: str = ""


def run(options: Options, settings: Settings) -> None:
    """Work in this lane until asked to leave; a TrainqError says why not."""
    mine = Lane.parse(options.gpu, settings.host)
    device = gpu.look(mine.index) if mine.index is not None else None
    client, place = connection.connect(settings, worker=True, announce=log.info)
    name = lane.lock_name(mine, device.uuid if device else "", f"{place.address} {settings.prefix}")
    with closing(lane.lock(lane.lock_folder() / name, mine.name)), client:
        try:
            _work(options, settings, mine, device, client)
        except (redis.RedisError, OSError) as error:
            raise connection.unreachable(error, place) from error


def _work(
    options: Options,
    settings: Settings,
    mine: Lane,
    device: gpu.Gpu | None,
    client: "redis.Redis",
) -> None:
    trainer = shlex.split(options.trainer_command) or [sys.executable, "-m", "trainer"]
    env = visible(mine)
    probe = None
    if device:
        probe = gpu.probe([sys.executable, "-m", "trainer.probe"], without_secrets(env))
        gpu.demand_kernels(probe)
    queue = Queue.connect(settings, worker=True)
    card = _card(settings, mine, device, queue.now())
    for line in banner.lines(_facts(card, settings, device, probe, client, queue), settings):
        print(line, file=sys.stderr)
    standby = Standby(trainer, env, warm=options.warm)
    notifier = Notifier(queue, poster_of(settings), by=card.lane, runs=RunsRoot(settings.runs))
    worker = GpuWorker(queue, client, card, settings, standby, notifier)
    worker.work(burst=options.burst, max_jobs=options.max_runs)


def visible(mine: Lane) -> dict[str, str]:
    """The one device that a trainer of this lane may see."""
    index = "" if mine.index is None else str(mine.index)
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": index}


def _card(settings: Settings, mine: Lane, device: gpu.Gpu | None, now: float) -> WorkerCard:
    return WorkerCard(
        lane=mine.name,
        host=mine.host,
        gpu=mine.gpu,
        boot_id=host.boot_id(),
        pid=os.getpid(),
        runs_root=RunsRoot(settings.runs).id(),
        memory_mb=device.memory_mb if device else 0,
        gpu_name=device.name if device else "",
        versions={"python": platform.python_version(), **versions()},
        user=settings.user,
        started_at=now,
    )


def _facts(
    card: WorkerCard,
    settings: Settings,
    device: gpu.Gpu | None,
    probe: gpu.Probe | None,
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
        gpu=device,
        probe=probe,
        redis_place=queue.place.address,
        redis_facts={**client.info("server"), **client.info("persistence")},
        latency_ms=latency_ms,
        runs=settings.runs.absolute(),
        runs_root=card.runs_root,
        free_bytes=host.free_bytes(settings.runs),
        data=settings.data.absolute(),
    )
