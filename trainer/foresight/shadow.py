"""A step of training on tensors without memory: what it would hold at its peak, to the byte.

The very step of `trainer.learn.learner`, its optimizer, mixing and scaler included, runs under
torch's FakeTensorMode; whatever it comes to hold is counted when it appears and when it goes.
"""

import warnings
import weakref
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from schemas.components.data import sides
from schemas.config import TrainConfig
from trainer import machine
from trainer.data.plan import Plan
from trainer.data.split import Parts
from trainer.learn.learner import Learner
from trainer.machine import Precision


class Ledger(TorchDispatchMode):
    """Counts the bytes of all storages that live, each once, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._held: dict[int, int] = {}

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        answer = operator(*args, **(kwargs or {}))
        for leaf in tree_leaves(answer):
            if isinstance(leaf, Tensor):
                self._hold(leaf.untyped_storage())
        return answer

    def _hold(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place not in self._held:
            self._held[place] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, place)

    def _drop(self, place: int) -> None:
        self.now -= self._held.pop(place, 0)


class Shadow:
    """A learner without memory, ready to take steps of any size; leave it with `with`."""

    def __init__(self, config: TrainConfig, model: nn.Module, classes: int, amp: bool) -> None:
        self.size, self.channels = sides(config.data.extent), config.model.in_chans
        self.ledger = Ledger()
        # some optimizers count steps in a tensor and read it: unknown numbers must be allowed
        numbers = ShapeEnv(allow_scalar_outputs=True)
        self._fake = FakeTensorMode(allow_non_fake_inputs=True, shape_env=numbers)
        precision: Precision = "fp16" if amp else "fp32"  # bf16 takes as much
        machine.place(model, torch.device("meta"))  # its layout: fake parameters keep theirs
        with self._fake, self.ledger, warnings.catch_warnings():
            # a copy of the model, for its average, asks fake buffers where they are
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
            for part in model.modules():  # each once: a shared one cannot be converted again
                part.to_empty(device="cpu", recurse=False)
            self.learner = Learner(
                config,
                model,
                Plan(Parts.of(np.array([-1, 0]), 0), config.seed, 1, config.train.epochs, 1),
                classes,
                device=torch.device("cpu"),  # backward of fake CUDA tensors needs a real context
                precision=precision,
                micro_batch=1,
            )
            self.last = config.train.epochs - 1  # its epoch and its step: least is frozen then
            self.learner.freezer.learn(self.last)
            self._first_step()

    def _first_step(self) -> None:
        """The optimizer makes its memory in its first step."""
        for parameter in self.learner.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        self.learner.optimizer.found_inf = torch.zeros(())  # type: ignore[attr-defined]
        self.learner.optimizer.step()
        self.learner.optimizer.zero_grad()

    def peak_mb(self, images: int, parts: int = 1) -> float:
        """The most that a step over one or more parts, of so many images each, holds."""
        with self._fake, self.ledger:
            self.learner.micro_batch = images
            self.learner.optimizer.zero_grad()
            batch = torch.zeros(parts * images, self.channels, *self.size)
            answers = torch.zeros(parts * images, dtype=torch.long)
            self.ledger.peak = self.ledger.now
            self.learner.step(batch, answers, self.last)
        return self.ledger.peak / 2**20
