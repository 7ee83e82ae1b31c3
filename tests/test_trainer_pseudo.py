"""What runs say of images without answers becomes rows that train and never validate."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.judged import draw_place, small, train_folds, train_run
from typer.testing import CliRunner, Result

from schemas.rundir import RunsRoot
from schemas.source import read
from trainer import checkpoint
from trainer.answer import finished
from trainer.entry.by_hand import app
from trainer.labels import pseudo


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = draw_place(tmp_path_factory.mktemp("place"))
    train_folds(place, "fold", folds=2, train__epochs=6)
    return place


def label(place: Path, *words: str, out: str = "data/sketch/pseudo.csv") -> Result:
    runs = [str(place / "runs" / name) for name in ("fold0", "fold1")]
    env = {"TRAINQ_DATA": str(place / "data"), "TRAINQ_CACHE": str(place / "cache")}
    return CliRunner(env=env).invoke(app, ["pseudo", *runs, *words, "-o", str(place / out)])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def said(place: Path) -> list[dict[str, str]]:
    """Every image, however unsure."""
    assert label(place, "--at-least", "0").exit_code == 0
    return rows(place / "data/sketch/pseudo.csv")


def test_only_images_of_which_they_are_sure_are_labelled(place: Path) -> None:
    every = said(place)
    assert len(every) == 12
    middle = sorted(float(row["confidence"]) for row in every)[6]
    done = label(place, "--at-least", f"{middle - 1e-6:.6f}")  # the table has six digits
    kept = rows(place / "data/sketch/pseudo.csv")
    assert done.exit_code == 0 and "pseudo.csv: 6 of 12 images" in done.stdout, done.output
    assert kept == [row for row in every if float(row["confidence"]) >= middle]


def test_a_class_has_a_threshold_of_its_own(place: Path) -> None:
    every = said(place)
    target = every[0]["target"]
    name = f"n{int(target):08d}"
    for word in (target, name):
        done = label(place, "--at-least", f"{word}=1.0", "--at-least", "0")
        kept = rows(place / "data/sketch/pseudo.csv")
        assert kept == [row for row in every if row["target"] != target]
        assert f"no image of {name}" in done.stdout


def test_where_they_are_never_sure_there_is_nothing_to_learn_from(place: Path) -> None:
    done = label(place, "--at-least", "1")
    assert done.exit_code == 0 and "nothing to learn from" in done.stdout, done.output
    assert rows(place / "data/sketch/pseudo.csv") == [] and "data:" not in done.stdout


def test_beside_them_lies_what_they_came_from(place: Path) -> None:
    assert label(place, "--at-least", "0.2", "--tta", "hflip").exit_code == 0
    note = json.loads((place / "data/sketch/pseudo.csv.json").read_text())
    kept = rows(place / "data/sketch/pseudo.csv")
    weights = finished.find(place / "runs/fold0").weights / checkpoint.WEIGHTS
    assert note["weights_sha256"]["fold0"] == checkpoint.checksum(weights)
    assert note["views"] == ["plain", "hflip"] and note["vote"] == "soft"
    assert (note["images"], note["kept"]) == (12, len(kept))
    assert sum(note["of_class"].values()) == len(kept)
    assert set(note["at_least"].values()) == {0.2}


def test_the_printed_piece_trains_on_them_and_none_validates(place: Path) -> None:
    done = label(place, "--at-least", "0")
    lines = done.stdout.splitlines()
    piece = "\n".join(lines[lines.index("data:") :])
    extra = read(f"model: {{name: test_vit}}\n{piece}\n", "piece.yaml").config.data.extra
    data: dict[str, Any] = small(extra=[extra[0].model_dump(mode="json")])
    part = train_run(place, "next", data=data, train__epochs=1)
    with RunsRoot(place / "runs").split(part.split).open() as file:
        split = list(csv.DictReader(file))
    mine = [row for row in split if row["image_path"].startswith("pseudo-0:")]
    assert len(mine) == 12 and {row["fold"] for row in mine} == {"-1"}
    assert sum(row["fold"] == "0" for row in split) > 0


def test_a_table_elsewhere_says_what_to_do_with_it(place: Path) -> None:
    done = label(place, "--at-least", "0", out="pseudo.csv")
    assert "# copy " in done.stdout and "csv: pseudo.csv, images: sketch/test" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at-least", "1.5"], "--at-least 1.5: '1.5' is no number from 0 to 1"),
        (["--at-least", "9=0.5"], "there is no class '9'"),
        (["--at-least", "cup=0.5"], "there is no class 'cup'"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_one_line(
    place: Path, words: list[str], said: str
) -> None:
    done = label(place, *words)
    assert done.exit_code == 2 and said in done.stderr.splitlines()[0]


def test_what_is_said_of_all_does_not_undo_what_is_said_of_one() -> None:
    least = pseudo.thresholds(["b=0.5", "0.8"], ("a", "b", "c"))
    assert np.allclose(least, [0.8, 0.5, 0.8])
