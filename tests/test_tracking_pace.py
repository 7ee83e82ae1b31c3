"""Pictures use a hundredth of the training's time; no epoch that counts goes without."""

import logging
import time
from pathlib import Path

import pytest
from PIL import Image

from schemas.components.track import Track
from schemas.run import Best
from trainer.tracking import sights
from trainer.tracking.pace import PART, Pace, Paced
from trainer.tracking.told import Begun, Ended, Rows, Sight, Told


@pytest.mark.parametrize(
    ("used_s", "after_s", "due"),
    [
        (0.0, 0.0, True),  # the first of all
        (0.0, 5.0, True),
        (1.0, 99.9, False),
        (1.0, 100.0, True),  # paid for
        (1.0, 100.1, True),
        (0.001, 0.0, False),
    ],
)
def test_pictures_are_drawn_when_those_before_used_no_more_than_their_part(
    used_s: float, after_s: float, due: bool
) -> None:
    assert Pace(part=0.01, used_s=used_s).due(after_s) is due


@pytest.mark.parametrize(
    ("last", "best", "late"),
    [
        (4, 4, (False, None)),  # was drawn
        (5, None, (True, None)),
        (5, 5, (True, None)),  # once
        (5, 4, (True, None)),
        (5, 3, (True, 3)),
        (4, 3, (False, 3)),
        (4, 1, (False, None)),  # of an earlier attempt, say
    ],
)
def test_at_the_end_the_last_and_the_best_are_drawn_if_they_were_passed_over(
    last: int, best: int | None, late: tuple[bool, int | None]
) -> None:
    assert Pace(passed=frozenset({3, 5})).late(last, best) == late


class Slow:
    """A place where pictures take their time."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []

    def take(self, told: Told) -> None:
        if isinstance(told, Sight):
            self.shown.append(("best" if told.best else "sight", told.epoch))
            until = time.process_time() + 0.02
            while time.process_time() < until:
                pass
        elif isinstance(told, Rows):
            self.shown.append(("row", int(told.rows[0]["epoch"])))
        else:
            self.shown.append((told.kind, 0))


def test_a_slow_place_gets_all_rows_at_once_and_pictures_as_they_are_paid_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    # the first use 20 ms or a little more: paid for after 4 s, and surely after 1,000,000
    seconds = {1: 1.0, 2: 2.0, 3: 1e6, 4: 1e6 + 1, 5: 1e6 + 2}
    seconds |= {6: 3.0, 7: 3.5}  # as if the time were that short again
    sights = {epoch: Sight(epoch=epoch, after_s=after_s) for epoch, after_s in seconds.items()}
    place = Slow()
    paced = Paced("W&B", place, sights.get)
    track = Track(to=("wandb", "tensorboard"))
    paced.take(Begun(id="a", name="a", batch="", track=track, config={}))
    assert paced.pace.part == PART / 2  # each of the two
    for epoch, sight in sights.items():
        paced.take(sight)
        paced.take(Rows(rows=({"epoch": epoch},)))
    paced.take(Ended(code=0, best=Best(metric="accuracy", value=1, epoch=2)))
    drawn = [epoch for kind, epoch in place.shown if kind == "sight"]
    assert drawn == [1, 3, 4, 5, 7]
    assert [epoch for kind, epoch in place.shown if kind == "row"] == [1, 2, 3, 4, 5, 6, 7]
    assert place.shown[-3:] == [("sight", 7), ("best", 2), ("ended", 0)]
    assert caplog.text.count("W&B: no pictures of epoch 2 and of some after it") == 1


def test_a_run_that_was_pruned_before_its_end_is_shown_without_its_best() -> None:
    place = Slow()
    paced = Paced("W&B", place, lambda epoch: None)
    for epoch in (1, 2, 3):
        paced.take(Sight(epoch=epoch, after_s=epoch))
    paced.take(Ended(code=0, best=Best(metric="accuracy", value=1, epoch=2)))
    assert place.shown == [("sight", 1), ("sight", 3), ("ended", 0)]


def test_an_image_that_is_gone_is_a_white_square_until_it_is_there_again(tmp_path: Path) -> None:
    """A folder that is not mounted for a minute would cost W&B all rows after it."""
    file = tmp_path / "a.png"
    assert sights.picture(str(file), 9).getcolors() == [(81, (255, 255, 255))]
    Image.new("RGB", (4, 4), "red").save(file)
    assert sights.picture(str(file), 9).getcolors() == [(81, (255, 0, 0))]
    file.unlink()
    assert sights.picture(str(file), 9).getcolors() == [(81, (255, 0, 0))]  # it was kept
