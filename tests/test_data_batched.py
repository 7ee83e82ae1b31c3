"""Batches made on the device: what a recipe says, everywhere the same, and the same to a resume."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.sketches import draw_sketches
from support.trainers import folder_of, judged, order_for, result_of, tiny, train
from timm.data import create_transform
from torch import Tensor

from schemas.components.augment import Batched
from schemas.components.data import Data
from schemas.components.pixels import Cached
from schemas.config import TrainConfig
from schemas.errors import ConfigError
from schemas.source import read
from trainer import randomness
from trainer.crew import Solo
from trainer.data import batched, course, loader, pixels, sources, split
from trainer.data.batched import Kitchen, Recipe
from trainer.data.images import Images
from trainer.data.pixels import Kept
from trainer.data.plan import Plan

CPU = torch.device("cpu")
LOOK = {
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 0.95,
    "crop_mode": "center",
}
WHOLE = {"scale": (1.0, 1.0), "ratio": (1.0, 1.0), "hflip": 0.0}  # the middle square, untouched
WILD = {
    **{"kind": "batched", "vflip": 0.5, "degrees": 30.0, "brightness": 0.3, "contrast": 0.3},
    **{"saturation": 0.3, "invert": 0.3, "erase": 0.5},
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Gray and coloured ones, wide and tall ones."""
    return sources.read(Data(), draw_sketches(tmp_path_factory.mktemp("s") / "data", side=60))


@pytest.fixture(scope="module")
def kept(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    made = pixels.pictures(
        Data(pixels=Cached(side=48)), images, tmp_path_factory.mktemp("c"), lambda _: None
    )
    assert isinstance(made, Kept)
    return made


def made(kept: Kept, size: int = 32, seed: int = 1, **spec: Any) -> Tensor:
    """Every image, as a specification says."""
    recipe = Recipe(Batched.model_validate({**WHOLE, **spec}), size)
    rows = []
    for number in range(len(kept.slots)):
        randomness.settle(seed + number, devices=False)
        rows.append(recipe(kept.frame(number)))
    return Kitchen(kept.cache, CPU)(torch.stack(rows))


def numbers(images: Tensor) -> Tensor:
    return images.int()


def test_an_untouched_image_is_the_one_that_pil_makes(kept: Kept) -> None:
    ours = numbers(made(kept))
    assert set(kept.cache.index[:, 3].tolist()) == {1, 3}
    for number in range(len(kept.slots)):
        picture = kept(number).convert("RGB")
        left, top = (picture.width - 48) // 2, (picture.height - 48) // 2
        square = picture.crop((left, top, left + 48, top + 48))
        wanted = np.asarray(square.resize((32, 32), Image.Resampling.BILINEAR), int)
        apart = np.abs(ours[number].permute(1, 2, 0).numpy() - wanted)
        assert apart.mean() < 2 and apart.max() < 25


def test_a_recipe_does_what_it_says(kept: Kept) -> None:
    plain = numbers(made(kept))
    assert torch.equal(numbers(made(kept, hflip=1.0)), plain.flip(3))
    assert torch.equal(numbers(made(kept, vflip=1.0)), plain.flip(2))
    assert (numbers(made(kept, invert=1.0)) - (255 - plain)).abs().max() <= 1
    turned = numbers(made(kept, degrees=45.0))
    assert (turned[:, :, 0, 0] >= 254).all() and not torch.equal(turned, plain)
    holed = numbers(made(kept, erase=1.0))
    share = (holed != plain).any(1).float().mean((1, 2))
    assert (share > 0.005).all() and (share < 0.4).all()
    gray = numbers(made(kept, saturation=1.0, seed=5))
    assert gray.float().std(1).mean() != plain.float().std(1).mean()
    crops = numbers(made(kept, scale=(0.2, 0.4)))
    assert not torch.equal(crops, plain)


def test_the_contrast_turns_about_a_middle_gray_and_brightness_about_black(kept: Kept) -> None:
    plain = numbers(made(kept)).float()
    for name, middle in (("brightness", 0.0), ("contrast", 127.5)):
        after = numbers(made(kept, **{name: 0.5})).float()
        inside = (after > 2) & (after < 253) & ((plain - middle).abs() > 20)
        factor = (after - middle) / (plain - middle)
        for number in range(len(plain)):
            of_one = factor[number][inside[number]]
            assert len(of_one) and (of_one - of_one.median()).abs().max() < 0.06


def test_memory_on_the_device_does_not_change_a_pixel(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU that holds the cache: the same bytes, lying elsewhere."""
    monkeypatch.setattr(batched, "AT_ONCE", 1)  # image by image
    recipe = Recipe(Batched.model_validate(WILD), 32)
    randomness.settle(3, devices=False)
    rows = torch.stack([recipe(kept.frame(number)) for number in (5, 2, 19, 2)])
    away = Kitchen(kept.cache, CPU)
    here = Kitchen(kept.cache, CPU)
    every = range(len(here.rows))
    here.bytes, here.rows = batched.packed(kept.cache, here.rows, every, CPU)
    here.resident = True
    monkeypatch.undo()
    assert torch.equal(away(rows), here(rows))


@pytest.mark.gpu
def test_a_gpu_makes_the_same_bytes_up_to_rounding(kept: Kept) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    recipe = Recipe(Batched.model_validate(WILD), 32)
    randomness.settle(3, devices=False)
    rows = torch.stack([recipe(kept.frame(number)) for number in range(24)])
    gpu = Kitchen(kept.cache, torch.device("cuda"))
    assert gpu.resident
    apart = (gpu(rows).cpu().int() - Kitchen(kept.cache, CPU)(rows).int()).abs()
    assert apart.max() <= 1 or (apart > 1).float().mean() < 1e-3  # a place on the very edge


def test_rounding_apart_the_arithmetic_of_a_device_does_not_show(kept: Kept) -> None:
    """Single precision against double: farther apart than any two devices."""
    recipe = Recipe(Batched.model_validate(WILD), 32)
    randomness.settle(7, devices=False)
    rows = torch.stack([recipe(kept.frame(number)) for number in range(24)])
    flat, placed = batched.packed(kept.cache, Kitchen(kept.cache, CPU).rows, range(24), CPU)
    single = batched.made(flat, rows.float(), placed, 32).int()
    with double_by_default():
        double = batched.made(flat, rows, placed, 32).int()
    apart = (single - double).abs()
    assert (apart > 1).float().mean() < 1e-3 and (apart > 0).float().mean() < 0.01


class double_by_default:
    def __enter__(self) -> None:
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(torch.float32)


def dataset(config: TrainConfig, images: Images, root: Path) -> loader.Pictures:
    by_size = course.sources(config, images, root, lambda _: None)
    return loader.Pictures(images, course.course(config, by_size, LOOK), config.seed)


def test_batches_are_the_same_with_0_and_2_workers_and_from_the_middle_on(
    images: Images, tmp_path: Path
) -> None:
    config = tiny(model__name="test_resnet", augment=WILD, data__smaller=[{"until": 1, "size": 16}])
    seen = dataset(config, images, tmp_path)
    plan = Plan.of(config, split.divide(images, config.data.split, 1), Solo())
    whole = list(loader.read(seen, plan, 0, CPU, epoch=0, step=0))
    assert whole[0][0].shape == (4, 3, 16, 16) and whole[-1][0].dtype == torch.uint8
    helped = list(loader.read(seen, plan, 2, CPU, epoch=0, step=0))
    begun = plan.steps_per_epoch + 2
    late = list(loader.read(seen, plan, 2, CPU, epoch=1, step=begun))
    tail = whole[begun + sum(1 for _ in plan.validation()) :]
    for one, other in zip(whole + tail, helped + late, strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_what_validates_is_never_made_from_a_recipe(images: Images, tmp_path: Path) -> None:
    """At every evaluation timm's own picture, at its full size, whatever trains beside it."""
    config = tiny(augment=WILD, data__smaller=[{"until": 1, "size": 16}])
    seen = dataset(config, images, tmp_path)
    plan = Plan.of(config, split.divide(images, config.data.split, 1), Solo())
    batches = list(loader.read(seen, plan, 0, CPU, epoch=0, step=0))
    each = sum(1 for _ in plan.validation())
    whole = plan.steps_per_epoch + each
    assert len(batches) == 3 * whole
    timms = create_transform((3, 32, 32), is_training=False, normalize=False, **plain(LOOK))
    picture = pixels.pictures(config.data, images, tmp_path, lambda _: None)
    wanted = [timms(picture(index).convert("RGB")) for index in plan.validated]
    for epoch in range(3):
        shown = batches[whole * epoch + plan.steps_per_epoch : whole * (epoch + 1)]
        assert torch.equal(torch.cat([one for one, _ in shown]), torch.stack(wanted))


def plain(look: dict[str, Any]) -> dict[str, Any]:
    return {key: look[key] for key in ("interpolation", "crop_pct", "crop_mode")}


def test_an_image_that_is_skipped_moves_no_other(images: Images, tmp_path: Path) -> None:
    config = tiny(augment=WILD)
    whole = dataset(config, images, tmp_path)
    fewer = dataset(config, replace(images, bad=frozenset({1, 7})), tmp_path)
    for index in (0, 2, 9, 23):
        (one,), (other,) = (
            list(loader.stream(seen, [[(0, index)]], 0, CPU)) for seen in (whole, fewer)
        )
        assert torch.equal(one[0], other[0])


def test_a_run_learns_from_batches_of_the_device(images: Images, tmp_path: Path) -> None:
    """And is validated by nothing but the pictures themselves, as timm alone shows them."""
    data = images.paths[0].parents[2]
    whole = {"augment": WILD, "data__pixels": {"kind": "cache", "side": 120}}  # none is shrunk
    orders = [
        order_for(tmp_path / str(workers), data, tiny(**whole, data__workers=workers))
        for workers in (0, 2)
    ]
    for order in orders:
        assert train(order).error == ""
    assert len({result_of(order).facts["final_weights_sha256"] for order in orders}) == 1
    losses, right = judged(folder_of(order).best, tiny(**whole), data)
    said = result_of(order).metrics
    assert said["accuracy"] == right / len(losses)
    assert said["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("piece", ["{kind: batched}", "{kind: curriculum, stages: [STAGE]}"])
def test_batches_need_a_cache(piece: str) -> None:
    text = piece.replace("STAGE", "{augment: {kind: batched}}")
    with pytest.raises(ConfigError) as caught:
        read(f"model: {{name: resnet18}}\naugment: {text}\ndata: {{pixels: {{kind: files}}}}", "f")
    (problem,) = caught.value.problems
    assert problem.key == "data.pixels.kind" and "from the cache" in problem.message
