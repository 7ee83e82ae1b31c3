"""Optimizers: every key reaches timm's; what they remember is enough to take the same steps."""

import io
from typing import Any, get_args

import pytest
import torch
from support.learners import IMAGES, TARGETS, learner, same
from support.trainers import tiny

from schemas import timm_optimizers
from schemas.components.optim import Optim
from trainer.foresight.shadow import Shadow
from trainer.learn import optim
from trainer.optimizer_names import lines

Keys = dict[str, Any]
CASES: list[Keys] = [
    {"kind": "adamw", "betas": (0.8, 0.99), "eps": 1e-6, "amsgrad": True},
    {"kind": "adam", "betas": (0.8, 0.99), "eps": 1e-6, "amsgrad": True},
    {"kind": "sgd"},
    {"kind": "sgd", "momentum": 0.8, "nesterov": True},
    {"kind": "sgd", "momentum": 0.0},
    {"kind": "rmsprop", "momentum": 0.8, "alpha": 0.95, "eps": 1e-6, "centered": True},
    {"kind": "lion", "betas": (0.8, 0.95)},
    {"kind": "muon", "momentum": 0.8, "nesterov": False, "ns_steps": 3, "betas": (0.8, 0.99)},
]
CASES += [
    {"kind": "timm", "name": name, **({"options": options} if options else {})}
    for name, options in (
        ("nadamw", {"caution": True}),
        ("lamb", {"betas": [0.8, 0.99]}),
        ("adan", {}),
        ("mars", {}),
    )
]
KINDS = {case["kind"]: case for case in CASES}.values()


def named(case: Keys) -> str:
    return "-".join(f"{value}" for value in case.values())


def test_every_optimizer_has_a_builder_and_a_case() -> None:
    kinds = get_args(get_args(Optim)[0])
    for kind in kinds:
        assert optim.optimizer.dispatch(kind) is not optim.optimizer.dispatch(object)
    assert {kind.model_fields["kind"].default for kind in kinds} == {c["kind"] for c in CASES}


@pytest.mark.parametrize("case", CASES, ids=named)
def test_every_key_of_an_optimizer_reaches_it(case: Keys) -> None:
    made = learner(optim={**case, "lr": 0.003, "weight_decay": 0.02})
    groups = made.optimizer.param_groups
    for key, value in {**case, **case.get("options", {})}.items():
        assert key in ("kind", "name", "options") or all(group[key] == value for group in groups)
    assert {group["lr"] for group in groups} == {0.003}
    decays = {name: group["weight_decay"] for group in groups for name in names(made, group)}
    assert decays["blocks.0.mlp.fc1.weight"] == 0.02
    assert decays["blocks.0.mlp.fc1.bias"] == decays["norm.weight"] == 0


def names(made: Any, group: dict[str, Any]) -> list[str]:
    of = {parameter: name for name, parameter in made.model.named_parameters()}
    return [of[parameter] for parameter in group["params"]]


def test_muon_takes_the_head_and_the_vectors_for_its_adamw() -> None:
    made = learner(optim={"kind": "muon"})
    made.step(IMAGES, TARGETS, 0)
    remembered = optim.memory(made.optimizer, made.model)
    assert set(remembered["blocks.0.mlp.fc1.weight"]) == {"use_muon", "momentum_buffer"}
    for name in ("head.weight", "head.bias", "norm.weight"):
        assert "exp_avg_sq" in remembered[name]


@pytest.mark.parametrize("lowest", [1.0, 0.1])
@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_restored_optimizer_takes_the_very_same_steps(case: Keys, lowest: float) -> None:
    config = {"optim": case, "model__lr_scale_min": lowest, "train__clip_norm": 1.0}
    first, second = learner(**config), learner(**config)
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


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_batch_that_gives_no_number_at_any_time_hurts_no_weight(case: Keys) -> None:
    hurt = learner(optim=case)
    before = hurt.weights()
    for number, images in enumerate((IMAGES * float("inf"), IMAGES, IMAGES * float("inf"))):
        if number < 2:
            hurt.step(images, TARGETS, number)
            continue
        before = hurt.weights()
        hurt.step(images, TARGETS, number)
    after = hurt.weights()  # raises when one is no number
    if case["kind"] in ("adamw", "adam", "sgd"):  # others step with a gradient of 0
        assert all(torch.equal(before[name], value) for name, value in after.items())


@pytest.mark.parametrize("case", KINDS, ids=named)
def test_an_unfrozen_part_begins_to_learn_with_every_optimizer(case: Keys) -> None:
    made = learner(optim=case, model__freeze=[{"parts": ["blocks"], "until": 1}])
    blocks = made.model.get_parameter("blocks.0.mlp.fc1.weight")
    before = blocks.detach().clone()
    made.step(IMAGES, TARGETS, 0)
    assert torch.equal(blocks, before)
    made.step(IMAGES, TARGETS, 8)
    made.step(IMAGES, TARGETS, 9)
    assert not torch.equal(blocks, before) and blocks.isfinite().all()


def test_another_optimizer_has_no_use_for_the_memory_of_the_first() -> None:
    first = learner(optim={"kind": "adamw"})
    first.step(IMAGES, TARGETS, 0)
    second = learner(optim={"kind": "sgd"})
    second.restore(first.weights(), first.memory())
    second.step(IMAGES, TARGETS, 1)
    assert not same(first, second)


@pytest.mark.parametrize("case", KINDS, ids=named)
def test_the_preflight_can_take_a_step_with_every_optimizer(case: Keys) -> None:
    config = tiny(optim=case)
    assert Shadow(config, learner().model, 3, amp=False).peak_mb(2) > 1


def test_the_list_of_timms_optimizers_is_what_timm_has() -> None:
    assert timm_optimizers.FILE.read_text().splitlines() == "\n".join(lines()).splitlines()
    assert len(timm_optimizers.optimizers()) > 80


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"name": "nadam_w"}, "timm has no optimizer 'nadam_w'"),
        ({"name": "adahessian"}, "timm has no optimizer 'adahessian' that a run could go on with"),
        ({"name": "lamb", "options": {"beta": [0.9, 0.99]}}, "lamb has no option 'beta'"),
        ({"name": "lamb", "options": {"betas": [0.9]}}, "betas is no value for it"),
        ({"name": "lamb", "options": {"trust_clip": 1}}, "trust_clip is no value for it"),
    ],
    ids=["name", "second-order", "option", "numbers", "switch"],
)
def test_an_optimizer_or_an_option_that_timm_lacks_is_refused(keys: Keys, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny(optim={"kind": "timm", **keys})


def test_looking_ahead_along_no_momentum_is_refused() -> None:
    with pytest.raises(ValueError, match="nesterov needs a momentum"):
        tiny(optim={"kind": "sgd", "momentum": 0.0, "nesterov": True})
