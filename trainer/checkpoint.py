"""Checkpoints on disk: written whole or not at all, known by their checksums, kept by rule.

A folder holds weights.safetensors, meta.json, manifest.json (sha256 of the others) and, when a run
can go on from it, state.pt. What the numbers mean is `loop`'s business.
"""

import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file

from schemas.rundir import MANIFEST, AttemptDir, RunDir, sync_folder
from trainer.faults import DiskFault, Fault
from trainer.learn.model import Weights

WEIGHTS, STATE, META = "weights.safetensors", "state.pt", "meta.json"
KNOWN_BY = 1024  # values of a tensor
PATIENCE = 3  # failures in a row to write a checkpoint before the run ends
UNWRITABLE = (
    OSError,
    SafetensorError,
    RuntimeError,
)  # how python, safetensors, torch say disk full
SCHEMA = 1  # of meta.json and of what state.pt holds
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a folder holds, on the host. Without `state` it is only a model."""

    meta: dict[str, Any]
    weights: Weights
    state: dict[str, Any] | None = None
    more: Mapping[str, bytes] = field(default_factory=dict)  # other files, by name


def write(folder: Path, checkpoint: Checkpoint, fence: Callable[[], None] = lambda: None) -> None:
    """Make the folder appear whole; a failure leaves nothing behind. The fence is the last word."""
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir()
        save_file(checkpoint.weights, temporary / WEIGHTS, metadata={"format": "pt"})
        if checkpoint.state is not None:
            torch.save(checkpoint.state, temporary / STATE)
        for name, data in checkpoint.more.items():
            (temporary / name).write_bytes(data)
        (temporary / META).write_text(json.dumps(checkpoint.meta, indent=1))
        sums = {path.name: checksum(path) for path in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps(sums, indent=1))
        for path in temporary.iterdir():
            sync_file(path)
        sync_folder(temporary)
        fence()
        temporary.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def read(folder: Path) -> Checkpoint:
    """The contents of a folder that `damage` found whole; nothing in it is executed."""
    state = folder / STATE
    return Checkpoint(
        json.loads((folder / META).read_text()),
        load_file(folder / WEIGHTS),
        torch.load(state, map_location="cpu", weights_only=True) if state.exists() else None,
    )


def damage(folder: Path) -> str:
    """Why a checkpoint cannot be read; empty when every byte is as it was written."""
    try:
        sums: dict[str, str] = json.loads((folder / MANIFEST).read_text())
        for name in {WEIGHTS, META, *sums}:
            if checksum(folder / name) != sums[name]:
                return f"{name} is not what was written"
        if (number := json.loads((folder / META).read_text())["schema"]) != SCHEMA:
            return f"it has schema {number}, this trainer reads {SCHEMA}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__} {error}"
    return ""


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def step_of(folder: Path) -> int:
    return int(folder.name.partition("-")[2])


def newest(run: RunDir, *, up_to: int | None = None) -> list[Path]:
    """Checkpoints of all attempts that a run can go on from, the furthest first."""
    found = [
        folder
        for folder in run.attempts.glob("*/checkpoints/step-*")
        if re.fullmatch(r"step-\d+", folder.name) and (up_to is None or step_of(folder) <= up_to)
    ]
    return sorted(found, key=lambda folder: (step_of(folder), attempt_of(folder)), reverse=True)


def attempt_of(folder: Path) -> int:
    number = folder.parent.parent.name.partition("-")[0]
    return int(number) if number.isdigit() else 0


class Shelf:
    """The checkpoints of this attempt: the two newest, and the best weights that they speak of."""

    def __init__(
        self, attempt: AttemptDir, *, keeps: bool = True, fence: Callable[[], None] = lambda: None
    ) -> None:
        self.attempt, self.keeps = attempt, keeps  # one of several processes keeps for all
        self.fence = fence
        self.top: tuple[int, ...] = ()  # the steps of the best weights so far, the best first
        self.steps: list[tuple[Path, tuple[int, ...]]] = []  # each with the best as they then were
        self.failures = 0
        attempt.checkpoints.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, checkpoint: Checkpoint) -> Path | None:
        """A checkpoint to go on from; None when the disk refused and the run should go on."""
        folder = self.attempt.checkpoint(step)
        if not self._write(folder, checkpoint):
            return None
        self.steps.append((folder, self.top))
        self._tidy()
        return folder

    def keep_best(self, step: int, checkpoint: Checkpoint, top: Sequence[int] = ()) -> bool:
        """Weights that are among the best so far, which are then those of `top`; without it these
        alone. Others stay while a checkpoint still speaks of them.
        """
        if not self._write(self.attempt.best_at(step), checkpoint):
            return False
        self.top = tuple(top) or (step,)
        self._tidy()
        return True

    def adopt_best(self, folder: Path) -> bool:
        """Take over the next best weights of the attempt, or run, that this one goes on from."""
        if not self.keeps:
            return False
        if why := damage(folder):
            LOG.warning("the best weights so far cannot be taken over: %s", why)
            return False
        mine = self.attempt.checkpoints / folder.name
        shutil.copytree(folder, mine, copy_function=link_or_copy)
        self.top = (*self.top, step_of(mine))
        return True

    def publish_best(self) -> Path:
        """The run is finished: its best weights get their final names, the very best the last."""
        if not self.top:
            raise Fault("no epoch left best weights: its metric was no number, or the disk refused")
        for number, step in reversed(list(enumerate(self.top, 1))):
            place = self.attempt.place(number)
            temporary = place.with_name(f".{place.name}.tmp")
            shutil.copytree(self.attempt.best_at(step), temporary, copy_function=link_or_copy)
            temporary.rename(place)  # checkpoints still speak of the old name until the end
        sync_folder(self.attempt.path)
        return self.attempt.best

    def keep_last(self, checkpoint: Checkpoint) -> None:
        """The weights of the last step; when the disk refuses, the run is finished without them."""
        self._write(self.attempt.last, checkpoint)

    def _write(self, folder: Path, checkpoint: Checkpoint) -> bool:
        try:
            write(folder, checkpoint, self.fence)
        except UNWRITABLE as error:
            self.failures += 1
            LOG.warning(
                "could not write %s (%s of %s): %s", folder.name, self.failures, PATIENCE, error
            )
            if self.failures >= PATIENCE:
                raise DiskFault(
                    f"{PATIENCE} checkpoints in a row could not be written: {error}",
                    where=str(folder.parent),
                    fix="make room on the disk, then retry; what was saved before is kept",
                ) from error
            return False
        self.failures = 0
        return True

    def _tidy(self) -> None:
        while len(self.steps) > 2:
            drop(self.steps.pop(0)[0])
        spoken_of = {step for top in (self.top, *(top for _, top in self.steps)) for step in top}
        for folder in self.attempt.checkpoints.glob("best-*"):
            if step_of(folder) not in spoken_of:
                drop(folder)


def drop(folder: Path) -> None:
    """Out of everybody's sight first: who dies in here leaves no half of a checkpoint."""
    hidden = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    with suppress(OSError):
        folder.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def link_or_copy(source: str, target: str) -> None:
    """Files in a checkpoint never change, so two folders may share them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def fingerprint(weights: Weights) -> str:
    """The sha256 that these weights would have as a file."""
    return hashlib.sha256(save(weights, metadata={"format": "pt"})).hexdigest()


def origin(weights: Weights) -> str:
    """By what first weights are known again: the beginning of every tensor, in the order of names.
    The head is drawn by the seed, so another seed has another origin.
    """
    text = hashlib.sha256()
    for name in sorted(weights):
        beginning = weights[name].detach().flatten()[:KNOWN_BY].cpu().contiguous()
        text.update(f"{name} {tuple(weights[name].shape)}".encode())
        text.update(beginning.float().numpy().tobytes())
    return text.hexdigest()[:16]
