"""One step at a time: precision, batches that are no numbers, and what a checkpoint must hold."""

import io

import numpy as np
import pytest
import timm
import torch
from support.trainers import tiny

from trainer.crew import Solo
from trainer.data.plan import Plan
from trainer.data.split import Parts
from trainer.faults import Diverged
from trainer.learner import Learner
from trainer.loop import Tally
from trainer.machine import Precision

CPU = torch.device("cpu")
IMAGES, TARGETS = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
PRECISIONS: list[Precision] = ["fp32", "bf16", "fp16"]


def learner(precision: Precision = "fp32", clip: float = 1.0) -> Learner:
    config = tiny(train__clip_norm=clip, model__drop_path_rate=0.2)
    plan = Plan.of(
        config, Parts(np.arange(32), np.arange(4), np.arange(0), np.arange(32) % 3), Solo()
    )
    torch.manual_seed(0)
    net = timm.create_model("test_vit", num_classes=3, img_size=32, drop_path_rate=0.2)
    return Learner(config, net, plan, 3, device=CPU, precision=precision, micro_batch=2)


def same(one: Learner, other: Learner) -> bool:
    theirs = other.weights()
    return all(torch.equal(value, theirs[name]) for name, value in one.weights().items())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_restored_learner_takes_the_very_same_steps(precision: Precision) -> None:
    first, second = learner(precision), learner(precision)
    for number in range(2):
        first.step(IMAGES, TARGETS, number)
    kept = io.BytesIO()
    torch.save(first.memory(), kept)
    kept.seek(0)
    second.restore(first.weights(), torch.load(kept, weights_only=True))
    for number in range(2, 5):
        losses = [each.step(IMAGES, TARGETS, number) for each in (first, second)]
        assert torch.equal(*losses)
    assert same(first, second)
    assert first.scaler.state_dict() == second.scaler.state_dict()


@pytest.mark.parametrize("clip", [0.0, 1.0])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_batch_that_gives_no_number_changes_no_weight(precision: Precision, clip: float) -> None:
    hurt, tally = learner(precision, clip), Tally(CPU)
    before = hurt.weights()
    tally.add(hurt.step(IMAGES * float("inf"), TARGETS, 0))
    after = hurt.weights()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert tally.numbers() == [0.0, 0.0, 1.0, 1.0]
    tally.add(hurt.step(IMAGES, TARGETS, 1))
    assert tally.numbers()[1:] == [1.0, 0.0, 1.0]


def test_weights_that_are_no_numbers_never_reach_a_checkpoint() -> None:
    broken = learner()
    with torch.no_grad():
        next(broken.model.parameters())[0] = float("nan")
    with pytest.raises(Diverged):
        broken.weights()


def test_the_rate_is_a_function_of_the_step_alone() -> None:
    one, other = learner(), learner()
    for number in range(5):
        one.step(IMAGES, TARGETS, number)
    assert one.rate(3) == other.rate(3) < other.rate(0) == 1e-3
