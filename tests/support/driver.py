"""Readings of a GPU driver, played back through NVML's own functions and errors."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

FOLDER = Path(__file__).parents[1] / "gpu_readings"


class Driver:
    """What NVML says of one V100-32GB, in the shapes and with the errors of nvidia-ml-py."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotSupported = pynvml.NVMLError_NotSupported
    NVMLError_NoPermission = pynvml.NVMLError_NoPermission
    NVMLError_FunctionNotFound = pynvml.NVMLError_FunctionNotFound

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts

    @classmethod
    def of(cls, name: str) -> "Driver":
        return cls(json.loads((FOLDER / f"{name}.json").read_text()))

    def nvmlInit(self) -> None:
        self._raise("init_error")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._raise("handle_error")
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        self._raise("memory_error")
        return SimpleNamespace(**self.facts["memory"])

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[SimpleNamespace]:
        self._raise("processes_error")
        keys = ("pid", "usedGpuMemory")
        return [SimpleNamespace(**{k: one[k] for k in keys}) for one in self.facts["processes"]]

    def _raise(self, kind: str) -> None:
        if name := self.facts.get(kind):
            raise getattr(pynvml, name)
