"""Three models of one task each answer the 18 classes together; others have nothing to say to each
other."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from support.judged import draw_place, small, train_folds, train_run
from typer.testing import CliRunner, Result

from schemas.components.sources import Mask
from trainer.answer.panel import Bench, Panel
from trainer.answer.votes import Rule
from trainer.data.mask import class_names
from trainer.entry.by_hand import app

FACES = {"root": "mask/eval"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each task, that of age in years, two of gender, one of all 18 classes, one of
    sketches."""
    place = draw_place(tmp_path_factory.mktemp("place"))
    for name in ("mask", "gender", "all"):
        train_run(place, name, data=faces(name), train__epochs=1)
    years = {"name": "test_vit", "answers": "years"}
    train_run(place, "age", data=faces("age"), model=years, loss={"kind": "l1"}, train__epochs=1)
    train_run(place, "gender2", data=faces("gender"), train__epochs=1, optim__lr=1e-3)
    train_run(place, "ages", data=faces("age", age_limits=[30, 59]), train__epochs=1)
    train_folds(place, "sketch", folds=2, train__epochs=1)
    return place


def faces(task: str, **source: object) -> dict[str, object]:
    return small(
        source={"kind": "mask", "root": "mask", "task": task, **source}, test=FACES, batch_size=32
    )


def predict(place: Path, *words: str, table: str = "p.csv") -> Result:
    runs = [str(place / "runs" / w) if (place / "runs" / w).is_dir() else w for w in words]
    out = ["-o", str(place / "s.csv"), "--probabilities", str(place / table)]
    env = {"TRAINQ_DATA": str(place / "data"), "TRAINQ_CACHE": str(place / "cache")}
    return CliRunner(env=env).invoke(app, ["predict", *runs, *out])


def rows(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))[1:]


def said(place: Path, *words: str) -> tuple[np.ndarray, list[int]]:
    done = predict(place, *words)
    assert done.exit_code == 0, done.output
    table = np.array([[float(cell) for cell in row[1:]] for row in rows(place / "p.csv")])
    return table, [int(row[1]) for row in rows(place / "s.csv")]


def test_three_tasks_answer_the_eighteen_classes(place: Path) -> None:
    alone = {name: said(place, name) for name in ("mask", "gender", "age")}
    table, answers = said(place, "age", "mask", "gender")  # in any order
    wanted = [
        mask * 6 + gender * 3 + age
        for mask, gender, age in zip(*(alone[n][1] for n in ("mask", "gender", "age")), strict=True)
    ]
    assert answers == wanted and table.shape[1] == 18
    for image, label in enumerate(wanted):
        parts = alone["mask"][0], alone["gender"][0], alone["age"][0]
        product = parts[0][image, label // 6] * parts[1][image, label // 3 % 2]
        assert table[image, label] == pytest.approx(product * parts[2][image, label % 3], abs=5e-6)
    assert np.allclose(table.sum(1), 1, atol=1e-4)
    note = json.loads((place / "s.csv.json").read_text())
    assert note["classes"] == len(class_names(Mask())) and len(note["members"]) == 3


def test_several_runs_of_a_task_vote_before_the_tasks_come_together(place: Path) -> None:
    one, other = (said(place, name)[0] for name in ("gender", "gender2"))
    table, _ = said(place, "mask", "gender", "gender2", "age")
    genders = table.reshape(-1, 3, 2, 3).sum((1, 3))
    np.testing.assert_allclose(genders, (one + other) / 2, atol=2e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mask", "age"], "mask and age know different classes (3 and 3)"),
        (["mask", "gender", "age", "all"], "mask and gender know different classes (3 and 2)"),
        (["all", "sketch0"], "all and sketch0 know different classes (18 and 4)"),
        (["mask", "gender", "age", "ages"], "age, ages have one task and different classes"),
        (["mask", "gender", "age", "predict.weights=[1,2]"], "has 2 numbers for 1 member"),
    ],
)
def test_what_does_not_make_a_class_is_refused(place: Path, words: list[str], said: str) -> None:
    done = predict(place, *words)
    assert done.exit_code == 2 and said in done.stderr.splitlines()[0], done.output


def test_probabilities_are_a_parquet_file_where_pyarrow_is(place: Path) -> None:
    done = predict(place, "mask", table="p.parquet")
    if importlib.util.find_spec("pyarrow") is None:
        assert done.exit_code == 2 and "pip install 'trainq[parquet]'" in done.stderr
        assert not (place / "p.parquet").exists()
        return
    import pandas

    table = pandas.read_parquet(place / "p.parquet")
    assert list(table.columns) == ["image", "S0", "S1", "S2"]
    np.testing.assert_allclose(table[["S0", "S1", "S2"]], said(place, "mask")[0], atol=1e-6)


def test_another_kind_of_table_is_refused_before_anything_is_computed(place: Path) -> None:
    done = predict(place, "mask", table="p.xlsx")
    assert done.exit_code == 2 and "is neither .csv nor .parquet" in done.stderr


def test_probabilities_are_weighed_as_the_votes_are() -> None:
    one, other = (np.array([[p, 1 - p]], np.float32) for p in (1.0, 0.2))
    panel = Panel((Bench((0, 1), ("a", "b"), Rule("soft", [1, 3])),), {})
    np.testing.assert_allclose(panel.together([one, other]), [[0.4, 0.6]], atol=1e-6)
    assert panel.answers([one, other]).tolist() == [1]
