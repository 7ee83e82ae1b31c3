"""Every way to split: whole people, the same everywhere, and what a config may not ask for."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.people import draw_people
from support.trainers import tiny
from typer.testing import CliRunner

from schemas.components.data import Holdout, IndexFiles, KFold, Split
from schemas.errors import ConfigError
from schemas.rundir import RunsRoot
from schemas.source import read
from trainer.data import sources, split
from trainer.data.images import Images, Row, gathered
from trainer.data.split import Parts
from trainer.entry.by_hand import app
from trainer.faults import DataFault

GENDERS, AGES = ("male", "female"), ("age 0", "age 1", "age 2")


def crowd(people: int = 60, *, extra: Sequence[str] = ()) -> Images:
    """People of every gender and age with seven pictures each; a mask, a gender and an age make
    the class. `extra` are people of rows that only train."""
    rows = []
    for number in range(people):
        gender, age = number % 2, number // 2 % 3
        for picture in range(7):
            worn = {5: 1, 6: 2}.get(picture, 0)
            name = f"{number:03d}/{picture}"
            target = worn * 6 + gender * 3 + age
            labels = (GENDERS[gender], AGES[age])
            rows.append(Row(name, Path(name), target, f"{number:03d}", labels))
    random.Random(4).shuffle(rows)  # as a folder or a table may have them
    for number, person in enumerate(extra):
        rows.append(Row(f"more:{number}", Path("x"), 0, person, origin="more"))
    return gathered(rows, tuple(map(str, range(18))))


def people_of(images: Images, part: Sequence[int] | np.ndarray[Any, Any]) -> set[str]:
    return {images.persons[index] for index in part}


WAYS: list[Split] = [
    Holdout(fraction=0.25),
    Holdout(fraction=0.25, stratify="none"),
    Holdout(fraction=0.25, by="person"),
    *(KFold(folds=5, fold=fold) for fold in range(5)),
    *(KFold(folds=5, fold=fold, stratify="labels") for fold in range(5)),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_nobody_is_on_both_sides_of_any_split_or_fold(way: Split) -> None:
    images = crowd()
    parts = split.divide(images, way, seed=3)
    train, validate = (people_of(images, part) for part in (parts.train, parts.validate))
    assert not train & validate
    assert len(train) + len(validate) == 60
    assert len(parts.train) + len(parts.validate) == 420


@pytest.mark.parametrize("stratify", ["class", "labels"])
def test_the_folds_of_people_are_a_partition_alike_in_gender_and_age(stratify: Any) -> None:
    images = crowd()
    folds = [
        split.divide(images, KFold(folds=5, fold=fold, stratify=stratify), seed=1).validate
        for fold in range(5)
    ]
    assert sorted(index for fold in folds for index in fold) == list(range(420))
    for fold in folds:
        labels = {images.persons[index]: images.labels[index] for index in fold}
        counts = Counter(label for each in labels.values() for label in each)
        assert all(5 <= counts[gender] <= 7 for gender in GENDERS)
        assert all(3 <= counts[age] <= 5 for age in AGES)


def test_people_are_held_out_alike_in_gender_and_age() -> None:
    images = crowd()
    parts = split.divide(images, Holdout(fraction=0.2), seed=1)
    labels = {images.persons[index]: images.labels[index] for index in parts.validate}
    assert set(Counter(labels.values()).values()) == {2}


def test_people_may_be_held_out_by_lot() -> None:
    images = crowd()
    ways = [Holdout(fraction=0.2, stratify=how) for how in ("class", "none")]
    one, other = (set(split.divide(images, way, seed=1).validate) for way in ways)
    assert len(one) == len(other) == 84 and one != other


def test_images_without_people_are_held_out_by_lot_too() -> None:
    images = replace(crowd(), persons=())
    parts = split.divide(images, Holdout(fraction=0.2, stratify="none"), seed=1)
    assert len(parts.validate) == 84


def test_a_split_that_may_leak_does() -> None:
    images = crowd()
    parts = split.divide(images, Holdout(by="image_leaking_persons"), seed=3)
    assert people_of(images, parts.validate) & people_of(images, parts.train)


def test_extra_rows_only_train_and_not_where_their_people_validate() -> None:
    images = crowd(extra=("", "000+001", "002", "stranger"))
    own, barred = 60 * 7, 0
    for fold in range(5):
        parts = split.divide(images, KFold(folds=5, fold=fold), seed=1)
        extra = {images.persons[i] for i in parts.train if i >= own}
        held = people_of(images, parts.validate)
        assert max(parts.validate) < own
        assert {"", "stranger"} <= extra
        assert ("002" in extra) == ("002" not in held)
        assert ("000+001" in extra) == (not held & {"000", "001"})
        barred += "000+001" not in extra
    assert barred in (1, 2)


def test_a_bad_image_is_in_no_part_and_moves_no_other() -> None:
    images = crowd()
    whole = split.divide(images, Holdout(), seed=1)
    bad = frozenset({int(whole.train[0]), int(whole.validate[0])})
    parts = split.divide(replace(images, bad=bad), Holdout(), seed=1)
    assert set(parts.train) == set(whole.train) - bad
    assert set(parts.validate) == set(whole.validate) - bad


def test_a_class_of_too_few_people_is_one_line() -> None:
    with pytest.raises(DataFault, match="has 4 of the people: too few for 5 folds of people"):
        split.divide(crowd(24), KFold(folds=5), seed=1)


# ---- the same everywhere -------------------------------------------------------------------------


def test_two_hosts_have_the_same_split_hash(tmp_path: Path) -> None:
    """Other places, and folders that were filled in another order."""
    first = draw_people(tmp_path / "one", people=24, side=16)
    people = sorted((first / "train" / "images").iterdir(), reverse=True)
    second = tmp_path / "far" / "away" / "two"
    for person in people:
        for picture in sorted(person.iterdir(), reverse=True):
            copy = second / "train" / "images" / person.name / picture.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, copy)
    assert len({kept(root, tmp_path) for root in (first, second)}) == 1
    source = tiny(data__source={"kind": "mask"}).data
    assert sources.read(source, first).digest == sources.read(source, second).digest


def test_two_processes_in_other_places_say_the_same_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two hosts would: another data root, another runs root, another order of hashed words."""
    draw_people(tmp_path / "here" / "data", people=24, side=16)
    shutil.copytree(tmp_path / "here" / "data", tmp_path / "elsewhere" / "faces")
    config = "model: {name: resnet18}\ndata: {source: {kind: mask}, split: {kind: kfold, folds: 3}}"
    for root in ("here/data", "elsewhere/faces"):
        (tmp_path / root / "people.yaml").write_text(config)
    words = ["data", "split", "people.yaml", "--json"]
    there = subprocess.check_output(
        [sys.executable, "-m", "trainer", *words],
        cwd=tmp_path / "elsewhere/faces",
        env={**os.environ, "PYTHONHASHSEED": "1", "TRAINQ_RUNS": "others"},
        text=True,
    )
    monkeypatch.chdir(tmp_path / "here/data")
    here = CliRunner().invoke(app, words)
    assert here.exit_code == 0, here.output
    assert json.loads(here.stdout) == json.loads(there)
    assert len(json.loads(there)["split"]) == 64


def kept(root: Path, shared: Path) -> str:
    config = tiny(data__source={"kind": "mask"}, data__split={"kind": "kfold", "folds": 3})
    images = sources.read(config.data, root)
    return split.keep(
        images, split.divide(images, config.data.split, config.seed), RunsRoot(shared)
    )


@pytest.mark.parametrize("way", [KFold(), Holdout(), Holdout(stratify="none")], ids=str)
@pytest.mark.parametrize("people", [True, False])
def test_the_order_of_a_table_does_not_move_the_split(
    way: Split, people: bool, tmp_path: Path
) -> None:
    one = crowd() if people else replace(crowd(), persons=(), labels=())
    other = replace(
        one,
        **{
            name: getattr(one, name)[::-1]
            for name in ("paths", "targets", "names", "persons", "labels", "origins")
        },
    )
    hashes = {
        split.keep(images, split.divide(images, way, seed=1), RunsRoot(tmp_path))
        for images in (one, other)
    }
    assert len(hashes) == 1


# ---- split files ---------------------------------------------------------------------------------


def by_files(folder: Path, train: str, validate: str, images: Images, by: Any = "auto") -> Parts:
    (folder / "train_index.csv").write_text(train)
    (folder / "valid_index.csv").write_text(validate)
    return split.divide(images, IndexFiles(by=by), seed=1, data_root=folder)


def flat() -> Images:
    return gathered([Row(f"{n}.jpg", Path("x"), n % 2) for n in range(8)], ("a", "b"))


def test_index_files_split_by_name_or_by_row(tmp_path: Path) -> None:
    names = by_files(tmp_path, "image_path\n0.jpg\n1.jpg\n", "image_path\n6.jpg\n7.jpg\n", flat())
    rows = by_files(tmp_path, "index\n0\n1\n", "index\n6\n7\n", flat())
    for parts in (names, rows):
        assert (parts.train.tolist(), parts.validate.tolist()) == ([0, 1], [6, 7])


@pytest.mark.parametrize(
    ("train", "validate", "problem"),
    [
        (
            "index\n0\n1\n",
            "index\n1\n2\n",
            "1 images are in train_index.csv and in valid_index.csv",
        ),
        ("index\n0\n1\n", "index\n9\n", "line 2 is no image of the source: index='9'"),
        ("name\n0\n", "index\n1\n", "has no column image_path"),
        ("index\n0\n2\n", "index\n1\n", "no image trains of the class b"),
    ],
)
def test_index_files_that_make_no_sense_are_one_line(
    tmp_path: Path, train: str, validate: str, problem: str
) -> None:
    with pytest.raises(DataFault, match=problem):
        by_files(tmp_path, train, validate, flat())


def test_index_files_that_part_a_person_are_refused_unless_the_config_says_so(
    tmp_path: Path,
) -> None:
    images = crowd(12)
    own = [str(index) for index in range(84)]
    train, validate = "\n".join(["index", *own[1:]]), "\n".join(["index", own[0]])
    with pytest.raises(DataFault, match=f"1 of the people train and validate: {images.persons[0]}"):
        by_files(tmp_path, train, validate, images)
    leaking = by_files(tmp_path, train, validate, images, by="image_leaking_persons")
    assert leaking.validate.tolist() == [0]


def test_the_kept_split_file_says_who_is_where(tmp_path: Path) -> None:
    images = crowd(12)
    parts = split.divide(images, KFold(folds=2), seed=1)
    file = RunsRoot(tmp_path).split(split.keep(images, parts, RunsRoot(tmp_path)))
    rows = list(csv.DictReader(file.read_text().splitlines()))
    folds = {(row["person"], row["fold"]) for row in rows}
    assert len(folds) == 12 and rows == sorted(rows, key=lambda row: row["image_path"])


# ---- what a config may not ask for ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        ("source: {kind: mask}, split: {by: image}", "data.split.by", "one person on both sides"),
        ("split: {by: person}", "data.split.by", "knows no people"),
        ("split: {kind: kfold, stratify: labels}", "data.split.stratify", "knows none"),
        ("source: {kind: mask, age_limits: [60, 30]}", "data.source.age_limits", "must go up"),
        (
            "source: {kind: mask, drop_ages: [[9, 1]]}",
            "data.source.drop_ages",
            "from first to last",
        ),
        ("extra: [{}]", "data.extra.0.csv", "need their table"),
        ("extra: [{csv: a}, {csv: b}]", "data.extra.1.origin", "two kinds"),
        ("extra: [{csv: a, at_least: 0.5}]", "data.extra.0.at_least", "needs the column"),
        (
            "source: {kind: mask}, sampler: {kind: weighted, weights: [1, 2]}",
            "data.sampler.weights",
            "task all has 18 classes, got 2 weights",
        ),
    ],
)
def test_a_contradiction_is_said_before_anything_is_queued(data: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"model: {{name: resnet18}}\ndata: {{{data}}}", "f.yaml")
    (problem,) = caught.value.problems
    assert problem.key == key and words in problem.message


def test_the_default_split_keeps_people_together_where_the_source_knows_them() -> None:
    config = read("model: {name: resnet18}\ndata: {source: {kind: csv, person: who}}", "f").config
    assert config.data.split == Holdout(by="auto")
