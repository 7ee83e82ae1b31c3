"""What this machine is and can do: device, precision, determinism, and a record of all that."""

import ctypes
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from schemas.errors import count
from schemas.rundir import AttemptDir, RunsRoot, write_atomic
from trainer import snapshot
from trainer.faults import ConfigFault

Precision = Literal["fp32", "fp16", "bf16"]
PACKAGES = (
    "trainq",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pillow",
    "scikit-learn",
    "safetensors",
)
# options of the C library's mallopt, as its malloc.h numbers them
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def device() -> torch.device:
    """The one GPU that the worker left visible, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def place(model: nn.Module, where: torch.device, compiled: bool = False) -> nn.Module:
    """The model on its device, laid out as convolutions are fastest."""
    if where.type == "cpu":
        keep_memory()
    placed: nn.Module = model.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compiled:
        refuse_to_compile(placed, where)
        placed.compile()  # in its place: the names of its weights stay as they are
    return placed


def keep_memory() -> None:
    """What a step frees stays ours for the next one.

    The C library gives large blocks back at once, and every step then waits for the kernel to
    fill the same pages with zeros again: a third to a half of its time.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # glibc; others have no such habit
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def refuse_to_compile(model: nn.Module, where: torch.device) -> None:
    """What torch would pass over in silence, or say in a page in the middle of the first step."""
    forward: Any = type(model).forward
    if forward.__module__.startswith("torch.nn."):
        what = f"torch compiles no bare {type(model).__name__}, it runs as it is"
        raise ConfigFault(what, fix="a class with a forward around it, or train.compile=false")
    compiler = os.environ.get("CXX", "g++")  # as torch looks for it
    if where.type == "cpu" and not shutil.which(compiler):
        what = f"train.compile needs a C++ compiler, and this host has no {compiler}"
        raise ConfigFault(what, fix="install g++, or train.compile=false")


def uncompiled(error: BaseException) -> ConfigFault | None:
    """What it means when torch could not compile the model; nothing when it is another error."""
    if not isinstance(error, BackendCompilerFailed):
        return None
    inner = error.inner_exception
    lines = [line for line in str(inner).splitlines() if "error:" in line] or [str(inner)]
    what = f"torch.compile failed: {type(inner).__name__}: {' '.join(lines[0].split())}"
    return ConfigFault(what, fix="train.compile=false")


def settle_kernels(deterministic: bool) -> None:
    """Threads as the environment says; never a kernel chosen by timing."""
    if threads := os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(int(threads))  # a warm trainer learns them after torch was imported
    torch.backends.cudnn.benchmark = False
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when CUDA starts
        torch.use_deterministic_algorithms(True)


def precision(wanted: str, chosen_before: str, where: torch.device) -> Precision:
    """fp32, fp16 or bf16: what the config says, else what an earlier attempt chose, else the best.

    Capability decides, not `is_bf16_supported()`, which says yes on a V100 and then emulates.
    """
    able: tuple[Precision, ...] = ("fp32", "bf16")
    best: Precision = "fp32"
    if where.type == "cuda":
        modern = torch.cuda.get_device_capability(where) >= (8, 0)
        able = ("fp32", "fp16", "bf16") if modern else ("fp32", "fp16")
        best = "bf16" if modern else "fp16"
    if wanted == "auto":
        return next((kind for kind in able if kind == chosen_before), best)
    for kind in able:
        if kind == wanted:
            return kind
    raise ConfigFault(f"{describe(where)} has no {wanted}", fix=f"train.precision={best}, or auto")


def peak() -> dict[str, int]:
    """The most memory that tensors took on this GPU; of a CPU nothing is known that compares."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    return {"peak_mb": torch.cuda.max_memory_allocated() >> 20}


def describe(where: torch.device) -> str:
    """The device in words."""
    if where.type == "cuda":
        major, minor = torch.cuda.get_device_capability(where)
        return f"{torch.cuda.get_device_name(where)} (sm_{major}{minor})"
    return f"the CPU ({count(torch.get_num_threads(), 'thread')})"


def record(attempt: AttemptDir, shared: RunsRoot, where: torch.device) -> None:
    """Write down what this attempt runs with: the machine, the versions, the source."""
    source = snapshot.take()
    source.keep(shared.code)
    write_atomic(attempt.environment, environment(where, source.facts))


def environment(where: torch.device, source: Mapping[str, Any]) -> bytes:
    """The facts that a result depends on besides its config, as JSON."""
    facts: dict[str, Any] = {
        "code": source,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "host": platform.node(),
        "system": platform.platform(),
        "device": describe(where),
        "cuda": torch.version.cuda,
        "cudnn": str(torch.backends.cudnn.version()) if where.type == "cuda" else "",  # type: ignore[no-untyped-call]
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "pid": os.getpid(),
    }
    return json.dumps(facts, indent=2).encode()


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
