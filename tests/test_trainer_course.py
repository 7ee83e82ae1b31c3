"""Epochs that differ: other augmentation, other sizes, mixing that ends; and a resume keeps all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.sketches import draw_sketches
from support.trainers import leaves, newest, order_for, result_of, tiny, train
from torch import nn

from schemas.config import TrainConfig
from schemas.errors import ConfigError
from schemas.source import read
from trainer import randomness
from trainer.crew import Solo
from trainer.data import course, loader, sources, split
from trainer.data.plan import VALIDATION, Plan
from trainer.foresight import foresee
from trainer.learn.learner import Learner, mixer
from trainer.learn.outputs import PARTED

LOOK = {
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 0.95,
    "crop_mode": "center",
}
CPU = torch.device("cpu")
# flat colours tell the stages apart: nothing, then inverted, then white
STAGES = {
    "kind": "curriculum",
    "stages": [
        {"until": 1, "augment": {"kind": "none"}},
        {"until": 3, "augment": {"kind": "steps", "steps": [{"kind": "invert", "prob": 1.0}]}},
        {"augment": {"kind": "steps", "steps": [{"kind": "vflip", "prob": 1.0}]}},
    ],
}
WILD = {"auto_augment": "rand-m9-mstd0.5", "erase": 0.5, "color_jitter": 0.4}
SMALLER = [{"until": 1, "size": 16}, {"until": 2, "size": 24}]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def pictures(config: TrainConfig, data: Path, cache: Path) -> loader.Pictures:
    images = sources.read(config.data, data)
    by_size = course.sources(config, images, cache, lambda _: None)
    return loader.Pictures(images, course.course(config, by_size, LOOK), config.seed)


def seen(dataset: loader.Pictures, epoch: int) -> torch.Tensor:
    found = dataset[epoch, 2]
    assert isinstance(found, tuple)
    return found[0]


def test_each_epoch_is_augmented_as_its_stage_says(data: Path, tmp_path: Path) -> None:
    dataset = pictures(tiny(augment=STAGES, train__epochs=5), data, tmp_path)
    plain = seen(dataset, VALIDATION)
    for epoch, wanted in enumerate([plain, 255 - plain, 255 - plain, plain.flip(1), plain.flip(1)]):
        assert torch.equal(seen(dataset, epoch), wanted)


def test_each_epoch_has_its_size_and_validation_always_the_last(data: Path, tmp_path: Path) -> None:
    config = tiny(model__name="test_resnet", data__smaller=SMALLER, train__epochs=4)
    dataset = pictures(config, data, tmp_path)
    assert [seen(dataset, epoch).shape[-1] for epoch in range(4)] == [16, 24, 32, 32]
    assert seen(dataset, VALIDATION).shape == (3, 32, 32)
    plan = Plan.of(config, split.divide(dataset.images, config.data.split, 1), Solo())
    for workers in (0, 2):
        batches = loader.read(dataset, plan, workers, CPU, epoch=0, step=0)
        sizes = [images.shape[-1] for images, _ in batches]
        each = [16] * plan.steps_per_epoch, [24] * plan.steps_per_epoch
        assert sizes[: len(each[0])] == each[0]
        assert [size for size in sizes if size < 32] == [*each[0], *each[1]]


def test_each_size_has_pixels_of_its_own_in_the_cache_shared_with_runs_of_that_size(
    data: Path, tmp_path: Path
) -> None:
    pictures(tiny(model__name="test_resnet", data__smaller=SMALLER), data, tmp_path)
    assert len([path for path in (tmp_path / "pixels").iterdir() if path.is_dir()]) == 3
    pictures(tiny(model__name="test_resnet", data__img_size=24), data, tmp_path)
    assert len([path for path in (tmp_path / "pixels").iterdir() if path.is_dir()]) == 3


def test_the_same_pixels_come_with_0_and_2_workers_and_from_the_middle_on(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(model__name="test_resnet", data__smaller=SMALLER, augment=WILD)
    dataset = pictures(config, data, tmp_path)
    plan = Plan.of(config, split.divide(dataset.images, config.data.split, 1), Solo())
    whole = list(loader.read(dataset, plan, 0, CPU, epoch=0, step=0))
    helped = list(loader.read(dataset, plan, 2, CPU, epoch=0, step=0))
    begun = plan.steps_per_epoch + 2  # a resume in the second epoch, after its second step
    read = begun + sum(1 for _ in plan.validation())
    late = list(loader.read(dataset, plan, 2, CPU, epoch=1, step=begun))
    for one, other in zip(whole + whole[read:], helped + late, strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_a_batch_that_arrives_during_an_evaluation_can_be_learnt_from(
    data: Path, tmp_path: Path
) -> None:
    """Loader processes are not in step: the first batch of an epoch may overtake an evaluation's
    last. It once became a tensor that no gradient goes through, and the run failed."""
    config = tiny(data__workers=2)
    dataset = pictures(config, data, tmp_path)
    plan = Plan.of(config, split.divide(dataset.images, config.data.split, 1), Solo())
    for workers in (0, 2):
        with torch.inference_mode():
            batches = list(loader.read(dataset, plan, workers, CPU, epoch=0, step=0))
        assert not any(part.is_inference() for batch in batches for part in batch)


def test_a_resume_in_the_middle_of_a_course_ends_with_the_same_weights(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(
        model__name="test_resnet",
        data__smaller=SMALLER,
        augment=STAGES,
        mix={"mixup": 0.4, "until": 2},
        train__epochs=4,
        train__save_every_steps=3,
    )
    whole = order_for(tmp_path / "whole", data, config)
    train(whole)
    first = order_for(tmp_path / "parts", data, config.model_copy())
    leaves(first, 6)
    second = order_for(tmp_path / "parts", data, config, resume=str(newest(first)))
    train(second)
    assert result_of(second).facts["started_at_step"] == 6
    shas = [result_of(order).facts["final_weights_sha256"] for order in (whole, second)]
    assert shas[0] == shas[1]


def test_mixing_ends_with_its_epochs() -> None:
    config = tiny(mix={"mixup": 1.0, "until": 2}, train__epochs=4)
    parts = split.Parts.of(torch.tensor([0, 1] * 8 + [-1]).numpy(), -1)
    plan = Plan.of(config, parts, Solo())
    assert Learner(config, nn.Linear(1, 2), plan, 2, **HERE).mixed_steps == 2 * plan.steps_per_epoch
    endless = tiny(mix={"mixup": 1.0}, train__epochs=4)
    assert Learner(endless, nn.Linear(1, 2), plan, 2, **HERE).mixed_steps == plan.steps


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_mixed_images_tell_each_head_the_share_of_both(way: str) -> None:
    mix = mixer(tiny(mix={way: 1.0}), 18)
    assert mix
    randomness.settle(5, devices=False)
    _, targets = mix(torch.rand(4, 3, 32, 32), torch.tensor([0, 5, 11, 17]))
    first, last = targets[0, 0].item(), targets[0, 17].item()
    assert first + last == pytest.approx(1) and 0 < first < 1
    # class 0: worn, male, young; class 17: not worn, female, old
    for head, size in zip(PARTED.targets(targets), (3, 2, 3), strict=True):
        wanted = torch.zeros(size)
        wanted[0], wanted[-1] = first, last
        assert torch.allclose(head[0], wanted) and torch.allclose(head.sum(1), torch.ones(4))


HERE: dict[str, Any] = {"device": CPU, "precision": "fp32", "micro_batch": 4}


def test_a_model_of_one_size_is_refused_before_anything_is_read(data: Path, tmp_path: Path) -> None:
    config = tiny(model__name="vit_tiny_patch16_224", data__smaller=[{"until": 1, "size": 16}])
    refused = "vit_tiny_patch16_224, built for 32 px, refuses 16"
    order = order_for(tmp_path / "run", data, config)
    assert refused in train(order).error and not (tmp_path / "run" / "pixels").exists()
    with pytest.raises(foresee.Refusal, match=refused):
        foresee.foresee(config)
    foresee.insist_on_smaller(tiny(data__smaller=[{"until": 1, "size": 16}]), 3)  # takes any


@pytest.mark.parametrize(
    ("piece", "key", "words"),
    [
        ("augment: {kind: curriculum, stages: []}", "augment.stages", "must have 1 values or more"),
        (
            "augment: {kind: curriculum, stages: [{until: 3}]}",
            "augment.stages.0.until",
            "the last stage goes to the end",
        ),
        (
            "augment: {kind: curriculum, stages: [{}, {}]}",
            "augment.stages.0.until",
            "those after it never come",
        ),
        (
            "augment: {kind: curriculum, stages: [{until: 3}, {until: 3}, {}]}",
            "augment.stages.1.until",
            "until must go up, got 3 and then 3",
        ),
        (
            "augment: {kind: curriculum, stages: [{until: 10}, {}]}",
            "augment.stages.0.until",
            "the run has 10 epochs",
        ),
        (
            "augment: {kind: curriculum, stages: [{augment: {scale: [1, 0.5]}}]}",
            "augment.stages.0.augment.scale",
            "from low to high",
        ),
        ("data: {smaller: [{until: 2, size: 224}]}", "data.smaller.0.size", "smaller than"),
        ("data: {smaller: [{until: 12, size: 64}]}", "data.smaller.0.until", "has 10 epochs"),
        (
            "data: {smaller: [{until: 4, size: 64}, {until: 3, size: 96}]}",
            "data.smaller.1.until",
            "must go up",
        ),
    ],
)
def test_a_course_that_makes_no_sense_is_refused_at_its_place(
    piece: str, key: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"model: {{name: resnet18}}\n{piece}", "f.yaml")
    problem = caught.value.problems[0]
    assert problem.key == key and words in problem.message
