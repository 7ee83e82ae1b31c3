"""Images that are no squares: `data.img_width`, from the file to the answer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.sketches import draw_sketches
from support.trainers import order_for, tiny, train
from timm.data import create_transform

from schemas.components.augment import Steps, TimmAugment
from schemas.components.data import Data
from schemas.components.pixels import Cached
from schemas.errors import ConfigError
from schemas.source import read
from trainer.answer import finished, published, views
from trainer.data import pixels, transforms
from trainer.foresight import foresee
from trainer.learn import nets

TALL = {"data__img_size": 48, "data__img_width": 32}
LOOK = {
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 1.0,
    "crop_mode": "center",
}


def shade(width: int, height: int) -> Image.Image:
    """Darker to the left, and brighter to the bottom."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 / width, y * 255 / height, x * 0], 2).astype(np.uint8))


def test_validation_shows_the_middle_of_an_image_in_its_own_proportions() -> None:
    seen = transforms.validating((48, 32), LOOK)(shade(60, 60))
    assert seen.shape == (3, 48, 32)
    assert torch.equal(seen, create_transform((3, 48, 32), normalize=False, **LOOK)(shade(60, 60)))
    assert 30 < seen[0].min() < 60 and 195 < seen[0].max() < 225, "a sixth is cut from either side"
    assert seen[1].min() < 10 and seen[1].max() > 245, "nothing above and below"


@pytest.mark.parametrize(
    "augment",
    [
        TimmAugment(auto_augment="rand-m9", erase=1.0),
        Steps.model_validate({"steps": [{"kind": "elastic"}, {"kind": "optical_distortion"}]}),
        Steps.model_validate({"scale": [0.5, 1.0], "steps": [{"kind": "dropout", "prob": 1.0}]}),
    ],
    ids=["timm", "steps", "crops"],
)
def test_training_images_have_that_shape_too(augment: TimmAugment | Steps) -> None:
    assert transforms.training(augment, (48, 32), LOOK)(shade(60, 90)).shape == (3, 48, 32)


def test_every_view_of_an_answer_has_that_shape() -> None:
    for view in views.views(["hflip", "crops", "scales"]):
        assert views.seen(view, (48, 32), LOOK)(shade(60, 90)).shape == (3, 48, 32)


def test_a_cache_keeps_enough_of_images_that_stand_and_that_lie() -> None:
    assert pixels.side_of(Cached(), Data(img_size=48, img_width=32).extent) == 72
    assert pixels.side_of(Cached(), Data(img_size=32, img_width=48).extent) == 72


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_a_run_learns_from_them_answers_and_is_handed_on(name: str, tmp_path: Path) -> None:
    data = draw_sketches(tmp_path / "data")
    config = tiny(model__name=name, train__epochs=1, **TALL)
    order = order_for(tmp_path / "run", data, config)
    result = train(order)
    assert result.error == ""
    run = finished.find(tmp_path / "run")
    assert run.net()(torch.zeros(1, 3, 48, 32)).shape == (1, 3)
    assert "at 48 x 32 px" in published.write(run, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "config.json").read_text())["pretrained_cfg"]
    assert told["input_size"] == [3, 48, 32]


def test_work_and_memory_are_those_of_the_shape() -> None:
    tall, square = (
        foresee.foresee(tiny(model__name="resnet18", data__img_size=96, **width))
        for width in ({"data__img_width": 64}, {})
    )
    assert tall.gmacs == pytest.approx(square.gmacs * 2 / 3, rel=0.02)
    assert tall.input_mb == pytest.approx(square.input_mb * 2 / 3, rel=0.01)
    assert tall.image_mb == pytest.approx(square.image_mb * 2 / 3, rel=0.1)
    assert "images of 96 x 64 px" in tall.notes and len(square.notes) == 1


def test_the_same_width_is_a_square_and_the_same_pixels() -> None:
    assert Data(img_size=48, img_width=48).extent == Data(img_size=48).extent == 48
    square = transforms.validating((48, 48), LOOK)(shade(60, 90))
    assert torch.equal(square, transforms.validating(48, LOOK)(shade(60, 90)))


def test_a_model_of_torchvision_takes_them() -> None:
    spec = tiny(model={"kind": "torchvision", "name": "shufflenet_v2_x0_5"}).model
    net = nets.create(spec, 3, (48, 32)).eval()
    assert net(torch.zeros(1, 3, 48, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        ("data: {img_width: 96, smaller: [{until: 2, size: 64}]}", "are squares"),
        ("data: {img_width: 96}\naugment: {kind: batched}", "makes squares"),
        ("data: {img_width: 96}\nmodel: {kind: torchvision, name: vit_b_32}", "take squares"),
        ("data: {img_width: 90}\nmodel: {name: vit_base_patch16_224}", "multiples of"),
    ],
    ids=["smaller", "batched", "torchvision", "timm"],
)
def test_what_only_makes_squares_is_refused_at_its_place(piece: str, words: str) -> None:
    text = piece if "model:" in piece else f"model: {{name: resnet18}}\n{piece}"
    with pytest.raises(ConfigError) as caught:
        read(text, "f.yaml")
    assert {problem.key for problem in caught.value.problems} == {"data.img_width"}
    assert words in caught.value.problems[0].message
