"""`trainer score` marks what was handed in, and says what does not belong together."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score
from support.judged import draw_place, small, train_run
from typer.testing import CliRunner, Result

from trainer.entry.by_hand import app
from trainer.judge import marking, predictions

TRUTH = "ImageID,ans,person\n" + "".join(f"{n}.jpg,{n % 3},p{n // 2}\n" for n in range(12))


def mark(folder: Path, answers: str, *flags: str, truth: str = TRUTH) -> Result:
    (folder / "truth.csv").write_text(truth)
    (folder / "mine.csv").write_text(answers)
    return CliRunner().invoke(
        app, ["score", str(folder / "truth.csv"), str(folder / "mine.csv"), *flags]
    )


def given(wrong: int = 0, names: str = "ImageID,ans") -> str:
    rows = [f"{n}.jpg,{(n + (n < wrong)) % 3}" for n in reversed(range(12))]
    return "\n".join([names, *rows, ""])


def test_answers_in_any_order_are_marked_with_their_intervals(tmp_path: Path) -> None:
    marked = mark(tmp_path, given(wrong=3))
    assert marked.exit_code == 0
    assert marked.stdout.startswith("accuracy  0.7500   0.5000 .. ")
    assert "12 images, 3 classes; 95% intervals by drawing images" in marked.stdout
    assert "CLASS  IMAGES  PRECISION  RECALL      F1" in marked.stdout
    assert max(map(len, marked.stdout.splitlines())) <= 80


def test_people_are_drawn_whole_when_their_column_is_named(tmp_path: Path) -> None:
    alone = json.loads(mark(tmp_path, given(wrong=4), "--json").stdout)
    whole = json.loads(mark(tmp_path, given(wrong=4), "--by", "person", "--json").stdout)
    assert (alone["groups"], whole["groups"]) == (12, 6)
    spread = [
        found["scores"]["accuracy"]["high"] - found["scores"]["accuracy"]["low"]
        for found in (alone, whole)
    ]
    assert spread[1] > spread[0]
    assert whole["scores"]["accuracy"]["value"] == pytest.approx(8 / 12)


def test_the_other_competitions_columns_are_known_too(tmp_path: Path) -> None:
    truth = TRUTH.replace("ImageID,ans", "image_path,target")
    answers = "ID," + given(names="image_path,target").replace("\n", "\n1,").removesuffix("1,")
    assert "accuracy  1.0000" in mark(tmp_path, answers, truth=truth).stdout


def test_of_many_classes_the_worst_are_shown(tmp_path: Path) -> None:
    rows = [f"{n}.jpg,{n}" for n in range(30)]
    wrong = [f"{n}.jpg,{0 if n == 29 else n}" for n in range(30)]
    marked = mark(
        tmp_path,
        "\n".join(["ImageID,ans", *wrong]),
        truth="\n".join(["ImageID,ans", *rows]),
    )
    lines = marked.stdout.splitlines()
    assert lines[5].startswith("   29") and lines[6].startswith("    0")
    assert lines[-1] == "10 better classes are not shown: --json"


@pytest.mark.parametrize(("classes", "told"), [(5, False), (6, True)])
def test_top_5_is_told_where_there_are_more_classes_than_that(classes: int, told: bool) -> None:
    true, names = np.arange(classes), tuple(map(str, range(classes)))
    sure = np.eye(classes, dtype=np.float32)
    found = marking.marks(marking.Answers(true, true, true, names, "images", sure))
    assert ("top5" in found.values) == ("top5" in found.likely) == told


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("ImageID,ans\n0.jpg,0\n", "11 images without an answer (1.jpg, 2.jpg"),
        (given() + "x.jpg,0\n", "1 image not in truth.csv (x.jpg)"),
        (given() + "0.jpg,0\n", "line 14 answers 0.jpg a second time"),
        (given().replace("3.jpg,0", "3.jpg,cat"), "is no answer: ImageID='3.jpg', ans='cat'"),
        ("name,class\n", "has no column ImageID or image_path or ID: it has name, class"),
        ("ImageID,ans\n", "has no answers"),
        (given().replace("3.jpg,0", "3.jpg,10000"), "ans of 3.jpg is 10000"),
        (given().replace("3.jpg,0", "3.jpg," + "9" * 30), "ans of 3.jpg is 99999"),
        ("ImageID,ImageID,ans\n0.jpg,1.jpg,0\n", "has two columns ImageID"),
        ("", "it has none"),
    ],
)
def test_what_cannot_be_marked_is_one_line_that_says_why(
    tmp_path: Path, answers: str, said: str
) -> None:
    marked = mark(tmp_path, answers)
    assert marked.exit_code == 3 and marked.stdout == ""
    assert said in marked.stderr.splitlines()[0]


def test_a_column_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    marked = mark(tmp_path, given(), "--by", "face")
    assert marked.exit_code == 2 and "--by face" in marked.stderr


# ---- a run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the 18 classes of drawn people."""
    place = draw_place(tmp_path_factory.mktemp("place"))
    data = {**small(), "source": {"kind": "mask", "root": "mask"}, "test": None}
    train_run(place, "people", data=data, train__epochs=1)
    return place / "runs"


def test_a_run_is_marked_by_what_it_said_of_people_it_had_not_seen(runs: Path) -> None:
    marked = CliRunner().invoke(app, ["score", str(runs / "people")])
    assert marked.exit_code == 0, marked.output
    assert "95% intervals by drawing 6 people" in marked.stdout
    for word in ("top-5", "ECE", "% sure", "MOST CONFUSED", " taken for ", "male female"):
        assert word in marked.stdout
    assert max(map(len, marked.stdout.splitlines())) <= 80


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"exit_code": 0}'])
def test_a_result_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "attempts/1-a").mkdir(parents=True)
    (tmp_path / "config.yaml").touch()
    (tmp_path / "attempts/1-a/result.json").write_text(text)
    marked = CliRunner().invoke(app, ["score", str(tmp_path)])
    assert marked.exit_code == 3 and "result.json is damaged" in marked.stderr.splitlines()[0]


def test_its_record_has_the_confusion_matrix_and_every_task_by_itself(runs: Path) -> None:
    found = json.loads(CliRunner().invoke(app, ["score", str(runs / "people"), "--json"]).stdout)
    said = predictions.of_run(runs / "people")
    guessed = said.probabilities.argmax(1)
    assert sum(cell["images"] for cell in found["confusion"]) == len(said.true) == 42
    right = sum(c["images"] for c in found["confusion"] if c["true"] == c["answer"])
    assert found["scores"]["accuracy"]["value"] == pytest.approx(right / 42)
    mask, gender, age = found["tasks"].values()
    for task, mine in (
        (mask, lambda c: c // 6),
        (gender, lambda c: c // 3 % 2),
        (age, lambda c: c % 3),
    ):
        true, answer = mine(said.true), mine(guessed)
        assert task["accuracy"] == pytest.approx((true == answer).mean())
        assert task["macro_f1"] == pytest.approx(f1_score(true, answer, average="macro"))
        rows, labels = task["classes"], range(len(task["classes"]))
        assert [row["precision"] for row in rows] == pytest.approx(
            precision_score(true, answer, labels=labels, average=None, zero_division=0)
        )
        assert [row["recall"] for row in rows] == pytest.approx(
            recall_score(true, answer, labels=labels, average=None, zero_division=0)
        )
    assert [row["name"] for row in gender["classes"]] == ["male", "female"]
    assert found["incomplete"] == ""
    assert 0 <= found["calibration"]["error"] <= 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["people", "people"], 2, "is a run and is marked alone"),
        (["nowhere"], 2, "nowhere is no run's folder"),
        (["."], 3, "is no run's folder"),
    ],
)
def test_what_is_no_run_is_one_line(runs: Path, words: list[str], code: int, said: str) -> None:
    marked = CliRunner().invoke(app, ["score", *(str(runs / word) for word in words)])
    assert marked.exit_code == code and said in marked.stderr.splitlines()[0]
