"""A model and all that changes it: one step, its logits, and what a checkpoint must hold of it."""

import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from schemas.config import TrainConfig
from trainer import randomness
from trainer.crew import Crew, Solo
from trainer.data.loader import Batch
from trainer.data.plan import Plan
from trainer.data.transforms import Normal
from trainer.faults import Diverged
from trainer.learn import average, layers, loss, optim, outputs, schedule
from trainer.learn.model import Weights
from trainer.machine import Precision

LOG = logging.getLogger(__name__)
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Learner:
    """The mathematics of a config on one device. The effective batch is the experiment; how many
    images go through the model at once is the machine's business.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        plan: Plan,
        classes: int,
        *,
        device: torch.device,
        precision: Precision,
        micro_batch: int,
        crew: Crew | None = None,
        normal: Normal | None = None,
    ) -> None:
        self.device, self.precision, self.micro_batch = device, precision, micro_batch
        self.config, self.seed, self.lr = config, config.seed, config.optim.lr
        self.model, self.crew, self.normal = model, crew or Solo(), normal
        self.forward = self.crew.wrap(model)
        self.outputs = outputs.of(config, classes)
        counts = plan.class_counts(classes)
        self.criterion = loss.for_outputs(config.loss, self.outputs, counts, device)
        self.freezer = layers.Freezer(config.model.freeze, model)
        self.optimizer = optim.optimizer(config.optim, self.model)
        layers.decayed(self.optimizer, model, config.model.lr_scale_min)
        self.length = schedule.Length(plan.steps, plan.steps_per_epoch)
        self.schedule = schedule.schedule(config.schedule, self.optimizer, self.length)
        self.scaler = GradScaler(device.type, enabled=precision == "fp16")
        self.mix = mixer(config, self.outputs.labels)
        self.mixed_steps = (config.mix.until or plan.epochs) * plan.steps_per_epoch
        self.average = average.of(config.train.average, model, plan.steps)
        self.rehearsed: set[object] = set()  # kinds of steps that are known to fit

    def step(self, images: Tensor, targets: Tensor, number: int) -> Tensor:
        """One step of the optimizer; returns the loss, still on the device."""
        randomness.settle(randomness.stream(self.seed, "step", number), devices=True)
        self.schedule.step_update(number)
        images, targets = self.place((images, targets))
        if self.mix and number < self.mixed_steps:
            images, targets = self.mix(images, targets)
        self.crew.drift(self.seed, number)
        self.freezer.learn(number // self.length.steps_per_epoch)
        self.optimizer.zero_grad(set_to_none=True)
        total = self.crew.mean(self.gradients(images, targets, number))
        healthy = total.isfinite()
        if self.config.train.clips:
            self.scaler.unscale_(self.optimizer)
        if (norm := optim.clip(self.config.train, self.model)) is not None:
            healthy = healthy & norm.isfinite()
        if not self.scaler.is_enabled():
            optim.spare(self.optimizer, healthy)  # with fp16 the scaler sees to it
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.follow(self.model, number)
        return total

    def gradients(self, images: Tensor, targets: Tensor, number: int) -> Tensor:
        """Those of the whole batch, in parts that fit; each try draws what the first would have."""
        kind = images.shape, self.freezer.parts(number // self.length.steps_per_epoch)
        if self.crew.size > 1 and kind not in self.rehearsed:
            self.rehearse(images, targets, number)
            self.rehearsed.add(kind)
        while True:
            try:
                return self.backward(images, targets)
            except torch.OutOfMemoryError:
                if self.crew.size > 1 or not self.halve(len(images)):
                    raise
            self.again(number)

    def rehearse(self, images: Tensor, targets: Tensor, number: int) -> None:
        """Several processes find out together how many images fit, before a step of a new kind: one
        that leaves an exchange of gradients in the middle could not come back to it. If memory is
        too small later all the same their attempt ends, and the next one begins with less.
        """
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        while not all(self.crew.gather(self.fits(images, targets))):
            if not self.halve(len(images)):
                raise torch.OutOfMemoryError("one image at a time is too much for this GPU")
            self.again(number)
        for buffer, before in zip(self.model.buffers(), statistics, strict=True):
            buffer.copy_(before)
        self.again(number)

    def fits(self, images: Tensor, targets: Tensor) -> bool:
        """Whether memory is enough for the gradients of this process."""
        try:
            self.backward(images, targets, rehearses=True)
        except torch.OutOfMemoryError:
            return False
        return True

    def again(self, number: int) -> None:
        """Back to where the step began to draw, without gradients."""
        self.optimizer.zero_grad(set_to_none=True)
        randomness.settle(randomness.stream(self.seed, "step", number), devices=True)
        self.crew.drift(self.seed, number)

    def halve(self, images: int) -> bool:
        """From now on half as many images at a time, where memory was too small for more."""
        if (at_once := min(self.micro_batch, images)) == 1:
            return False
        self.micro_batch = -(-at_once // 2)
        what = "out of GPU memory with %s images at a time: from here on %s, of the same batch"
        LOG.warning(what, at_once, self.micro_batch)
        return True

    def backward(self, images: Tensor, targets: Tensor, *, rehearses: bool = False) -> Tensor:
        """Gradients of the mean loss over the whole batch, some images at a time."""
        total = torch.zeros((), device=self.device)
        done = 0
        parts = zip(
            *(torch.split(whole, self.micro_batch) for whole in (images, targets)), strict=True
        )
        for part, answers in parts:
            done += len(part)
            with self.crew.quiet(self.forward, last=done == len(images) and not rehearses):
                with self.autocast():
                    share = self.criterion(self.forward(part), answers) * (len(part) / len(images))
                self.scaler.scale(share).backward()  # type: ignore[no-untyped-call]
            total += share.detach()
        return total

    def logits(self, images: Tensor) -> Tensor:
        """What the model says of placed images that it does not learn from, class by class."""
        judged = self.judged
        if judged.training:
            judged.eval()
        while True:
            try:
                with self.autocast():
                    parts = torch.split(images, self.micro_batch)
                    said = torch.cat([judged(part) for part in parts])
                return self.outputs.joint(said)
            except torch.OutOfMemoryError:
                if self.crew.size > 1 or not self.halve(len(images)):
                    raise

    @property
    def judged(self) -> nn.Module:
        """What is evaluated, and kept as the best: the average, where there is one."""
        return self.average.model if self.average else self.model

    def place(self, batch: Batch) -> Batch:
        """The batch on the device; a pinned one travels while the host goes on, as bytes."""
        images, targets = batch
        images = images.to(self.device, non_blocking=True)
        if self.normal:
            images = self.normal(images)  # twice as fast while a channel lies in one piece
        images = images.to(memory_format=torch.channels_last)
        return images, targets.to(self.device, non_blocking=True)

    def autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=DTYPES.get(self.precision), enabled=self.precision in DTYPES
        )

    def heed(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What evaluations have said so far."""
        schedule.heed(self.config.schedule, self.schedule, self.length, rows)

    def rate(self, number: int) -> float:
        """The learning rate of a step, whether it was taken by this attempt or not."""
        self.schedule.step_update(number)
        return float(max(group["lr"] for group in self.optimizer.param_groups))

    # ---- what a checkpoint holds -----------------------------------------------------------------

    def weights(self, model: nn.Module | None = None) -> Weights:
        """A copy of the weights on the host; refused when one of them is no number."""
        weights = (model or self.model).state_dict()
        finite = [value.isfinite().all() for value in weights.values() if value.is_floating_point()]
        if not torch.stack(finite).all():
            raise Diverged("the weights hold values that are no numbers", self.lr)
        return {name: value.to("cpu", copy=True).contiguous() for name, value in weights.items()}

    def memory(self) -> dict[str, Any]:
        """All else that the next step depends on, and the random states, in plain containers."""
        kind, words, *position = np.random.get_state()
        return {
            "optimizer": optim.memory(self.optimizer, self.model),
            "optim": optim.shape(self.config.optim),
            "scaler": self.scaler.state_dict(),
            "average": self.weights(self.average.model) if self.average else {},
            "random": {
                "python": random.getstate(),
                "numpy": [kind, torch.from_numpy(np.array(words, dtype=np.int64)), *position],
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            },
        }

    def restore(self, weights: Weights, memory: dict[str, Any]) -> None:
        """Go on exactly where a checkpoint was made; random states need none of it."""
        self.model.load_state_dict(weights)
        if memory.get("optim", optim.shape(self.config.optim)) == optim.shape(self.config.optim):
            optim.remember(self.optimizer, self.model, memory["optimizer"])
        self.scaler.load_state_dict(memory["scaler"])
        if self.average:  # of a run that had none, the average begins here
            self.average.model.load_state_dict(memory.get("average") or weights)


def mixer(config: TrainConfig, classes: int) -> Mixup | None:
    """Mixup and cutmix, where the config asks for one of them."""
    if not config.mix.on:
        return None
    return Mixup(  # type: ignore[no-untyped-call]
        mixup_alpha=config.mix.mixup,
        cutmix_alpha=config.mix.cutmix,
        prob=config.mix.prob,
        switch_prob=config.mix.switch_prob,
        label_smoothing=0.0,  # the loss smooths
        num_classes=classes,
    )
