"""Wrong labels are found by models that have not learnt from them, and become a table of data."""

import csv
from pathlib import Path

import numpy as np
import pytest
from support.judged import draw_place, small, train_folds, train_run
from typer.testing import CliRunner, Result

from schemas.components.sources import MASKS, Mask
from schemas.source import read
from trainer.answer.members import Heard
from trainer.data import mask, sources
from trainer.entry.by_hand import app
from trainer.labels import corrections, suspects


def heard(wrong: int, images: int = 300, seed: int = 1) -> tuple[Heard, set[str]]:
    """A model that knows, and some labels that are wrong; which of them."""
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, 4, images)
    logits = dice.normal(0, 1, (images, 4)) + 6 * np.eye(4)[truth]
    said = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    chosen = dice.choice(images, wrong, replace=False)
    labels = truth.copy()
    labels[chosen] = (truth[chosen] + 1) % 4
    names = tuple(f"{n}.jpg" for n in range(images))
    return Heard([said], labels, np.arange(images), names, tuple("abcd")), {
        names[n] for n in chosen
    }


def test_wrong_labels_come_first() -> None:
    said, wrong = heard(wrong=20)
    found = suspects.suspects(said)
    first = {each.image for each in found[:20]}
    assert len(first & wrong) >= 18
    assert [each.of_label - each.confidence for each in found] == sorted(
        each.of_label - each.confidence for each in found
    )


def test_where_nothing_is_wrong_little_is_suspected() -> None:
    said, _ = heard(wrong=0)
    assert len(suspects.suspects(said)) <= 6


def test_a_class_of_which_the_model_is_always_unsure_is_not_suspected_for_that() -> None:
    """Said with 0.45, beaten by 0.5 of a class that its own images get with 0.9: no error."""
    said = np.array([[0.45, 0.5, 0.05]] * 5 + [[0.05, 0.9, 0.05]] * 5, np.float32)
    true = np.array([0] * 5 + [1] * 5)
    names = tuple(map(str, range(10)))
    assert suspects.suspects(Heard([said], true, np.arange(10), names, tuple("abc"))) == []


def test_members_that_agree_are_counted() -> None:
    said, wrong = heard(wrong=5)
    other = np.roll(said.said[0], 1, axis=1)  # always of another mind
    both = Heard([said.said[0], said.said[0], other * 0.01], *_rest(said))
    agreed = {each.image: each.agree for each in suspects.suspects(both)}
    assert all(agreed[name] == 2 for name in wrong if name in agreed)


def _rest(said: Heard) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...]]:
    return said.true, said.people, said.names, said.classes


# ---- tables that the data section takes ----------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds on sketches of which two have a wrong label, and a run on people."""
    place = draw_place(tmp_path_factory.mktemp("place"))
    train_folds(place, "fold", folds=2, train__epochs=2)
    people = small(source={"kind": "mask", "root": "mask"}, test=None, batch_size=32)
    train_run(place, "people", data=people, train__epochs=1)
    return place


def doubt(place: Path, *words: str) -> Result:
    runs = [str(place / "runs" / w) if (place / "runs" / w).is_dir() else w for w in words]
    env = {"TRAINQ_DATA": str(place / "data")}
    out = [] if "-o" in words else ["-o", str(place / "suspects.csv")]
    return CliRunner(env=env).invoke(app, ["suspects", *runs, *out])


def listed(place: Path) -> list[dict[str, str]]:
    with (place / "suspects.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_corrected_copy_of_the_table_is_what_the_config_takes(place: Path) -> None:
    out = place / "data/sketch/corrected.csv"
    assert doubt(place, "fold0", "fold1").exit_code == 0
    sure = sorted((row["confidence"] for row in listed(place)), reverse=True)[1]  # a few only
    done = doubt(place, "fold0", "fold1", "--relabel", str(out), "--at-least", sure)
    assert done.exit_code == 0 and "data.source.train_csv=corrected.csv" in done.stdout, done.output
    doubted = {row["image"]: row["suspected"] for row in listed(place)}
    assert doubted
    text = "model: {name: test_vit}\ndata: {source: {root: sketch, train_csv: %s}}"
    before, after = (
        sources.read(read(text % name, "a.yaml").config.data, place / "data")
        for name in ("train.csv", "corrected.csv")
    )
    for name, old, new in zip(before.names, before.targets, after.targets, strict=True):
        assert new == (old if name not in doubted else before.classes.index(doubted[name]))
    again = doubt(place, "fold0", "fold1", "--relabel", str(out))
    assert again.exit_code == 2 and "is there already" in again.stderr
    for inside, said in (
        (True, "data.source.train_csv=more/new.csv"),
        (False, f"copy {place / 'new.csv'} to {place / 'data/sketch'} first"),
    ):
        out = place / ("data/sketch/more/new.csv" if inside else "new.csv")
        out.parent.mkdir(exist_ok=True)
        done = doubt(place, "fold0", "fold1", "--relabel", str(out), "--at-least", sure)
        assert done.exit_code == 0 and said in done.stdout, done.output


def test_the_labels_themselves_are_never_written_over(place: Path) -> None:
    table = place / "data/sketch/train.csv"
    before = table.read_bytes()
    for words, said in (
        (("-o", str(table)), "train.csv is the table of the labels"),
        (("--relabel", str(table)), "train.csv is there already"),
        (("-o", "one.csv", "--relabel", "one.csv"), "--relabel and -o name one file"),
    ):
        done = doubt(place, "fold0", "fold1", *words)
        assert done.exit_code == 2 and said in done.stderr.splitlines()[-2], done.output
    assert table.read_bytes() == before


def test_people_get_a_relabel_table(place: Path) -> None:
    out = place / "data/mask/relabel.csv"
    done = doubt(place, "people", "--relabel", str(out))
    assert done.exit_code == 0 and "data.source.relabel=relabel.csv" in done.stdout, done.output
    doubted = {row["image"]: row["suspected"] for row in listed(place)}
    assert doubted
    rows, classes = mask.read(Mask(root="mask", relabel="relabel.csv"), place / "data")
    for row in rows:
        if row.name in doubted:
            assert classes[row.target] == doubted[row.name]
    plain = {row.name: row.target for row in mask.read(Mask(root="mask"), place / "data")[0]}
    assert all(row.target == plain[row.name] for row in rows if row.name not in doubted)


def test_what_was_relabelled_before_stays_so(place: Path) -> None:
    one, two, *_ = mask.people(place / "data/mask/train/images")
    row = {"id": one.person, "image": one.stem, "mask": "", "gender": "", "age": ""}
    row["mask"] = next(name for name in MASKS if name != one.mask)
    table = place / "data/mask/before.csv"
    table.write_bytes(corrections.written(mask.RELABEL, [row]))
    source = Mask(root="mask", relabel="before.csv", task="mask")
    labels = {one.name: MASKS.index(row["mask"]), two.name: (MASKS.index(two.mask) + 1) % 3}
    made = corrections.corrected(source, labels, MASKS, place / "data").decode().splitlines()
    first, again, other = csv.DictReader(made)
    assert first == row and again["mask"] == ""  # it is so already
    assert other["mask"] == MASKS[labels[two.name]]


def test_a_poor_model_is_not_believed_that_many_labels_are_wrong() -> None:
    right = np.arange(20) < 8
    said = suspects.too_many(9, right)
    assert "45% of all labels" in said and "right in 40%" in said
    assert not suspects.too_many(2, right)


def test_only_what_they_are_sure_of_is_listed(place: Path) -> None:
    done = doubt(place, "fold0", "fold1")
    every = listed(place)
    assert ("most of these will be its own mistakes" in done.stderr) == (len(every) > 0.1 * 24)
    middle = sorted(float(row["confidence"]) for row in every)[len(every) // 2]
    assert doubt(place, "fold0", "fold1", "--at-least", str(middle)).exit_code == 0
    assert 0 < len(listed(place)) < len(every)


def test_the_nearest_age_of_a_group_is_written() -> None:
    limits = (30, 60)
    ages = [corrections.nearest(age, group, limits) for age, group in ((45, 0), (61, 1), (20, 2))]
    assert ages == [29, 59, 60]


def test_a_layout_without_a_table_says_what_to_do() -> None:
    from schemas.components.sources import Folders
    from schemas.errors import UsageError

    with pytest.raises(UsageError, match="no table that labels could be corrected in"):
        corrections.corrected(Folders(), {}, (), Path())
