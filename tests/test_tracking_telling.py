"""What a trainer tells arrives as it is, and what it cannot tell is a line in its log."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import offline
from support.sketches import draw_sketches
from support.trainers import tiny
from support.waiting import PATIENCE_S

from schemas.components.track import Track
from schemas.events import FOLLOWER, MARK, Order
from schemas.run import Best
from schemas.rundir import AttemptDir
from trainer.data import sources
from trainer.judge.metrics import Evaluation
from trainer.tracking import choosing, telling
from trainer.tracking.telling import Tracking
from trainer.tracking.told import Ended, Shown, Sight

NAMES = ("confusion", "wrong", "grid")
BEST = tuple(f"best_{name}" for name in NAMES)


def told_to(attempt: AttemptDir, *places: str, **named: str) -> Tracking:
    """A run of this process, as those who are to be told begin to hear of it."""
    track = {"to": list(places), "grid": 2, "wrong": 2, "confusion": True}
    config = tiny(track=track, name="by-its-config")
    order = Order(run="a", token="1-a", run_dir="", attempt_dir="", data_root="", **named)
    tracking = Tracking()
    tracking.begin(config, order, attempt)
    return tracking


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An attempt of four epochs of a millisecond, of which the second was the best, shown in both
    places. In its first epoch the model answers with NaN.
    """
    folder = tmp_path_factory.mktemp("short")
    images = sources.read(tiny().data, draw_sketches(folder / "data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telling, "LAST_S", PATIENCE_S)
        tracking = told_to(AttemptDir(folder), "wandb", "tensorboard")
        which, sure = np.array([3, 17]), np.full((2, len(images.classes)), np.nan, np.float32)
        sure[1] = 0.25
        for epoch in range(1, 5):
            found = Evaluation({}, np.array([1, 2]), sure)
            sight = choosing.chosen(tracking.track, epoch, images, which, found)
            tracking.tell(sight.model_copy(update={"after_s": epoch / 1000}))
            loss = math.nan if epoch == 1 else 0.5
            tracking.rows([{"epoch": epoch, "step": epoch, "train_loss": loss, "lr": math.inf}])
            sure = np.full_like(sure, 0.25)
        tracking.end(Ended(code=0, best=Best(metric="accuracy", value=0.5, epoch=2)))
    assert [each.returncode for each in tracking.followers.values()] == [0, 0]
    yield folder


def test_of_an_evaluation_the_surest_mistakes_are_shown_and_a_grid_from_first_to_last(
    tmp_path: Path,
) -> None:
    images = sources.read(tiny().data, draw_sketches(tmp_path / "data"))
    true, answers = np.array([0, 0, 1, 1, 2]), [1, 0, 1, 2, 1]
    sure = np.full((5, len(images.classes)), 0.0, np.float32)
    sure[range(5), answers] = [0.5, 0.99, 0.98, 0.7, 0.6]
    which = np.array([7, 5, 3, 11, 2])
    track = Track(to=("tensorboard",), confusion=True, wrong=2, grid=3)
    seen = choosing.chosen(track, 4, images, which, Evaluation({}, true, sure))
    assert seen.cells == ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 2, 1), (2, 1, 1))
    assert seen.classes == images.classes
    for shown, numbers in ((seen.wrong, (11, 2)), (seen.grid, (7, 3, 2))):
        assert [each.name for each in shown] == [images.names[number] for number in numbers]
    only = Track(to=("tensorboard",), confusion=False, wrong=0, grid=9)
    seen = choosing.chosen(only, 4, images, which, Evaluation({}, true, sure))
    assert (seen.classes, seen.cells, seen.wrong, len(seen.grid)) == ((), (), (), 5)
    assert choosing.asked_for(only) and not choosing.asked_for(Track(grid=9))


def test_a_follower_bears_the_mark_of_its_attempt_and_that_it_follows() -> None:
    assert telling.marked({MARK: "7f3k2q"}) == {MARK: f"7f3k2q{FOLLOWER}"}
    assert telling.marked({}) == {}


def test_numbers_that_are_none_are_told_like_all_others(short: Path) -> None:
    """A model whose answers are NaN is what people want to see there most."""
    row = offline.history(short)[0]
    begun = json.loads(AttemptDir(short).told.read_text().splitlines()[0])
    assert (begun["id"], begun["name"]) == ("a", "by-its-config")
    assert math.isnan(float(row["train_loss"])) and math.isinf(float(row["lr"]))
    assert any("(no number)" in caption for caption in row["wrong.captions"])


def test_of_the_shortest_epochs_wandb_gets_every_row_and_the_pictures_of_first_last_and_best(
    short: Path,
) -> None:
    rows = offline.history(short)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    keys = [{re.split(r"_table|\.", key)[0] for key in row} for row in rows]
    shown = [each & {*NAMES, *BEST} for each in keys]
    assert shown == [{*NAMES}, set(), set(), {*NAMES, *BEST}]


def test_of_the_shortest_epochs_tensorboard_gets_the_same(short: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(AttemptDir(short).tensorboard)).Reload()
    assert [each.step for each in events.Scalars("train_loss")] == [1, 2, 3, 4]
    steps = {name: [each.step for each in events.Images(name)] for name in (*NAMES, *BEST)}
    assert steps == {name: [2] if name in BEST else [1, 4] for name in steps}


def test_what_no_file_takes_is_a_line_in_the_log_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "LAST_S", PATIENCE_S)
    gone = told_to(AttemptDir(tmp_path / "gone"), "tensorboard")
    assert not gone.followers and "tensorboard is not told of this run" in caplog.text
    gone.rows([{"epoch": 1, "step": 1}])
    gone.end(Ended(code=0))
    tracking = told_to(AttemptDir(tmp_path), "tensorboard", shown_as="b", name="in-the-queue")
    begun = json.loads(AttemptDir(tmp_path).told.read_text())
    assert (begun["id"], begun["name"]) == ("b", "in-the-queue")
    odd = Shown(path="/data/\udcff.png", name="a", true="b", answer="b", sure=1)
    tracking.tell(Sight(epoch=1, grid=(odd,)))
    assert "could not write told.jsonl" in caplog.text
    tracking.end(Ended(code=0))
    assert tracking.followers["tensorboard"].returncode == 0
