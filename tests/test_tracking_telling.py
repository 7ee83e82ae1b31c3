"""What a trainer tells arrives as it is, and what it cannot tell is a line in its log."""

import math
from pathlib import Path

import numpy as np
import pytest
from support import offline
from support.sketches import draw_sketches
from support.trainers import tiny
from support.waiting import PATIENCE_S

from schemas.events import Order
from schemas.rundir import AttemptDir
from trainer.data import sources
from trainer.judge.metrics import Evaluation
from trainer.tracking import choosing, telling
from trainer.tracking.telling import Tracking
from trainer.tracking.told import Ended, Shown, Sight


def told_to(attempt: AttemptDir, *places: str) -> Tracking:
    """A run of this process, as those who are to be told begin to hear of it."""
    config = tiny(track={"to": list(places), "grid": 2, "wrong": 2, "confusion": True})
    order = Order(run="a", token="1-a", run_dir="", attempt_dir="", data_root="")
    tracking = Tracking()
    tracking.begin(config, order, attempt)
    return tracking


def test_numbers_that_are_none_are_told_like_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose answers are NaN is what people want to see there most."""
    monkeypatch.setattr(telling, "LAST_S", PATIENCE_S)
    tracking = told_to(AttemptDir(tmp_path), "wandb", "tensorboard")
    images = sources.read(tiny().data, draw_sketches(tmp_path / "data"))
    which, sure = np.array([3, 17]), np.full((2, len(images.classes)), np.nan, np.float32)
    sure[1] = 0.25
    found = Evaluation({}, np.array([1, 2]), sure)
    tracking.tell(choosing.chosen(tracking.track, 1, images, which, found))
    tracking.rows([{"epoch": 1, "step": 1, "train_loss": math.nan, "lr": math.inf}])
    tracking.end(Ended(code=0))
    assert [each.returncode for each in tracking.followers.values()] == [0, 0]
    (row,) = offline.history(tmp_path)
    assert math.isnan(float(row["train_loss"])) and math.isinf(float(row["lr"]))
    assert any("(no number)" in caption for caption in row["wrong.captions"])


def test_what_no_file_takes_is_a_line_in_the_log_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "LAST_S", PATIENCE_S)
    gone = told_to(AttemptDir(tmp_path / "gone"), "tensorboard")
    assert not gone.followers and "tensorboard is not told of this run" in caplog.text
    gone.rows([{"epoch": 1, "step": 1}])
    gone.end(Ended(code=0))
    tracking = told_to(AttemptDir(tmp_path), "tensorboard")
    odd = Shown(path="/data/\udcff.png", name="a", true="b", answer="b", sure=1)
    tracking.tell(Sight(epoch=1, grid=(odd,)))
    assert "could not write told.jsonl" in caplog.text
    tracking.end(Ended(code=0))
    assert tracking.followers["tensorboard"].returncode == 0
