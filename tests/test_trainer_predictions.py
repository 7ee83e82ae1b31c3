"""What a model said stays with its weights, comes back as it was, and is never counted twice."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, result_of, tiny, train

from trainer import checkpoint
from trainer.faults import DataFault
from trainer.judge import predictions, scores
from trainer.judge.predictions import Predictions


def some(names: str, classes: str = "ab") -> Predictions:
    dice = np.random.default_rng(len(names))
    said = dice.dirichlet(np.ones(len(classes)), len(names)).astype(np.float32)
    true = np.arange(len(names)) % len(classes)
    return Predictions(tuple(names), tuple(names), tuple(classes), true, said)


def test_they_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    said = some("xyz")
    (tmp_path / "v.npz").write_bytes(said.packed())
    read = predictions.read(tmp_path / "v.npz")
    assert (read.names, read.persons, read.classes) == (said.names, said.persons, said.classes)
    assert np.array_equal(read.true, said.true)
    assert np.array_equal(read.probabilities, said.probabilities)


@pytest.mark.parametrize("cut", [0, 7, 300], ids=("empty", "begun", "half"))
def test_a_file_that_holds_none_is_one_line(tmp_path: Path, cut: int) -> None:
    for name, whole in (("v", some("xyz").packed()), ("w", b"nothing")):
        (tmp_path / f"{name}.npz").write_bytes(whole[:cut])
        with pytest.raises(DataFault, match=rf"{name}\.npz is damaged: it holds no predictions"):
            predictions.read(tmp_path / f"{name}.npz")


def test_an_image_of_two_folds_is_refused() -> None:
    with pytest.raises(DataFault, match="1 image validated in two folds: z"):
        predictions.merged([some("xyz"), some("zu")])


def test_folds_of_other_classes_are_not_put_together() -> None:
    with pytest.raises(DataFault, match="different classes"):
        predictions.merged([some("xyz"), some("uvw", "abc")])
    with pytest.raises(DataFault, match="different classes"):
        predictions.merged([some("xyz", "ab"), some("uvw", "ba")])


def test_the_best_weights_have_beside_them_what_they_said(tmp_path: Path) -> None:
    order = order_for(tmp_path / "run", draw_sketches(tmp_path / "data"), tiny())
    train(order)
    best = folder_of(order).best
    assert checkpoint.damage(best) == ""
    said = predictions.read(best / predictions.VALIDATION)
    values, likely = said.scored()
    told = result_of(order).metrics
    assert (values["accuracy"], values["macro_f1"]) == (told["accuracy"], told["macro_f1"])
    assert likely["accuracy"].low <= values["accuracy"] <= likely["accuracy"].high


def test_its_intervals_draw_people_not_images() -> None:
    said = some("stuvwxyz", "abc")
    people = replace(said, persons=tuple("aaaabbcc"))
    values, likely = people.scored()
    assert values == said.scored()[0]
    groups = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    assert likely == scores.intervals(said.true, said.probabilities.argmax(1), groups, 3)
    assert likely != said.scored()[1]


def test_the_table_for_people_has_truth_and_answer_each_in_its_column() -> None:
    said = replace(
        some("xy", "abc"), probabilities=np.array([[0.1, 0.2, 0.7], [0.25, 0.5, 0.25]], np.float32)
    )
    assert said.table() == b"image,target,answer,confidence\nx,0,2,0.7000\ny,1,1,0.5000\n"
