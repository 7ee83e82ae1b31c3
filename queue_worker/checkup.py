"""The doctor of a GPU host: asks for everything that a worker there will need.

Starts no worker and takes no lock; the judges are pure functions here and beside what they judge.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from queue_worker import start, unit
from queue_worker.attempts.child import without_secrets
from queue_worker.door.records import WorkerView
from queue_worker.gpus import gpu, lane
from queue_worker.gpus.admission import Manners, Offer, offer
from queue_worker.gpus.gpu import Gpu, Probe
from queue_worker.gpus.lane import Lane
from queue_worker.notices import slack_check
from queue_worker.queue import Queue
from schemas import diagnosis, surroundings
from schemas.diagnosis import Finding, fail, ok, warn
from schemas.errors import TrainqError, count
from schemas.settings import Settings, for_wandb, strangers


def examine(
    settings: Settings, gpus: str, env: Mapping[str, str], dotenv: Path | None
) -> Iterator[Finding]:
    """Everything about this host; of these GPUs, or of all that it has."""
    asked = Lane.parse(gpus, settings.host) if gpus else None
    yield from diagnosis.of_strangers(strangers(env, dotenv))
    yield from _queue(settings)
    yield from slack_check.check(settings)
    yield from surroundings.examine({**env, **for_wandb(env, dotenv)}, settings, host=True)
    try:
        mine = asked or Lane.parse(_all() or "cpu", settings.host)
    except TrainqError as error:
        yield of(error, "gpu")
        return
    if not mine.indices:
        yield from _cpu()
        return
    for index in mine.indices:
        yield from _gpu(index, mine, env)
    for name in (mine.gpu,) if asked else map(str, mine.indices):
        yield from unit.judge(unit.examine(name), name, settings.grace_s)


def of(error: TrainqError, subject: str) -> Finding:
    """An error of a start as a finding."""
    text = error.what + (f" ({error.where})" if error.where else "")
    return fail(subject, text, error.fix or "see above")


# ---- the queue -----------------------------------------------------------------------------------


def _queue(settings: Settings) -> Iterator[Finding]:
    try:
        queue = Queue.connect(settings)
        yield from queue.health()
        yield from unread(len(queue.quarantined()))
        workers = queue.workers()
    except TrainqError as error:
        yield of(error, "redis")
        return
    here = Lane.parse("cpu", settings.host).host
    yield from colleagues([view for view in workers if view.card.host == here])


def unread(records: int) -> Iterator[Finding]:
    """Records that are set aside."""
    if records:
        what = f"{count(records, 'record')} cannot be read and set aside"
        yield warn("queue", what, "queue list names them; queue show ID says why")


def colleagues(workers: Sequence[WorkerView]) -> Iterator[Finding]:
    """Workers of this host that should be at work."""
    for view in workers:
        name = view.card.lane
        if not view.alive:
            fix = "it left without a word: look at its log, and start it again"
            yield warn("worker", f"{name} was seen today and is silent", fix)
        elif view.card.busy_with:
            yield warn("worker", f"{name} takes nothing: {view.card.busy_with}", "worker list")
        else:
            yield ok("worker", f"{name} {'trains ' + view.run if view.run else 'waits for runs'}")


# ---- devices -------------------------------------------------------------------------------------


def _all() -> str:
    return ",".join(map(str, range(gpu.count())))


def _cpu() -> Iterator[Finding]:
    yield ok("gpu", "none: worker --gpu cpu")
    try:
        found = _probe(())
    except TrainqError as error:
        yield of(error, "torch")
        return
    yield ok("torch", f"{found.torch} starts")


def _gpu(index: int, mine: Lane, env: Mapping[str, str]) -> Iterator[Finding]:
    try:
        device = gpu.look(index)
        start.demand_permission((device,), env.get("CUDA_VISIBLE_DEVICES"))
        yield from device_findings(device, _probe((index,)))
    except TrainqError as error:
        yield of(error, "gpu")
        return
    lock = lane.lock_folder() / lane.lock_name(mine.host, str(index), device.uuid, "")
    worker = lane.holder(lock)
    seen = offer([gpu.read(index)], Manners(), training=bool(worker))
    yield from beside(index, worker, seen)


def _probe(indices: tuple[int, ...]) -> Probe:
    env = without_secrets(start.visible(indices))
    return gpu.probe([sys.executable, "-m", "trainer.entry.probe"], env)


def device_findings(device: Gpu, probe: Probe) -> Iterator[Finding]:
    """The card, and the driver against torch."""
    total, free = device.memory_mb / 1024, device.free_mb / 1024
    yield ok("gpu", f"GPU {device.index}: {device.name}, {total:.1f} GiB ({free:.1f} free)")
    try:
        gpu.demand_kernels(probe)
    except TrainqError as error:
        yield of(error, "torch")
        yield from _versions(device, probe)
        return
    if probe.untried:
        said = f"torch {probe.torch} has kernels for {probe.sm}; not tried, the card is full"
        yield warn("torch", said, "ask again when those who use it have left")
    else:
        said = f"torch {probe.torch} computes on {probe.sm} with driver {device.driver}"
        yield ok("torch", f"{said}; amp: {probe.amp}")


def _versions(device: Gpu, probe: Probe) -> Iterator[Finding]:
    """A driver serves every CUDA of its own major version, and older ones."""
    if not (probe.cuda and device.cuda) or _major(probe.cuda) <= _major(device.cuda):
        return
    what = f"driver {device.driver} speaks CUDA {device.cuda}, torch was built for {probe.cuda}"
    yield fail("driver", what, f"a newer driver, or a torch wheel for CUDA {_major(device.cuda)}")


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def beside(index: int, worker: str, seen: Offer) -> Iterator[Finding]:
    """Who else has the card."""
    if worker:
        yield ok("gpu", f"GPU {index} has its worker: {worker}")
    if seen.busy_with:
        fix = "nvidia-smi and dmesg tell more; a reset or a reboot helps"
        yield fail("gpu", seen.busy_with, fix)
    elif seen.shared_with:
        fix = "worker --wait-for-gpu --min-free-mem 12G waits for people"
        yield warn("gpu", seen.shared_with, fix)
