"""Learners for tests of single steps: a tiny transformer, three classes, four images."""

from typing import Any

import numpy as np
import timm
import torch

from support.trainers import tiny
from trainer.crew import Crew, Solo
from trainer.data.plan import Plan
from trainer.data.split import Parts
from trainer.learn.learner import Learner
from trainer.machine import Precision

CPU = torch.device("cpu")
IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
TARGETS = torch.tensor([0, 1, 2, 0])


def learner(
    precision: Precision = "fp32",
    *,
    net: torch.nn.Module | None = None,
    crew: Crew | None = None,
    **changes: Any,
) -> Learner:
    """Of 32 training images in 8 steps an epoch; `changes` as for `tiny`."""
    config = tiny(model__drop_path_rate=0.2, **changes)
    plan = Plan.of(
        config, Parts(np.arange(32), np.arange(4), np.arange(0), np.arange(32) % 3), Solo()
    )
    torch.manual_seed(0)
    net = net or timm.create_model(
        "test_vit", num_classes=3, img_size=32, drop_path_rate=0.2, depth=2
    )
    return Learner(config, net, plan, 3, device=CPU, precision=precision, micro_batch=2, crew=crew)


def same(one: Learner, other: Learner) -> bool:
    """Whether two learners have the same weights, bit by bit."""
    theirs = other.weights()
    return all(torch.equal(value, theirs[name]) for name, value in one.weights().items())
