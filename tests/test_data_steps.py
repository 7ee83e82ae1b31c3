"""Steps of an augmentation: each does what it is called, the same for the same seed."""

import random
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from support.sketches import draw_sketches, sketch
from support.trainers import tiny

from schemas.components.augment import Batched, Steps
from schemas.components.data import Data, sides
from schemas.components.pixels import Files
from schemas.components.steps import AnyStep
from schemas.errors import ConfigError
from schemas.source import read
from trainer import randomness
from trainer.crew import Solo
from trainer.data import loader, pixels, sources, split, steps, transforms
from trainer.data.course import Course, Way, course
from trainer.data.plan import Plan

PAGE = (Path(__file__).parents[1] / "docs" / "augment.md").read_text()
PIECES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
KINDS = {spec().kind: spec for spec in get_args(get_args(AnyStep)[0])}
LOOK = {
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 0.95,
    "crop_mode": "center",
}


def drawing(side: int = 64) -> Image.Image:
    """Coloured, and different when it is turned, mirrored or shifted."""
    picture = sketch(corners=5, dice=random.Random(3), side=80).convert("RGB").resize((side, side))
    picture.paste((200, 30, 60), (5, 9, 20, 16))
    return picture


def done(kind: str, seed: int = 1, **values: Any) -> np.ndarray[Any, Any]:
    """A step on the drawing, for sure."""
    step = KINDS[kind].model_validate({"prob": 1.0, **values})
    randomness.settle(seed, devices=False)
    return np.asarray(steps.InOrder([step])(drawing()))


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_has_a_builder_changes_pictures_and_repeats(kind: str) -> None:
    before = np.asarray(drawing())
    changed = [done(kind, seed) for seed in range(8)]
    assert all(each.shape == before.shape and each.dtype == np.uint8 for each in changed)
    assert any(not np.array_equal(each, before) for each in changed)
    assert all(np.array_equal(each, done(kind, seed)) for seed, each in enumerate(changed))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_without_a_chance_is_not_done(kind: str) -> None:
    assert np.array_equal(done(kind, prob=0.0), np.asarray(drawing()))


def test_some_steps_do_exactly_what_they_are_called() -> None:
    before = np.asarray(drawing())
    assert np.array_equal(done("hflip"), before[:, ::-1])
    assert np.array_equal(done("vflip"), before[::-1])
    assert np.array_equal(done("invert"), 255 - before)
    gray = done("gray")
    assert (gray == gray[..., :1]).all()
    assert done("erode").mean() < before.mean() < done("dilate").mean()
    assert done("brightness", factor=[0.5, 0.5]).mean() == pytest.approx(before.mean() / 2, abs=1)
    noise = done("noise", sigma=[20.0, 20.0]).astype(int) - before
    assert 5 < noise[(before > 60) & (before < 200)].std() < 21
    assert done("blur", sigma=[2.0, 2.0]).std() < before.std()
    assert (done("dropout", holes=1, side=0.5, fill="black") == 0).all(-1).sum() >= 32 * 32


def test_what_comes_into_view_is_paper() -> None:
    for kind in ("rotate", "shift_scale_rotate", "perspective", "elastic"):
        picture = Image.new("RGB", (64, 64), (255, 255, 255))
        randomness.settle(3, devices=False)
        step = KINDS[kind].model_validate({"prob": 1.0})
        assert np.asarray(steps.InOrder([step])(picture)).min() == 255


def test_of_a_choice_one_is_done() -> None:
    choice = [
        {"kind": "hflip", "either": "way", "prob": 1.0},
        {"kind": "vflip", "either": "way", "prob": 1.0},
    ]
    both = Steps.model_validate({"steps": choice})
    before = np.asarray(drawing())
    seen = set()
    for seed in range(20):
        randomness.settle(seed, devices=False)
        after = np.asarray(steps.InOrder(both.steps)(drawing()))
        seen |= {np.array_equal(after, before[:, ::-1]), 2 + np.array_equal(after, before[::-1])}
        assert np.array_equal(after, before[:, ::-1]) != np.array_equal(after, before[::-1])
    assert seen == {False, True, 2, 3}


def test_steps_work_at_the_size_that_the_model_sees() -> None:
    spec = Steps.model_validate({"steps": [{"kind": "elastic"}, {"kind": "hflip"}]})
    made = transforms.training(spec, 32, LOOK)
    assert made(drawing(100)).shape == (3, 32, 32) and made(drawing(100)).dtype == torch.uint8
    empty = transforms.training(Steps(), 32, LOOK)
    assert torch.equal(empty(drawing(100)), transforms.validating(32, LOOK)(drawing(100)))
    cropped = transforms.training(Steps(scale=(0.3, 0.5)), 32, LOOK)
    randomness.settle(1, devices=False)
    assert not torch.equal(cropped(drawing(100)), empty(drawing(100)))


@pytest.mark.parametrize("piece", PIECES)
def test_every_piece_of_the_page_works_and_repeats(piece: str) -> None:
    config = read(f"model: {{name: resnet18}}\n{piece}", "docs/augment.md").config
    sizes = {config.data.extent, *(each.size for each in config.data.smaller)}
    pictures = {size: lambda _: drawing() for size in sizes}
    if isinstance(config.augment, Batched):
        return  # made of a cache, and tested with one
    for epoch, way in enumerate(course(config, pictures, LOOK).training):
        first, again = (seeded(way.transform, seed) for seed in (1, 1))
        shape = (3, *sides(config.data.size_at(epoch)))
        assert first.shape == shape and torch.equal(first, again)


def seeded(way: transforms.Transform, seed: int) -> torch.Tensor:
    randomness.settle(seed, devices=False)
    return way(drawing())


def test_all_steps_give_the_same_pixels_with_0_and_2_workers(data: Path) -> None:
    every = Steps.model_validate({"scale": (0.5, 1.0), "steps": [{"kind": kind} for kind in KINDS]})
    alone, helped = (batches(every, data, workers) for workers in (0, 2))
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data", each=4)


def batches(spec: Steps, data: Path, workers: int) -> list[torch.Tensor]:
    images = sources.read(Data(), data)
    picture = pixels.pictures(Data(pixels=Files()), images, data, lambda _: None)
    way = Way(picture, transforms.training(spec, 32, LOOK))
    validating = Way(picture, transforms.validating(32, LOOK))
    seen = loader.Pictures(images, Course(validating, (way,)), 1)
    small = tiny(train__epochs=1)
    plan = Plan.of(small, split.divide(images, small.data.split, 1), Solo())
    cpu = torch.device("cpu")
    return [batch for batch, _ in loader.read(seen, plan, workers, cpu, epoch=0, step=0)]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{kind: noise, sigma: [9, 1]}", "from low to high"),
        ("{kind: rand_augment, magnitude: 31}", "31 bins are counted 0 to 30, got 31"),
    ],
)
def test_a_step_that_contradicts_itself_is_refused_at_its_place(step: str, words: str) -> None:
    text = f"model: {{name: resnet18}}\naugment: {{kind: steps, steps: [{step}]}}"
    with pytest.raises(ConfigError) as caught:
        read(text, "f.yaml")
    (problem,) = caught.value.problems
    assert problem.key.startswith("augment.steps.0.") and words in problem.message
