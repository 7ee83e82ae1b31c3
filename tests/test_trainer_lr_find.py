"""`trainer lr-find`: rates from low to high, by the run's own steps."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.sketches import draw_sketches
from support.trainers import tiny
from typer.testing import CliRunner, Result

from trainer.data.split import Parts
from trainer.entry.by_hand import app
from trainer.learn.rates import Range, Tried, exploded, long_enough, steepest

CONFIG = """
model: {name: test_vit}
data: {img_size: 32, batch_size: 4, workers: 0}
augment: {kind: none}
train: {epochs: 1}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    draw_sketches(tmp_path / "data")
    (tmp_path / "sketches.yaml").write_text(CONFIG)
    monkeypatch.setenv("TRAINQ_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["lr-find", "sketches.yaml", *words])


def test_the_rate_at_which_the_loss_falls_fastest_is_said_as_an_override(desk: Path) -> None:
    words = ("--from", "1e-5", "--to", "10", "--steps", "24")
    said = typed(*words)
    assert said.exit_code == 0, said.output
    key, _, rate = said.stdout.splitlines()[-1].partition("=")
    assert key == "optim.lr" and 1e-5 < float(rate) < 10
    found = json.loads(typed(*words, "--json").stdout)
    assert f"{found['lr']:.2g}" == rate, "the same search finds the same"
    rates = [each["lr"] for each in found["curve"]]
    assert rates == sorted(rates) and rates[0] == 1e-5
    assert {path.name for path in desk.iterdir()} == {"data", "sketches.yaml"}, "nothing is kept"


def test_pixels_are_kept_only_where_batches_are_made_from_them() -> None:
    parts = Parts.of(np.array([-1] * 8 + [0]), 0)
    for kind, pixels in (("batched", "cache"), ("timm", "files"), ("none", "files")):
        config = long_enough(tiny(augment={"kind": kind}), parts, 20)
        assert config.data.pixels.kind == pixels
        assert config.train.epochs * 2 > 20, "two steps an epoch"


def test_the_steepest_fall_of_a_curve_is_found_and_a_rise_is_none() -> None:
    steps = [Range(1e-4, 1.0, 41).at(step) for step in range(41)]
    curve = [Tried(lr, 2 / (1 + math.exp(3 * math.log10(lr / 1e-2)))) for lr in steps]
    assert steepest(curve) == pytest.approx(1e-2)
    assert steepest([Tried(lr, lr) for lr in steps]) is None
    assert steepest(curve[:8]) is None
    worse = [1.0] * 10 + [3.0] * 16 + [2.0] * 15  # it falls, from where it had climbed
    assert steepest([Tried(lr, loss) for lr, loss in zip(steps, worse, strict=True)]) is None
    assert exploded(curve[:20], 4.1 * curve[19].smooth) and not exploded(curve, 1.0 * 1e-3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--from", "1", "--to", "1e-3"), "the first rate must lie above 0 and below the last"),
        (("--to", "inf"), "the first rate must lie above 0 and below the last"),
        (("optim.kind=nope",), "nope"),
        (("data.batch_size=64",), "a batch of 64 is more than the 19 training images"),
    ],
    ids=["range", "infinity", "config", "batch"],
)
def test_what_cannot_be_searched_is_one_line(words: tuple[str, ...], said: str, desk: Path) -> None:
    found = typed(*words)
    assert found.exit_code == 2 and said in found.stderr
    assert "Traceback" not in found.output
