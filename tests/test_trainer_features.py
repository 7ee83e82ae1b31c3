"""A frozen backbone is run once: what its head learns from is the same, and far cheaper."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.sketches import draw_sketches
from support.trainers import folder_of, judged, order_for, result_of, tiny, train
from timm.models.resnet import ResNet
from torch import nn

from schemas.errors import ConfigError
from schemas.run import Cause
from schemas.source import read
from trainer import checkpoint
from trainer.answer import finished

FROZEN = {"name": "test_resnet", "freeze": [{"parts": ["backbone"]}]}
CACHED = {**FROZEN, "feature_views": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images: 19 train in 4 steps an epoch, 5 validate."""
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def trained(data: Path, run: Path, model: dict[str, Any], **more: Any) -> dict[str, torch.Tensor]:
    config = tiny(model=model, data__pixels={"kind": "files"}, **more)
    order = order_for(run, data, config)
    assert train(order).exit_code == 0
    return checkpoint.read(folder_of(order).best).weights


@pytest.mark.parametrize(
    "model",
    [
        {"name": "test_resnet"},
        {"name": "test_vit"},
        {"name": "test_convnext", "head": {"kind": "mlp", "hidden": [8]}},
        {"kind": "torchvision", "name": "shufflenet_v2_x0_5"},
    ],
)
def test_the_head_learns_what_it_learns_behind_a_frozen_backbone(
    model: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    frozen = {**model, "freeze": [{"parts": ["backbone"]}]}
    plain = {"augment": {"kind": "none"}, "evaluate__every": 3}  # one evaluation: the same best
    slow = trained(data, tmp_path / "slow", frozen, **plain)
    fast = trained(data, tmp_path / "fast", {**frozen, "feature_views": 1}, **plain)
    assert fast.keys() == slow.keys()
    for key, value in slow.items():
        assert torch.allclose(fast[key].float(), value.float(), atol=1e-4), key


def test_with_a_view_an_epoch_it_learns_what_it_learns_from_augmented_images(
    data: Path, tmp_path: Path
) -> None:
    slow = trained(data, tmp_path / "slow", FROZEN, evaluate__every=3)
    fast = trained(data, tmp_path / "fast", {**FROZEN, "feature_views": 3}, evaluate__every=3)
    for key, value in slow.items():
        assert torch.allclose(fast[key].float(), value.float(), atol=1e-4), key


def test_the_backbone_sees_every_view_of_an_image_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    whole = ResNet.forward_features

    def counting(self: nn.Module, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(ResNet, "forward_features", counting)
    trained(data, tmp_path / "run", CACHED, train__epochs=5)
    assert sum(seen) == 5 + 2 * 19


def test_its_best_weights_are_a_whole_model(data: Path, tmp_path: Path) -> None:
    config = tiny(model=CACHED, data__pixels={"kind": "files"}, train__average={"kind": "ema"})
    order = order_for(tmp_path / "run", data, config)
    result = train(order)
    losses, right = judged(folder_of(order).best, config, data)
    assert result.best and right / 5 == pytest.approx(result.metrics["accuracy"])
    assert sum(losses) / 5 == pytest.approx(result.metrics["loss"], rel=1e-4)
    assert finished.find(tmp_path / "run").net()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)


def test_a_model_that_does_more_behind_its_head_is_refused(data: Path, tmp_path: Path) -> None:
    model = {"kind": "torchvision", "name": "squeezenet1_1"}
    config = tiny(model={**CACHED, **model})
    order = order_for(tmp_path / "run", data, config)
    assert train(order).cause is Cause.CONFIG
    assert "does more with its features" in result_of(order).error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {name: resnet18, feature_views: 2}", "write freeze: [{parts: [backbone]}]"),
        ("mix: {mixup: 0.2}", "features cannot be mixed"),
        ("data: {smaller: [{size: 128, until: 2}]}", "these features are of one size"),
    ],
)
def test_features_that_would_not_stay_are_refused(text: str, said: str) -> None:
    cached = "model: {name: resnet18, freeze: [{parts: [backbone]}], feature_views: 2}\n"
    with pytest.raises(ConfigError) as caught:
        read(text if "model" in text else cached + text, "birds.yaml")
    assert said in "\n".join(caught.value.lines())
