"""What is said of an ensemble: who was best, how all are weighed, and who is refused."""

from pathlib import Path

import numpy as np
import pytest

from schemas.source import read
from trainer.answer import jury, members, views
from trainer.answer.members import Heard, Member
from trainer.faults import DataFault
from trainer.judge import scores
from trainer.judge.predictions import Predictions
from trainer.labels import suspects


def member(*names: str, metric: str = "accuracy") -> Member:
    text = f"model: {{name: test_vit}}\nevaluate: {{metric: {metric}}}"
    return Member(read(text, "a.yaml").config, tuple(map(Path, names)), ())


def heard(true: list[int], *answers: list[int], classes: int = 2) -> Heard:
    said = [np.eye(classes, dtype=np.float32)[each] * 0.6 + 0.4 / classes for each in answers]
    names = tuple(f"{number}.jpg" for number in range(len(true)))
    return Heard(said, np.array(true), np.arange(len(true)), names, tuple("abcdef"[:classes]))


def test_the_best_member_is_the_best_by_the_metric_of_the_config() -> None:
    true = [0] * 90 + [1] * 10
    careless, careful = [0] * 100, [0] * 75 + [1] * 25
    said = heard(true, careless, careful)
    for metric, best, answers in (("accuracy", "x", careless), ("macro_f1", "y", careful)):
        name, by = jury.gain([member("x", metric=metric), member("y", metric=metric)], said)
        assert name == best
        together = jury.votes.answers(said.said)
        wanted = jury.values(together, said)[metric] - jury.values(np.array(answers), said)[metric]
        assert by[metric][0] == pytest.approx(wanted)


def test_the_interval_of_what_was_fitted_is_that_of_the_answers_it_was_not_fitted_to() -> None:
    said = heard([0, 1] * 20, [0, 1] * 20)
    right, other = np.array([0, 1] * 20), np.array([0] * 40)
    row = jury.standing("fitted", right, said, other)
    assert row.values["accuracy"] == 1 and row.nested == jury.values(other, said)
    assert row.likely == scores.intervals(said.true, other, said.people, 2)


def test_a_class_counts_in_a_tie_by_how_rare_it_is_and_folds_share_a_weight() -> None:
    assert jury.rarity(heard([0, 0, 0, 1], [0] * 4, classes=3)).tolist() == [4 / 3, 4, 4]
    found = [member("a", "b", "c"), member("d")]
    folders = [Path(name) for name in "dabc"]
    assert jury.per_voice(found, [3, 2], folders) == [2, 1, 1, 1]


def told(names: str, true: list[int]) -> Predictions:
    said = np.eye(2, dtype=np.float32)[true]
    return Predictions(tuple(names), tuple(names), ("a", "b"), np.array(true), said)


def test_members_are_compared_image_by_image_and_by_one_truth() -> None:
    one, other = told("xyz", [0, 1, 1]), told("zyx", [1, 1, 0])
    members.refuse_other_images(member("a"), one, member("b"), other)
    assert members.in_order(other, one.names).argmax(1).tolist() == [0, 1, 1]
    with pytest.raises(DataFault, match="a and b have other labels for y"):
        members.refuse_other_images(member("a"), one, member("b"), told("zyx", [1, 0, 0]))


def test_a_class_that_no_label_names_is_never_suspected() -> None:
    said = heard([0, 0, 1, 1], [0, 2, 1, 1], classes=3)
    assert suspects.suspects(said) == []
    assert [each.suspected for each in suspects.suspects(heard([0, 0, 1], [0, 1, 1]))] == [1]


def test_every_view_is_there_once_and_shows_its_own_part() -> None:
    from PIL import Image

    assert len(views.views(["hflip", "hflip,scales"])) == 4
    look = {"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
    look |= {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    across = np.tile(np.arange(0, 250, 2, dtype=np.uint8), (125, 1))
    shown = {
        view.name: views.seen(view, 64, look)(Image.fromarray(across).convert("RGB")).float()
        for view in views.views(["crops,scales"])
    }
    assert shown["crop-00"].mean() == shown["crop-10"].mean() < shown["crop-01"].mean()
    spread = [
        float(shown[name].amax() - shown[name].amin())
        for name in ("plain", "scale-1.15", "scale-1.3")
    ]
    assert spread == sorted(spread, reverse=True) and spread[0] > spread[2]
