"""The processes that train one run together, and all that they say to each other.

One process is a crew too, and says nothing: the recipe reads the same for both.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from schemas.rundir import AttemptDir
from trainer import randomness
from trainer.faults import Fault

LOG = logging.getLogger(__name__)
PATIENCE = timedelta(hours=6)  # the worker's watchdog judges a hang, not a collective
Forward = Callable[[Tensor], Tensor]
T = TypeVar("T")


class Crew(Protocol):
    """What a recipe may ask of those who train with it."""

    rank: int
    size: int

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and speaks for all."""

    def wrap(self, model: nn.Module) -> Forward:
        """The model as it is called in training."""

    def quiet(self, forward: Forward, last: bool) -> AbstractContextManager[Any]:
        """Gradients of all but the last part of a batch are not exchanged yet."""

    def mean(self, value: Tensor) -> Tensor:
        """Of all processes; the same number on each."""

    def drift(self, seed: int, step: int) -> None:
        """From here each process draws for itself: dropout of other images is other dropout."""

    def gather(self, mine: T) -> list[T]:
        """What all have, in the order of ranks."""

    def align(self, model: nn.Module) -> None:
        """The leader's BatchNorm statistics for all: what is judged is what it saves."""

    def insist(self, what: str, mine: object) -> None:
        """All must have found the same; otherwise each would train a model of its own."""

    def result(self, attempt: AttemptDir) -> Path:
        """Where this process writes down how the attempt ended."""


class Solo:
    """One process."""

    rank, size, leads = 0, 1, True

    def wrap(self, model: nn.Module) -> Forward:
        return model

    def quiet(self, forward: Forward, last: bool) -> AbstractContextManager[Any]:
        return nullcontext()

    def mean(self, value: Tensor) -> Tensor:
        return value

    def drift(self, seed: int, step: int) -> None:
        pass

    def gather(self, mine: T) -> list[T]:
        return [mine]

    def align(self, model: nn.Module) -> None:
        pass

    def insist(self, what: str, mine: object) -> None:
        pass

    def result(self, attempt: AttemptDir) -> Path:
        return attempt.result


class Ranks:
    """One of several processes that torchrun has started, each with a device of its own."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        backend = "nccl" if device.type == "cuda" else "gloo"
        with muted():
            dist.init_process_group(backend, timeout=PATIENCE)
            self._host = dist.new_group(backend="gloo", timeout=PATIENCE)  # for what is on no GPU

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def wrap(self, model: nn.Module) -> Forward:
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in model.modules()):
            LOG.info("each GPU's BatchNorm sees its own part of a batch, as train.accumulate would")
        return DistributedDataParallel(
            model,
            broadcast_buffers=False,  # they matter where a model is judged, see `align`
            gradient_as_bucket_view=True,  # else a second copy of all gradients
            # Also keeps the buckets as they were made. Otherwise they are cut anew after the first
            # step of an attempt, and with three ranks and more a sum's last bits depend on where in
            # a bucket it is: a run that was interrupted would end with other weights.
            find_unused_parameters=True,
        )

    def quiet(self, forward: Forward, last: bool) -> AbstractContextManager[Any]:
        assert isinstance(forward, DistributedDataParallel)
        return nullcontext() if last else forward.no_sync()

    def mean(self, value: Tensor) -> Tensor:
        dist.all_reduce(value)
        return value / self.size

    def drift(self, seed: int, step: int) -> None:
        torch.manual_seed(randomness.stream(seed, "step", step, self.rank))

    def gather(self, mine: T) -> list[T]:
        everything: list[Any] = [None] * self.size
        dist.all_gather_object(everything, mine, group=self._host)
        return everything

    def align(self, model: nn.Module) -> None:
        for statistic in model.buffers():
            dist.broadcast(statistic, 0)

    def insist(self, what: str, mine: object) -> None:
        found = self.gather(mine)
        if any(other != mine for other in found):
            said = ", ".join(map(str, found))
            raise Fault(f"the processes of this run do not agree on {what}: {said}", fix="retry it")

    def result(self, attempt: AttemptDir) -> Path:
        return attempt.rank(self.rank)


@contextmanager
def muted() -> Iterator[None]:
    """gloo greets its peers on stdout, which is a log, or by hand somebody's table of epochs."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def lost(error: BaseException) -> bool:
    """Whether it only says that another process has gone: that one knows why."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and "/gloo/transport/" in str(error)
    )


def share(batch: Sequence[T], rank: int, size: int) -> list[T]:
    """One process's part of a batch: a piece of its first half and the mirrored one of its second,
    so that a batch that is mixed with its own reverse is mixed with the same partners in parts.
    """
    piece, odd = divmod(len(batch), 2 * size)
    if odd:
        piece = len(batch) // size
        return list(batch[rank * piece : (rank + 1) * piece])
    end = len(batch) - rank * piece
    return [*batch[rank * piece : (rank + 1) * piece], *batch[end - piece : end]]
