"""Facts about NVIDIA GPUs, by NVML and by a child process that tries one. Never imports torch."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queue_worker import host
from queue_worker.attempts import sweep
from queue_worker.gpus.admission import Process, Reading
from schemas.errors import TrainqError, UsageError

PROBE_LIMIT_S = 120.0  # a first import of torch from a cold disk takes its time


@dataclass(frozen=True, slots=True)
class Gpu:
    """What the driver says."""

    index: int
    name: str
    uuid: str
    driver: str
    memory_mb: int
    free_mb: int
    cuda: str = ""  # the newest that this driver speaks, as in "12.8"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a child with torch found when it used the device."""

    torch: str
    cuda: str = ""  # that it was built for
    kernel: str = ""  # why a one-element kernel failed; empty when it worked
    device: str = ""
    sm: str = ""  # "sm_70"
    built_for: tuple[str, ...] = ()  # the architectures that this torch has kernels for
    amp: str = "none"

    @property
    def untried(self) -> bool:
        """Others have the whole card: a kernel could not be tried, but there are some that fit."""
        return "out of memory" in self.kernel and any(
            _serves(arch, self.sm) for arch in self.built_for
        )


def look(index: int) -> Gpu:
    """The GPU of this number, in PCI bus order."""
    import pynvml  # only hosts with a GPU have a driver to ask

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return Gpu(
            index=index,
            name=_text(pynvml.nvmlDeviceGetName(handle)),
            uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
            driver=_text(pynvml.nvmlSystemGetDriverVersion()),
            memory_mb=int(memory.total) >> 20,
            free_mb=int(memory.free) >> 20,
            cuda=_cuda(pynvml.nvmlSystemGetCudaDriverVersion_v2()),
        )
    except pynvml.NVMLError as error:
        raise refusal(index, error) from error


def refusal(index: int, error: Exception) -> TrainqError:
    """Why a worker cannot begin: what was asked is wrong, or the driver is, which may mend."""
    import pynvml

    everywhere = "--gpu cpu works everywhere"
    if isinstance(error, pynvml.NVMLError_LibraryNotFound):
        return UsageError(f"--gpu {index}: this host has no NVIDIA driver", fix=everywhere)
    if isinstance(error, pynvml.NVMLError_InvalidArgument | pynvml.NVMLError_NotFound):
        return UsageError(
            f"--gpu {index}: the NVIDIA driver has no such GPU",
            fix=f"nvidia-smi lists them; {everywhere}",
        )
    return TrainqError(
        f"--gpu {index}: the NVIDIA driver fails: {error}",
        fix="look at nvidia-smi and dmesg; after an update of the driver only a reboot helps",
    )


def read(index: int) -> Reading:
    """What the driver reports of a GPU now; a fault is a reading too, never an exception."""
    import pynvml  # only hosts with a GPU have a driver to ask

    return reading_of(index, pynvml)


def reading_of(index: int, nvml: Any) -> Reading:
    """The same from any driver that speaks as NVML does."""
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return Reading(
            index=index,
            memory_mb=int(memory.total) >> 20,
            free_mb=int(memory.free) >> 20,
            processes=tuple(_processes(handle, nvml)),
        )
    except nvml.NVMLError as error:
        return Reading(index, fault=str(error))


def _processes(handle: object, nvml: Any) -> Iterator[Process]:
    """Who computes there; a driver that may not tell (containers, MIG) tells nothing."""
    try:
        found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except (
        nvml.NVMLError_NotSupported,
        nvml.NVMLError_NoPermission,
        nvml.NVMLError_FunctionNotFound,  # drivers before 510
    ):
        return
    for process in found:
        yield Process(
            pid=process.pid,
            memory_mb=int(process.usedGpuMemory or 0) >> 20,  # None under MIG and in containers
            owner=host.owner(process.pid),
            command=host.command(process.pid),
            trainer=sweep.VARIABLE in host.environment(process.pid),
        )


def probe(command: Sequence[str], env: Mapping[str, str]) -> Probe:
    """Let a child run one kernel: it either works now or would fail in every run."""
    try:
        answer = subprocess.run(
            command, env=env, capture_output=True, timeout=PROBE_LIMIT_S, check=False, text=True
        )
        facts = json.loads(answer.stdout.splitlines()[-1])
        return Probe(**{**facts, "built_for": tuple(facts["built_for"])})
    except (subprocess.TimeoutExpired, OSError) as error:
        raise TrainqError("the GPU could not be tried", where=str(error)) from error
    except (ValueError, TypeError, KeyError, IndexError) as error:
        last = (answer.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise TrainqError(
            "torch could not be started", where=last, fix="pip install 'trainq[worker]'"
        ) from error


def demand_kernels(found: Probe) -> None:
    """Refuse missing kernels, never a version."""
    if not found.kernel or found.untried:
        return
    if not found.sm:  # it did not even get as far as the device
        raise TrainqError(
            f"torch {found.torch} cannot use the GPU ({found.kernel})",
            where=f"it was built for {f'CUDA {found.cuda}' if found.cuda else 'the CPU only'}",
            fix="nvidia-smi shows which CUDA the driver serves; torch must not be built for more"
            if found.cuda
            else "pip install torch==2.10.0 torchvision==0.25.0",
        )
    wheel = "a torch whose torch.cuda.get_arch_list() names it"
    if found.sm == "sm_70":
        wheel = "pip install torch==2.10.0 torchvision==0.25.0 (newer default wheels dropped V100)"
    built = " ".join(found.built_for) or "no GPU at all"
    raise TrainqError(
        f"torch {found.torch} cannot compute on {found.device or 'this GPU'} ({found.kernel})",
        where=f"the GPU is {found.sm or 'unknown'}, this torch has kernels for {built}",
        fix=wheel,
    )


def count() -> int:
    """How many GPUs the driver knows; none without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError_LibraryNotFound:
        return 0
    except pynvml.NVMLError as error:
        raise refusal(0, error) from error


def _serves(arch: str, sm: str) -> bool:
    """Kernels serve their own generation from their number on: sm_80 serves an sm_86."""
    built, card = arch.removeprefix("sm_"), sm.removeprefix("sm_")
    if not (built.isdigit() and card.isdigit()):
        return False
    return built[:-1] == card[:-1] and int(built) <= int(card)


def _cuda(number: int) -> str:
    """12080 is 12.8."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
