"""`trainer preview`: a picture of exactly what a run trains on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.people import draw_people
from support.sketches import draw_sketches
from timm.data import resolve_model_data_config
from typer.testing import CliRunner, Result

from schemas.config import TrainConfig
from schemas.source import load
from trainer import randomness
from trainer.crew import Solo
from trainer.data import course, loader, sources, split, transforms
from trainer.data.plan import Plan
from trainer.entry.by_hand import app
from trainer.foresight import foresee
from trainer.learn.learner import mixer
from trainer.look import drawing
from trainer.look.contact_sheet import spread

# as large as a cell of the sheet: what is pasted is what was seen, pixel by pixel
CONFIG = f"""
model: {{name: test_vit}}
data: {{img_size: {drawing.SIDE}, batch_size: 8, workers: 0}}
augment: {{auto_augment: rand-m9-mstd0.5, erase: 0.5}}
mix: {{mixup: 0.4, cutmix: 1.0}}
train: {{epochs: 3}}
"""
COLUMNS = 5  # the image, how it validates, three epochs
CPU = torch.device("cpu")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw_sketches(tmp_path / "data", side=50)
    (tmp_path / "sketches.yaml").write_text(CONFIG)
    for name in ("cache", "runs"):
        monkeypatch.setenv(f"TRAINQ_{name.upper()}", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["preview", *words])


def cell(sheet: Image.Image, row: int, column: int) -> torch.Tensor:
    """The pixels of a picture on the sheet; only the first row has heads."""
    top = 2 * drawing.GAP + 2 * drawing.LINE
    top += row * (drawing.SIDE + drawing.LINES * drawing.LINE + drawing.GAP)
    left = drawing.left_of(column)
    box = (left, top, left + drawing.SIDE, top + drawing.SIDE)
    return torch.from_numpy(np.array(sheet.crop(box))).permute(2, 0, 1)


def as_the_run_reads(
    config: TrainConfig, desk: Path
) -> tuple[loader.Pictures, Plan, transforms.Normal]:
    images = sources.read(config.data, desk / "data")
    plan = Plan.of(config, split.divide(images, config.data.split, config.seed), Solo())
    by_size = course.sources(config, images, desk / "run", lambda _: None)
    net = foresee.build(config.model, len(images.classes), drawing.SIDE)
    look = resolve_model_data_config(net)
    pictures = loader.Pictures(images, course.course(config, by_size, look), config.seed)
    return pictures, plan, transforms.Normal(look, CPU)


def test_the_sheet_shows_the_very_pixels_that_the_run_trains_on(desk: Path) -> None:
    result = typed("sketches.yaml", "--data", "data")
    assert (result.exit_code, result.stdout) == (0, "sketches-preview.png\n"), result.output
    sheet = Image.open(desk / "sketches-preview.png")
    pictures, plan, _ = as_the_run_reads(load(desk / "sketches.yaml").config, desk)
    images = pictures.images
    seen = {}
    for batch, places in zip(
        loader.read(pictures, plan, 0, CPU, epoch=0, step=0), plan.batches(0, 0), strict=True
    ):
        seen |= dict(zip(places, batch[0], strict=True))
    for target in range(3):
        there = [n for n in plan.parts.train if images.targets[n] == target]
        index = min(there, key=lambda n: images.names[n])
        shown = [epoch for epoch in range(3) if (epoch, index) in seen]  # a last batch is dropped
        for epoch in shown:
            assert torch.equal(cell(sheet, target, 2 + epoch), seen[epoch, index])
        assert shown and not torch.equal(cell(sheet, target, 1), cell(sheet, target, 2))


def test_the_mixed_row_is_what_becomes_of_whole_batches(desk: Path) -> None:
    config = load(desk / "sketches.yaml").config
    typed("sketches.yaml", "--data", "data", "-o", "mixed.png")
    sheet = Image.open(desk / "mixed.png")
    pictures, plan, normal = as_the_run_reads(config, desk)
    mix = mixer(config, 3)
    assert mix
    for epoch in range(3):
        places = next(plan.batches(epoch, epoch * plan.steps_per_epoch))
        (batch,) = loader.stream(pictures, [places], 0, CPU)
        step = randomness.stream(config.seed, "step", epoch * plan.steps_per_epoch)
        randomness.settle(step, devices=False)
        mixed, _ = mix(normal(batch[0]), batch[1])
        assert torch.equal(cell(sheet, 3, 2 + epoch), normal.back(mixed)[0])


def test_a_preview_decodes_only_what_it_shows_and_leaves_no_cache(desk: Path) -> None:
    draw_people(desk / "mask", people=24)
    words = ("data.source={kind: mask}", "data.img_size=32", "mix.mixup=0", "mix.cutmix=0")
    result = typed("sketches.yaml", *words, "--data", "mask", "--classes", "2")
    assert result.exit_code == 0, result.output
    assert not (desk / "cache").exists()
    with Image.open(desk / "sketches-preview.png") as sheet:
        assert sheet.width == drawing.left_of(COLUMNS) + drawing.GAP
        assert sheet.height < 3 * (drawing.SIDE + 4 * drawing.LINE)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("none.yaml",), 2, "there is no such file"),
        (("sketches.yaml", "data.img_size=1"), 2, "data.img_size"),
        (("sketches.yaml",), 3, "cannot read"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_leaves_no_picture(
    desk: Path, words: tuple[str, ...], code: int, text: str
) -> None:
    result = typed(*words)
    assert result.exit_code == code and text in result.stderr
    assert "Traceback" not in result.stderr and not list(desk.glob("*.png"))


def test_a_broken_image_is_named(desk: Path) -> None:
    for path in desk.glob("data/train/n00000001/*"):
        path.write_bytes(b"no picture")
    result = typed("sketches.yaml", "--data", "data")
    assert result.exit_code == 3 and "n00000001/sketch_" in result.stderr


def test_rows_and_epochs_are_spread_from_the_first_to_the_last() -> None:
    assert spread(501, 3) == [0, 250, 500]
    assert spread(2, 5) == [0, 1] and spread(1, 5) == [0]
