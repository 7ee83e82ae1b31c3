"""The name of a worker's place, `<host>:<gpu>`, and the locks that let one worker have its GPUs."""

import fcntl
import hashlib
import os
import re
import socket
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from queue_worker import host
from schemas.errors import UsageError

NUMBER = r"(0|[1-9]\d?)"  # `00` would be another name of the same GPU
ONE_CPU = r"cpu(:[1-9]\d?)?"
GPU_PATTERN = re.compile(rf"{NUMBER}(,{NUMBER})*|{ONE_CPU}(,{ONE_CPU})*")


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a worker works: GPUs by their numbers (`0`, `0,1`), or the CPU (`cpu`, `cpu:1` ...)."""

    host: str
    gpu: str

    @classmethod
    def parse(cls, gpu: str, name: str = "") -> "Lane":
        lane = cls(name or socket.gethostname(), gpu)
        if not GPU_PATTERN.fullmatch(gpu):
            raise UsageError(
                f"--gpu {gpu}: not a GPU of this worker",
                fix="--gpu 0, --gpu 1 ... for one GPU, --gpu 0,1 for two, "
                "--gpu cpu (or cpu:1, cpu:2 ...) without one",
            )
        twins = [device for device, times in Counter(lane.devices).items() if times > 1]
        if twins:
            raise UsageError(f"--gpu {gpu}: {twins[0]} is named twice", fix="name each GPU once")
        return lane

    @property
    def name(self) -> str:
        return f"{self.host}:{self.gpu}"

    @property
    def devices(self) -> tuple[str, ...]:
        """What it holds, each as `--gpu` names it; several on the CPU are as many processes."""
        return tuple(self.gpu.split(","))

    @property
    def indices(self) -> tuple[int, ...]:
        """The numbers of its GPUs; none on the CPU."""
        return tuple(int(device) for device in self.devices if device.isdigit())


def lock_name(host: str, device: str, gpu_uuid: str, queue: str) -> str:
    """What two workers must not share: a piece of hardware, or on the CPU a name in one queue."""
    if device.isdigit():
        return f"trainq-gpu-{gpu_uuid or device}.lock"
    digest = hashlib.sha256(f"{queue} {host}".encode()).hexdigest()[:12]
    return f"trainq-{device.replace(':', '-')}-{digest}.lock"


def lock_folder() -> Path:
    """The same for every user and service of this host."""
    shared = Path("/run/lock")
    return shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


def holder(path: Path) -> str:
    """The worker that has this lock now; empty when it is free. Only looks: to try the lock would
    refuse a worker that starts at this moment.
    """
    try:
        inode = f":{path.stat().st_ino} "
        locks = (host.PROC / "locks").read_text().splitlines()
        held = any("FLOCK" in line and inode in line for line in locks)
        return (path.read_text()[:200].strip() or "another process") if held else ""
    except OSError:
        return ""


def lock(path: Path, lane: str) -> IO[str]:
    """Hold the lane until the returned file is closed or we die; refuse a second worker."""
    # the file may be another user's: it is made once, for everybody, and opened without O_CREAT
    # afterwards, which sticky folders refuse for files of others
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        os.fchmod(descriptor, 0o666)
        os.close(descriptor)
    file = path.open("r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = file.read(200).strip() or "another process"
        file.close()
        raise UsageError(
            f"{lane} already has a worker: {holder}",
            where=str(path),
            fix="take another --gpu, or drain that worker with SIGTERM",
        ) from error
    file.truncate(0)
    file.write(f"pid {os.getpid()} ({lane})\n")
    file.flush()
    return file
