"""ArcFace: the classes' directions are weights of the model, so nothing can forget them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.learners import CPU, IMAGES, TARGETS, learner, same
from support.sketches import draw_sketches
from support.trainers import interrupted, newest, order_for, tiny, train

from schemas.events import Epoch, ExitCode
from trainer import checkpoint
from trainer.learn import model

ARC: dict[str, Any] = {"model__head": {"kind": "cosine"}, "loss": {"kind": "arcface"}}


def made(**more: Any) -> Any:
    config = tiny(**ARC, **more)
    net = model.build(config.model, ("a", "b", "c"), 32, Path(), seed=1)
    return learner(net=net, **ARC, **more)


def test_logits_are_cosines_between_features_and_directions() -> None:
    net = made().model.eval()
    with torch.inference_mode():
        features = net.forward_head(net.forward_features(IMAGES), pre_logits=True)
        expected = F.cosine_similarity(features[:, None], net.head.weight[None], dim=2) * 30
        assert torch.allclose(net(IMAGES), expected, atol=1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert net(IMAGES).dtype == torch.float32


def test_directions_are_in_the_optimizer_the_average_and_the_checkpoint() -> None:
    arc = made(train__average={"kind": "ema", "decay": 0.5})
    before = arc.model.head.weight.detach().clone()
    for number in range(3):
        arc.step(IMAGES, TARGETS, number)
    now = arc.model.head.weight.detach()
    averaged = arc.average.model.head.weight
    assert not torch.equal(now, before) and not torch.equal(averaged, now)
    assert torch.equal(arc.weights()["head.weight"], now)
    memory = arc.memory()
    assert set(memory["optimizer"]["head.weight"]) >= {"exp_avg", "exp_avg_sq"}
    assert torch.equal(memory["average"]["head.weight"], averaged)
    again = made(train__average={"kind": "ema", "decay": 0.5})
    again.restore(arc.weights(), memory)
    for number in range(3, 5):
        assert torch.equal(*(each.step(IMAGES, TARGETS, number) for each in (arc, again)))
    assert same(arc, again)
    assert torch.equal(again.average.model.head.weight, arc.average.model.head.weight)


def test_the_margin_asks_for_more_than_cross_entropy_does() -> None:
    said = F.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(0))) * 30
    answers = torch.tensor([0, 1, 2, 0, 1, 2])
    net = made()
    assert net.criterion(said, answers) > F.cross_entropy(said, answers)
    straight = torch.zeros(1, 3)
    straight[0, 0] = 30 * math.cos(0.5)  # half a radian away: what the margin takes is all it has
    assert net.criterion(straight, torch.tensor([0])).item() == pytest.approx(
        -F.log_softmax(torch.tensor([30 * math.cos(1.0), 0.0, 0.0]), 0)[0].item(), rel=1e-4
    )
    assert net.device == CPU


def test_an_arcface_run_that_was_interrupted_ends_with_the_same_weights(tmp_path: Path) -> None:
    data = draw_sketches(tmp_path / "data")
    config = tiny(**ARC, train__save_every_steps=3, train__average={"kind": "ema"})
    whole = train(order_for(tmp_path / "whole", data, config))
    first = order_for(tmp_path / "run", data, config)
    assert interrupted(first, Epoch, 2).exit_code == ExitCode.SAVED
    assert "head.weight" in checkpoint.read(newest(first)).weights
    again = train(order_for(tmp_path / "run", data, config, resume=str(newest(first))))
    for fact in ("final_weights_sha256", "weights_sha256"):
        assert again.facts[fact] == whole.facts[fact]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": {"kind": "arcface"}}, "arcface needs a head of directions"),
        (
            {"loss": {"kind": "sum", "parts": [{}, {"loss": {"kind": "arcface"}}]}},
            "loss.parts.1.loss.kind: arcface needs a head of directions",
        ),
        ({**ARC, "loss": {"kind": "arcface", "scale": 64}}, "scale is 30, and here is 64"),
        ({**ARC, "mix": {"mixup": 0.2}}, "arcface wants one class an image"),
    ],
    ids=["head", "sum", "scale", "mix"],
)
def test_what_an_angle_has_no_meaning_for_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny(**changes)
