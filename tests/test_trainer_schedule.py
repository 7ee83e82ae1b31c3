"""Schedules: each is torch's own where torch has it, and a function of the step alone."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from support.learners import IMAGES, TARGETS, learner
from support.sketches import draw_sketches
from support.trainers import folder_of, interrupted, newest, order_for, tiny, train
from torch.optim import lr_scheduler as torchs

from schemas.components.schedule import Plateau, Schedule
from schemas.events import Epoch, ExitCode
from trainer.learn import schedule
from trainer.learn.schedule import Length

PEAK, EPOCHS = 0.01, 3  # of 8 steps each
Keys = dict[str, Any]
Torchs = Callable[[torch.optim.Optimizer], torchs.LRScheduler]
EVERY_STEP: list[tuple[Keys, Torchs]] = [
    ({"kind": "cosine", "min_lr": 1e-4}, lambda o: torchs.CosineAnnealingLR(o, 24, eta_min=1e-4)),
    (
        {"kind": "restarts", "first": 0.5, "factor": 2.0, "min_lr": 1e-4},
        lambda o: torchs.CosineAnnealingWarmRestarts(o, 4, 2, eta_min=1e-4),
    ),
    ({"kind": "step", "every": 0.5, "gamma": 0.5}, lambda o: torchs.StepLR(o, 4, 0.5)),
    ({"kind": "multistep", "at": [1, 2.5]}, lambda o: torchs.MultiStepLR(o, [8, 20], 0.1)),
    ({"kind": "exponential", "gamma": 0.5}, lambda o: torchs.StepLR(o, 8, 0.5)),
    ({"kind": "poly"}, lambda o: torchs.PolynomialLR(o, 24)),
    ({"kind": "poly", "power": 2.0}, lambda o: torchs.PolynomialLR(o, 24, 2.0)),
    (
        {"kind": "one_cycle"},
        lambda o: torchs.OneCycleLR(o, PEAK, 24, cycle_momentum=False, final_div_factor=1e4),
    ),
    ({"kind": "constant"}, lambda o: torchs.ConstantLR(o, 1.0)),
]
KINDS: list[Keys] = [keys for keys, _ in EVERY_STEP] + [{"kind": "plateau"}]


def named(keys: Keys) -> str:
    return "-".join(f"{value}" for value in keys.values())


def rates(keys: Keys, **more: Any) -> list[float]:
    made = learner(schedule=keys, train__epochs=EPOCHS, optim__lr=PEAK, **more)
    return [made.rate(step) for step in range(8 * EPOCHS)]


def test_every_schedule_has_a_builder_and_a_case() -> None:
    kinds = get_args(get_args(Schedule)[0])
    for kind in kinds:
        assert schedule.schedule.dispatch(kind) is not schedule.schedule.dispatch(object)
    assert {kind.model_fields["kind"].default for kind in kinds} == {k["kind"] for k in KINDS}


@pytest.mark.parametrize(("keys", "build"), EVERY_STEP, ids=[named(k) for k, _ in EVERY_STEP])
def test_the_rate_of_every_step_is_that_of_torch(keys: Keys, build: Torchs) -> None:
    counted = torch.optim.SGD([torch.zeros(1)], lr=PEAK)
    theirs, expected = build(counted), []
    for _ in range(8 * EPOCHS):
        expected.append(counted.param_groups[0]["lr"])
        counted.step()
        theirs.step()
    assert rates(keys) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("keys", [k for k in KINDS if k["kind"] != "one_cycle"], ids=named)
def test_a_warm_up_goes_up_in_a_line_and_then_begins_at_the_peak(keys: Keys) -> None:
    keys = keys | ({"first": 2.0} if keys["kind"] == "restarts" else {})
    found, after = rates(keys), rates({**keys, "warmup_epochs": 0.5, "warmup_lr": 0.002})
    assert after[:4] == pytest.approx([0.002, 0.004, 0.006, 0.008])
    if keys["kind"] in ("step", "multistep", "exponential", "plateau", "constant"):
        assert after[4:] == found[4:]  # all epochs are counted from the start of the run
    else:
        assert after[4] == PEAK and min(after[5:]) == pytest.approx(min(found), abs=1e-3)


def test_each_restart_has_its_own_warm_up_and_its_own_peak() -> None:
    keys = {"kind": "restarts", "first": 1.0, "warmup_epochs": 0.25, "warmup_lr": 0.0}
    found = rates({**keys, "decay": 0.5})
    assert found[:3] == [0, PEAK / 2, PEAK]
    assert found[8:11] == [0, PEAK / 4, PEAK / 2]
    assert found[16:19] == [0, PEAK / 8, PEAK / 4]


@pytest.mark.parametrize("keys", KINDS, ids=named)
def test_layer_wise_decay_reaches_every_schedule(keys: Keys) -> None:
    made = learner(schedule=keys, model__lr_scale_min=0.1)
    made.step(IMAGES, TARGETS, 3)
    found = [(group["lr"], group["lr_scale"]) for group in made.optimizer.param_groups]
    assert len({scale for _, scale in found}) > 2
    assert len({round(lr / scale, 12) for lr, scale in found}) == 1


# ---- plateau -------------------------------------------------------------------------------------


def test_a_plateau_falls_when_its_value_has_not_got_better() -> None:
    made = learner(schedule={"kind": "plateau", "patience": 1, "gamma": 0.5, "min_lr": 1e-4})
    peak = made.rate(0)
    seen = []
    for n in range(1, 8):
        losses = [1.0, 0.9, 0.9, 0.89999, 0.95, 0.8, 0.9][:n]
        made.heed([{"epoch": 0}, *({"loss": loss} for loss in losses)])
        seen.append(made.rate(9) / peak)
    assert seen == [1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    made.heed([{"loss": 1.0}] * 40)
    assert made.rate(9) == 1e-4


def test_a_plateau_of_accuracy_wants_more_and_one_of_loss_less() -> None:
    falling = [0.9, 0.8, 0.7, 0.6]
    assert schedule.share(Plateau(patience=1), falling) == 1
    assert schedule.share(Plateau(patience=1, metric="accuracy"), falling) < 1


def test_a_run_on_a_plateau_that_was_interrupted_ends_with_the_same_weights(
    tmp_path: Path,
) -> None:
    data = draw_sketches(tmp_path / "data")
    plateau = {"kind": "plateau", "metric": "accuracy", "patience": 0, "gamma": 0.5}
    config = tiny(schedule=plateau, train__epochs=4, train__save_every_steps=3)
    whole = train(order_for(tmp_path / "whole", data, config))
    first = order_for(tmp_path / "run", data, config)
    assert interrupted(first, Epoch, 3).exit_code == ExitCode.SAVED
    second = order_for(tmp_path / "run", data, config, resume=str(newest(first)))
    again = train(second)
    assert again.facts["final_weights_sha256"] == whole.facts["final_weights_sha256"]
    with folder_of(second).metrics.open() as file:
        lrs = [float(row["lr"]) for row in csv.DictReader(file)]
    assert lrs[-1] < lrs[0]


# ---- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": "poly", "warmup_epochs": 3}, "shorter than the run of 3 epochs"),
        ({"kind": "restarts", "first": 2, "warmup_epochs": 2.5}, "the first cosine, of 2 epochs"),
        ({"kind": "step", "warmup_epochs": 1, "warmup_lr": 1.0}, "at or below optim.lr"),
        ({"kind": "plateau", "min_lr": 1.0}, "the plateau must end at or below optim.lr"),
        ({"kind": "multistep", "at": [2, 1]}, "epochs must go up, got"),
        ({"kind": "multistep", "at": []}, "at least 1"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(keys: Keys, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny(schedule=keys)


@pytest.mark.parametrize("keys", KINDS, ids=named)
def test_a_run_of_one_step_has_a_rate(keys: Keys) -> None:
    spec = tiny(schedule=keys).schedule
    made = torch.optim.SGD([torch.zeros(1)], lr=PEAK)
    schedule.schedule(spec, made, Length(1, 1)).step_update(0)
    assert 0 < made.param_groups[0]["lr"] <= PEAK
