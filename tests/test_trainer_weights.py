"""What learns of a model, how fast, for how long, and which of its weights are kept."""

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from support.sketches import draw_sketches
from support.trainers import folder_of, judged, order_for, tiny, train
from torch import nn

from schemas.components.loop import Ema, Evaluate, Swa
from schemas.components.model import Freeze
from schemas.run import Cause
from trainer import checkpoint
from trainer.crew import Solo
from trainer.data.plan import Plan
from trainer.data.split import Parts
from trainer.ending import enough
from trainer.foresight.shadow import Shadow
from trainer.learn import average, layers, nets
from trainer.learn.learner import Learner

CPU = torch.device("cpu")
IMAGES, TARGETS = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0])
EMA = {"kind": "ema", "decay": 0.9}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def learner(name: str = "test_resnet", **changes: Any) -> Learner:
    """Of 4 steps an epoch, 3 epochs."""
    config = tiny(model__name=name, **changes)
    parts = Parts(np.arange(16), np.arange(4), np.arange(0), np.arange(16) % 3)
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=3)
    plan = Plan.of(config, parts, Solo())
    return Learner(config, net, plan, 3, device=CPU, precision="fp32", micro_batch=4)


# ---- averages ------------------------------------------------------------------------------------


def test_an_ema_is_the_recurrence_that_its_name_says() -> None:
    one, steps = learner(train__average={"kind": "ema", "decay": 0.9, "warmup": False}), []
    for number in range(4):
        one.step(IMAGES, TARGETS, number)
        steps.append({k: v.double() for k, v in one.weights().items() if v.is_floating_point()})
    expected = steps[0]
    for weights in steps[1:]:
        expected = {key: 0.9 * value + 0.1 * weights[key] for key, value in expected.items()}
    found = one.weights(one.judged)
    for name, value in expected.items():
        assert torch.allclose(found[name].double(), value, atol=1e-6), name


def test_swa_is_the_plain_mean_of_the_last_steps() -> None:
    one, steps = learner(train__average={"kind": "swa", "start": 0.5}), []
    for number in range(12):
        one.step(IMAGES, TARGETS, number)
        steps.append(one.weights()["fc.weight"].double())
    mean = torch.stack(steps[6:]).mean(0)
    assert torch.allclose(one.weights(one.judged)["fc.weight"].double(), mean, atol=1e-6)


def test_an_average_begins_with_little_memory_and_never_keeps_more_than_it_may() -> None:
    kept = [average.stays(Ema(decay=0.9), number, 100) for number in range(100)]
    assert kept[0] == 0 and kept == sorted(kept) and max(kept) == 0.9
    assert average.stays(Swa(start=0.5), 51, 100) == 0.5


def test_the_average_is_what_is_judged_and_kept(data: Path, tmp_path: Path) -> None:
    config = tiny(model__name="test_resnet", train__average=EMA, data__pixels={"kind": "files"})
    order = order_for(tmp_path / "run", data, config)
    result = train(order)
    assert result.best
    losses, right = judged(folder_of(order).best, config, data)
    row = next(r for r in rows(order) if r["epoch"] == result.best.epoch)
    assert (sum(losses) / 5, right / 5) == pytest.approx((row["loss"], row["accuracy"]), rel=1e-4)
    assert result.facts["final_weights_sha256"] != result.facts["weights_sha256"]


def test_the_prediction_of_memory_counts_the_average_and_leaves_out_what_is_frozen() -> None:
    def peak(**changes: Any) -> float:
        config = tiny(model__name="test_resnet", **changes)
        with torch.device("meta"):
            net = timm.create_model("test_resnet", num_classes=3)
        return Shadow(config, net, 3, False).peak_mb(4)

    net = timm.create_model("test_resnet", num_classes=3)
    size = sum(value.nbytes for value in net.state_dict().values()) / 2**20
    plain = peak()
    # fake weights are counted once more while they are looked at: too much rather than too little
    assert plain + 0.99 * size < peak(train__average=EMA) < plain + 2.01 * size
    assert peak(model__freeze=[{"parts": ["backbone"]}]) < plain - size
    assert peak(model__freeze=[{"parts": ["backbone"], "until": 2}]) == plain


# ---- freezing ------------------------------------------------------------------------------------


def moved(one: Learner, number: int) -> set[str]:
    """The names that a step changes, statistics included."""
    before = one.weights()
    one.step(IMAGES, TARGETS, number)
    return {key for key, value in one.weights().items() if not torch.equal(value, before[key])}


def test_frozen_parts_rest_with_their_statistics_until_their_epoch() -> None:
    freeze = [{"parts": ["backbone"], "until": 1}, {"parts": ["conv1", "bn1"], "until": 2}]
    one = learner(model__freeze=freeze)
    assert moved(one, 3) == {"fc.weight", "fc.bias"}
    second, third = moved(one, 4), moved(one, 8)
    assert "layer1.0.conv1.weight" in second and not any(map(of_the_stem, second))
    assert {"conv1.0.weight", "bn1.running_mean"} <= third


def of_the_stem(name: str) -> bool:
    return name.startswith(("conv1.", "bn1."))


def test_a_part_that_a_model_does_not_have_is_refused_with_the_nearest(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(model__name="test_resnet", model__freeze=[{"parts": ["layers1"]}])
    result = train(order_for(tmp_path / "run", data, config))
    assert result.cause is Cause.CONFIG and "no part 'layers1'" in result.error
    assert "layer1" in result.try_this


def test_a_model_of_which_nothing_learns_is_refused(data: Path, tmp_path: Path) -> None:
    config = tiny(model__freeze=[{"parts": ["backbone", "head"]}])
    result = train(order_for(tmp_path / "run", data, config))
    assert result.cause is Cause.CONFIG and "nothing that learns" in result.error


# ---- layer-wise decay ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_rates_fall_from_the_head_to_the_first_layer_by_equal_parts(name: str) -> None:
    one = learner(name, model__lr_scale_min=0.01, schedule__warmup_epochs=1)
    one.schedule.step_update(4)
    rate = {p: group["lr"] for group in one.optimizer.param_groups for p in group["params"]}
    found = layers.layers_of(one.model)
    by_layer = {found[key]: rate[p] for key, p in one.model.named_parameters()}
    rates = [by_layer[number] for number in sorted(by_layer)]
    assert rates[-1] == pytest.approx(one.rate(4)) and rates[0] == pytest.approx(rates[-1] / 100)
    assert all(a < b for a, b in pairwise(rates))
    assert len(rate) == len(list(one.model.parameters()))


def test_the_log_shows_the_rate_of_every_layer_and_what_is_frozen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    config = tiny(model__lr_scale_min=0.1, model__freeze=[{"parts": ["patch_embed"], "until": 2}])
    layers.tell(config.model, timm.create_model("test_vit"))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "frozen for 2 epochs: patch_embed"
    assert lines[2].split()[:2] == ["0", "0.1000"] and lines[-1].split()[1] == "1.0000"


def test_a_model_that_names_no_layers_cannot_decay_by_them() -> None:
    with pytest.raises(layers.ConfigFault, match="does not say what its layers are"):
        layers.layers_of(nn.Linear(2, 2))


# ---- less memory, other kernels ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_gradient_checkpointing_changes_no_step(name: str) -> None:
    one, other = learner(name), learner(name, model__grad_checkpointing=True)
    nets.checkpointed(other.model, name)
    for number in range(2):
        assert torch.equal(*(each.step(IMAGES, TARGETS, number) for each in (one, other)))
    theirs = dict(other.model.named_parameters())
    assert all(torch.equal(value, theirs[key]) for key, value in one.model.named_parameters())


def test_a_model_that_cannot_compute_its_blocks_twice_is_refused() -> None:
    with pytest.raises(layers.ConfigFault, match="cannot compute its blocks twice"):
        nets.checkpointed(nn.Linear(2, 2), "vgg11")


# ---- the end -------------------------------------------------------------------------------------


def rows(order: Any) -> list[dict[str, float]]:
    head, *lines = folder_of(order).metrics.read_text().splitlines()
    return [
        {k: float(v) for k, v in zip(head.split(","), line.split(","), strict=True) if v}
        for line in lines
    ]


@pytest.mark.parametrize(
    ("changes", "losses", "expected"),
    [
        ({"patience": 2}, [3, 2, 2.5], ""),
        ({"patience": 2}, [3, 2, 2.5, 2], "no better loss for 2 evaluations"),
        ({"patience": 2}, [3, 2, 2.5, 1.9], ""),
        ({}, [1, 2, 3, 4, 5], ""),
    ],
)
def test_patience_counts_evaluations_without_a_better_value(
    changes: dict[str, Any], losses: list[float], expected: str
) -> None:
    found = [{"loss": loss, "accuracy": 0.1 * n} for n, loss in enumerate(losses)]
    asked = Evaluate(metric="accuracy", patience_metric="loss", every=2, **changes)
    between: list[dict[str, float]] = [{"epoch": 1}]  # an epoch that is not evaluated
    assert enough(asked, [*between, *found, *between], 0, 0) == expected


def test_a_run_without_patience_left_is_finished_and_says_why(data: Path, tmp_path: Path) -> None:
    config = tiny(train__epochs=9, optim__lr=1e-9, evaluate__patience=2)
    order = order_for(tmp_path / "run", data, config)
    result = train(order)
    assert len(rows(order)) == 3 and result.best and result.best.epoch == 1
    assert result.facts["ended_early"] == "no better accuracy for 2 evaluations"
    assert checkpoint.damage(folder_of(order).best) == ""


def test_a_run_whose_time_is_up_ends_with_its_epoch(data: Path, tmp_path: Path) -> None:
    order = order_for(tmp_path / "run", data, tiny(train__epochs=9, train__limit_s=1e-6))
    result = train(order)
    assert len(rows(order)) == 1 and "train.limit_s" in result.facts["ended_early"]


def test_freeze_is_written_as_parts_and_epochs() -> None:
    assert Freeze(parts=("blocks.0",)).until == 0
    with pytest.raises(ValueError, match="parts"):
        Freeze(parts=("blocks..0",))
