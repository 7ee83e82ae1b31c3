"""One step at a time: precision, batches that are no numbers, and what a checkpoint must hold."""

import io

import pytest
import torch
from support.learners import CPU, IMAGES, TARGETS, learner, same

from trainer.faults import Diverged
from trainer.machine import Precision
from trainer.state import Tally

PRECISIONS: list[Precision] = ["fp32", "bf16", "fp16"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_restored_learner_takes_the_very_same_steps(precision: Precision) -> None:
    first, second = (
        learner(precision, train__clip_norm=1.0),
        learner(precision, train__clip_norm=1.0),
    )
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
    hurt, tally = learner(precision, train__clip_norm=clip), Tally(CPU)
    before = hurt.weights()
    tally.add(hurt.step(IMAGES * float("inf"), TARGETS, 0), 0)
    after = hurt.weights()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert tally.numbers() == [0.0, 0.0, 1.0, 1.0, 0.0]
    tally.add(hurt.step(IMAGES, TARGETS, 1), 1)
    assert tally.numbers()[1:] == [1.0, 0.0, 1.0, 0.0]


def test_the_tally_knows_where_the_longest_row_of_bad_losses_began() -> None:
    tally, bad = Tally(CPU), torch.tensor(float("nan"))
    for step, loss in enumerate([bad, torch.ones(()), bad, bad, torch.ones(()), bad, bad]):
        tally.add(loss, step)
    assert tally.numbers() == [2.0, 2.0, 2.0, 2.0, 2.0]
    older = Tally(CPU)
    older.set(tally.numbers()[:4])  # as checkpoints were before the place was counted
    assert older.numbers() == [2.0, 2.0, 2.0, 2.0, 0.0]


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
