"""docs/learning.md: every row is valid, says something, and a learner that takes it can step."""

import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from support.learners import IMAGES, TARGETS, learner

from schemas.components.loop import Average
from schemas.components.loss import Loss
from schemas.components.model import Head, Model, Own
from schemas.components.optim import Optim
from schemas.components.schedule import Schedule
from schemas.source import read
from trainer.learn import layers, nets
from trainer.learn.model import bare

PAGE = (Path(__file__).parents[1] / "docs" / "learning.md").read_text()
PIECES = re.findall(r"^\|[^|]+\| `([^`]+)` \|$", PAGE, re.M)
PARTED = "model: {name: test_vit, answers: parts}"
MODELS = [piece for piece in PIECES if piece.startswith(("model:", "loss: {kind: heads"))]


@pytest.mark.parametrize("piece", [piece for piece in PIECES if piece not in MODELS])
def test_every_row_of_the_page_says_something_and_steps(piece: str) -> None:
    base = read("model: {name: test_vit}", "base.yaml").config
    said = read(f"model: {{name: test_vit}}\n{piece}", "docs/learning.md").config
    section = piece.partition(":")[0]
    default = "cross_entropy}", "adamw}", "cosine}"
    assert getattr(said, section) != getattr(base, section) or piece.endswith(default)
    made = learner(**{section: getattr(said, section).model_dump()})
    assert made.step(IMAGES, TARGETS, 0).isfinite()
    made.weights()


@pytest.mark.parametrize(
    "union",
    [Loss, Optim, Schedule, Average, Head, Model],
    ids=["losses", "optimizers", "schedules", "averages", "heads", "models"],
)
def test_every_kind_has_an_example_on_the_page(union: object) -> None:
    kinds = {spec.model_fields["kind"].default for spec in get_args(get_args(union)[0])}
    usual = {"none", "linear", "timm"} if union in (Average, Head, Model) else set()
    assert {kind for kind in kinds - usual if f"kind: {kind}" not in PAGE} == set()


@pytest.mark.parametrize("piece", MODELS)
def test_every_model_of_the_page_is_built(piece: str) -> None:
    base = f"{PARTED}\n" if piece.startswith("loss") else ""
    parted = (
        "\ndata: {source: {kind: mask}}" if base or "parts" in piece.partition("freeze")[0] else ""
    )
    config = read(f"{base}{piece}{parted}", "docs/learning.md").config
    if isinstance(config.model, Own):
        return  # whose code is not here
    with torch.device("meta"):
        net = nets.create(bare(config.model), 18, config.data.img_size)
        images = torch.empty(2, config.model.in_chans, *2 * [config.data.img_size])
        assert net(images).shape == (2, 8 if parted else 18)
    layers.Freezer(config.model.freeze, net)
