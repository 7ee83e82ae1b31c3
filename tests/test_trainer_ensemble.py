"""Is it worth it to let runs vote: said of images that none had learnt from, and not flattered."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from rich.console import Console
from support.judged import draw_place, gather, small, train_folds, train_run
from typer.testing import CliRunner, Result

from schemas.components.predict import Predict
from trainer.answer import finished, fitting, jury, members, predict, progress, votes
from trainer.answer.members import Heard
from trainer.answer.views import PLAIN
from trainer.entry.by_hand import app
from trainer.judge import predictions, scores
from trainer.judge.folders import spread_out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two configs in three folds each, of other models and sizes, and a run of other classes."""
    place = draw_place(tmp_path_factory.mktemp("place"))
    gather(place, "folds", train_folds(place, "a"))
    train_folds(place, "b", data=small(img_size=48), model={"name": "resnet10t"})
    people = {**small(), "source": {"kind": "mask", "root": "mask"}, "test": None}
    train_run(place, "people", data=people, train__epochs=1)
    return place


def call(place: Path, command: str, *words: str) -> Result:
    runs = [
        str(place / "runs" / word) if (place / "runs" / word).is_dir() else word for word in words
    ]
    env = {"TRAINQ_DATA": str(place / "data"), "TRAINQ_CACHE": str(place / "cache")}
    return CliRunner(env=env).invoke(app, [command, *runs])


FOLDS = [f"{name}{fold}" for name in "ab" for fold in range(3)]


def test_folds_of_one_config_are_one_member_and_a_gather_run_stands_for_them(place: Path) -> None:
    runs = place / "runs"
    found = members.members([runs / name for name in FOLDS])
    assert [each.name for each in found] == ["a0 and 2 more", "b0 and 2 more"]
    assert [folder.name for folder in spread_out([runs / "folds", runs / "b1"])] == [
        "a0",
        "a1",
        "a2",
        "b1",
    ]
    assert members.lacking(members.members(spread_out([runs / "folds", runs / "b1"]))) == [
        "b1 lacks fold 0, 2"
    ]


def test_members_are_compared_with_their_ensemble(place: Path) -> None:
    done = call(place, "ensemble", *FOLDS)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    heads = ("a0 and 2 more", "b0 and 2 more", "all alike", "weights searched", "priors tuned")
    assert all(any(line.startswith(head) for line in lines) for head in heads)
    assert sum(line.startswith("  fitted to other people") for line in lines) == 2
    assert "all alike against the best member, " in done.stdout
    assert max(map(len, lines)) <= 80
    assert max(map(len, lines[: len(lines) - 2])) <= 92


def test_the_numbers_are_those_of_the_out_of_fold_table(place: Path) -> None:
    found = json.loads(call(place, "ensemble", "folds", *FOLDS[3:], "--json").stdout)
    said = predictions.of_run(place / "runs/folds")
    right = (said.probabilities.argmax(1) == said.true).mean()
    assert found["ways"][0]["values"]["accuracy"] == pytest.approx(right)
    assert found["images"] == 32 and found["members"][0]["missing_folds"] == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([*FOLDS[:3], "b0"], 3, "b0 lacks fold 1, 2"),
        (["a0", "people"], 2, "a0 and people know different classes"),
        (["nowhere"], 3, "nowhere is no run's folder"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    place: Path, words: list[str], code: int, said: str
) -> None:
    done = call(place, "ensemble", *words)
    assert done.exit_code == code and said in done.stderr.splitlines()[0]


def test_a_fold_that_is_given_twice_is_refused(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "runs/a0", tmp_path / "twin")
    done = call(place, "ensemble", "a0", str(tmp_path / "twin"))
    assert done.exit_code == 2 and "the same fold is given twice: a0, twin" in done.stderr


# ---- on a test set whose answers are known -------------------------------------------------------


def alone(place: Path, name: str) -> dict[str, list[float]]:
    """What `trainer predict` says of each test image, with flipped views."""
    table = place / f"{name}.csv"
    words = ("-o", str(place / "s.csv"), "--tta", "hflip", "--probabilities", str(table))
    assert call(place, "predict", name, *words).exit_code == 0
    with table.open() as file:
        return {
            image: [float(cell) for cell in said] for image, *said in list(csv.reader(file))[1:]
        }


def test_the_gain_over_the_best_fold_and_its_interval_are_those_of_a_plain_count(
    place: Path,
) -> None:
    """Every fold by itself, all with the same views; people are drawn one by one."""
    with (place / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    truth = ("--truth", str(place / "truth.csv"), "--by", "person", "--tta", "hflip")
    done = call(place, "ensemble", "folds", *truth, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    members = {name: alone(place, name) for name in ("a0", "a1", "a2")}
    said = {
        name: np.array([one[row["image_path"]] for row in rows]) for name, one in members.items()
    }
    right = np.array([int(row["target"]) for row in rows])
    hits = {name: one.argmax(1) == right for name, one in said.items()}
    best = max(hits, key=lambda name: hits[name].mean())
    together = np.mean(list(said.values()), axis=0).argmax(1) == right
    differences = []
    dice, people = np.random.Generator(np.random.Philox(0)), sorted({r["person"] for r in rows})
    for times in dice.multinomial(len(people), [1 / len(people)] * len(people), 1000):
        drawn = [
            image
            for person, often in zip(people, times, strict=True)
            for image in often * [n for n, row in enumerate(rows) if row["person"] == person]
        ]
        differences.append(together[drawn].mean() - hits[best][drawn].mean())
    gain = found["gain"]["accuracy"]
    assert (found["gain"]["over"], found["images"]) == (best, 12)
    assert gain["value"] == pytest.approx(together.mean() - hits[best].mean())
    assert (gain["low"], gain["high"]) == pytest.approx(np.quantile(differences, [0.025, 0.975]))
    assert [row["values"]["accuracy"] for row in found["ways"][:4]] == pytest.approx(
        [*(hits[name].mean() for name in members), together.mean()]
    )


@pytest.mark.parametrize(
    ("change", "words", "code", "said"),
    [
        (("0.JPEG", "100.JPEG"), ["a0", "a1"], 3, "does not fit"),
        ((",3,", ",9,"), ["a0", "a1"], 2, "has class 9; a0 knows 4"),
        (("", ""), ["a0", "people"], 2, "a0 and people know different classes"),
        (("", ""), ["a0", "a1", "--by", "nobody"], 2, "has no such column"),
    ],
    ids=("images", "classes", "runs", "column"),
)
def test_a_truth_that_does_not_fit_is_one_line(
    place: Path, tmp_path: Path, change: tuple[str, str], words: list[str], code: int, said: str
) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text((place / "truth.csv").read_text().replace(*change, 1))
    done = call(place, "ensemble", *words, "--truth", str(truth))
    assert done.exit_code == code and said in done.stderr.splitlines()[0], done.output


def test_views_of_a_test_set_need_its_answers(place: Path) -> None:
    done = call(place, "ensemble", "a0", "a1", "--tta", "hflip")
    assert done.exit_code == 2 and "--truth" in done.stderr


# ---- a submission file ---------------------------------------------------------------------------


def answers(place: Path, *words: str) -> dict[str, Any]:
    out = place / "submission.csv"
    done = call(place, "predict", *words, "-o", str(out))
    assert done.exit_code == 0, done.output
    facts: dict[str, Any] = json.loads(out.with_name("submission.csv.json").read_text())
    return facts | {"err": done.stderr}


def test_two_models_of_other_sizes_vote_with_the_weights_that_were_searched(place: Path) -> None:
    note = answers(place, *FOLDS, "predict.search_weights=true", "predict.tune_priors=true")
    found = members.members([place / "runs" / name for name in FOLDS])
    heard = members.heard(found)
    wanted = fitting.weights(heard.said, heard.true, "accuracy")
    assert [each["weight"] for each in note["members"]] == pytest.approx(wanted, abs=1e-5)
    assert len(note["priors"]) == 4 and note["missing"] == []
    spec = Predict(search_weights=True, tune_priors=True)
    assert note["doubts"] == jury.doubtful(heard, spec, "accuracy")
    assert [line for line in str(note["err"]).splitlines() if line.startswith("doubtful: ")] == [
        f"doubtful: {doubt}" for doubt in note["doubts"]
    ]


def test_a_missing_fold_is_named_where_the_answers_are(place: Path) -> None:
    note = answers(place, "a0", "a2", "--vote", "hard", "predict.ties=rare")
    assert note["missing"] == ["a0 and 1 more lacks fold 1"]
    assert "incomplete: a0 and 1 more lacks fold 1" in str(note["err"])
    assert (note["vote"], note["ties"]) == ("hard", "rare")


def test_folds_that_are_not_there_are_named_by_a_truth_too(place: Path) -> None:
    truth = ("--truth", str(place / "truth.csv"))
    done = call(place, "ensemble", "a0", "a2", *truth)
    assert "incomplete: a0 and 1 more lacks fold 1" in done.stdout
    found = json.loads(call(place, "ensemble", "a0", "a2", *truth, "--json").stdout)
    assert found["incomplete"] == ["a0 and 1 more lacks fold 1"]


def test_an_interrupted_pass_over_other_images_of_the_same_names_is_not_taken(
    place: Path, tmp_path: Path
) -> None:
    run = finished.find(place / "runs" / "a0")
    test = predict.test_of(run.config.data, run)
    data = tmp_path / "data"
    shutil.copytree(place / "data", data)
    job = predict.Job([run], [PLAIN], test, data, tmp_path / "cache", tmp_path / "work")
    first = predict.said(job, predict.images_of(test, data), lambda _: None)
    kept = sorted((tmp_path / "work").iterdir())
    predict.said(job, predict.images_of(test, data), lambda _: None)
    assert sorted((tmp_path / "work").iterdir()) == kept  # the same files: nothing to do
    for path in predict.images_of(test, data).paths:
        with Image.open(path) as picture:
            ImageOps.invert(picture.convert("L")).save(path)
    again = predict.said(job, predict.images_of(test, data), lambda _: None)
    assert not np.array_equal(first[0], again[0])


def test_a_gather_run_answers_by_all_its_folds(place: Path) -> None:
    note = answers(place, "folds", "--vote", "rank", "predict.weights=[3]")
    assert list(note["runs"]) == ["a0", "a1", "a2"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict.weights=[1,2]"], "predict.weights has 2 numbers for 1 member"),
        (["predict.ties=rare"], "only a hard vote has ties"),
        (["predict.search_weights=true", "predict.vote=rank"], "weights are searched for"),
        (["predict.tune_priors=true", "--vote", "hard"], "classes are weighed by their mean"),
        (["predict.search_weights=true", "predict.weights=[1]"], "either given or searched"),
    ],
)
def test_ways_to_vote_that_exclude_each_other_are_refused(
    place: Path, words: list[str], said: str
) -> None:
    done = call(place, "predict", "a0", "a1", *words, "-o", str(place / "no.csv"))
    assert done.exit_code == 2 and said in done.stderr.splitlines()[0]
    assert not (place / "no.csv").exists()


# ---- what is fitted ------------------------------------------------------------------------------


def drawn(seed: int, images: int, *skills: float, classes: int = 4) -> Heard:
    """Members of these skills; people have three images each."""
    dice = np.random.default_rng(seed)
    true = dice.integers(0, classes, images)
    said = []
    for skill in skills:
        logits = dice.normal(0, 1, (images, classes)) + skill * np.eye(classes)[true]
        said.append((np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32))
    names = tuple(map(str, range(images)))
    return Heard(said, true, np.arange(images) // 3, names, tuple("abcd"[:classes]))


def test_the_search_hears_the_one_who_knows() -> None:
    heard = drawn(1, 600, 3.0, 0.0)
    weights = fitting.weights(heard.said, heard.true, "accuracy")
    assert weights[0] > 0.8 and sum(weights) == pytest.approx(1)
    assert fitting.weights(heard.said, heard.true, "loss")[0] > 0.8


def test_weights_searched_are_never_worse_than_the_best_where_they_were_fitted() -> None:
    for seed in range(5):
        heard = drawn(seed, 90, 1.0, 1.1, 0.9)
        fit = jury.fitted(heard, Predict(search_weights=True), "macro_f1")
        mine = jury.values(jury.answered(heard, fit, slice(None)), heard)["macro_f1"]
        alone = [jury.values(one.argmax(1), heard)["macro_f1"] for one in heard.said]
        assert mine >= max(alone) - 1e-12


def test_what_is_fitted_to_luck_is_told_by_other_people() -> None:
    """Priors fitted to voices that know nothing look good, and are worth nothing to others."""
    gaps, worth = [], []
    for seed in range(8):
        heard = drawn(seed, 60, 0.0, 0.0)
        tuned = jury.tried("priors", Predict(tune_priors=True), heard, "macro_f1")
        assert tuned.nested
        gaps.append(tuned.values["macro_f1"] - tuned.nested["macro_f1"])
        worth.append(tuned.nested["macro_f1"])
    assert np.mean(gaps) > 0.05
    assert np.mean(worth) == pytest.approx(0.25, abs=0.05)


def test_what_costs_other_people_something_is_doubted_and_only_that() -> None:
    """By the same figures that `trainer ensemble` shows."""
    spec, doubted = Predict(tune_priors=True), 0
    for seed in range(8):
        heard = drawn(seed, 90, 1.0, 1.1)
        tuned = jury.tried("priors", spec, heard, "accuracy").nested
        plain = jury.values(votes.answers(heard.said), heard)
        doubts = jury.doubtful(heard, spec, "accuracy")
        assert tuned and bool(doubts) == (tuned["macro_f1"] < plain["macro_f1"])
        if doubts:
            figures = f"macro F1 {tuned['macro_f1']:.4f} on other people, {plain['macro_f1']:.4f}"
            assert doubts == [f"predict.tune_priors: {figures} without"]
            doubted += 1
        assert jury.doubtful(heard, Predict(), "accuracy") == []
    assert 0 < doubted < 8


def test_priors_help_a_model_that_has_never_heard_of_the_rare_class() -> None:
    dice = np.random.default_rng(7)
    true = (dice.random(900) < 0.1).astype(np.int64)
    logits = dice.normal(0, 1, 900) + 2.5 * true - 3.0  # of class 1: far too careful
    sure = 1 / (1 + np.exp(-logits))
    said = np.stack([1 - sure, sure], 1).astype(np.float32)
    heard = Heard([said], true, np.arange(900), tuple(map(str, range(900))), ("a", "b"))
    tuned = jury.tried("priors", Predict(tune_priors=True), heard, "macro_f1")
    before = jury.values(said.argmax(1), heard)["macro_f1"]
    assert tuned.nested and tuned.nested["macro_f1"] > before + 0.1


def test_nobody_is_judged_by_what_was_fitted_to_them() -> None:
    people = np.arange(40) // 4
    seen: list[set[int]] = []

    def fit(others: scores.Labels) -> set[int]:
        seen.append({int(people[n]) for n in others})
        return seen[-1]

    def answer(fitted: set[int], part: scores.Labels) -> scores.Labels:
        assert fitted.isdisjoint({int(people[n]) for n in part})
        return np.ones(len(part), np.int64)

    assert fitting.nested(people, fit, answer).sum() == 40 and len(seen) == 5


def test_a_gain_is_judged_by_the_same_draws() -> None:
    """Of two ways that differ in few images the difference is surer than either score."""
    dice = np.random.default_rng(3)
    true = dice.integers(0, 3, 300)
    one = np.where(dice.random(300) < 0.7, true, 0)
    other = one.copy()
    other[:12] = true[:12]
    people = np.arange(300)
    by = scores.gains(true, other, one, people, 3)["accuracy"]
    alone = scores.intervals(true, one, people, 3)["accuracy"]
    assert 0 <= by.low < by.high and by.high - by.low < (alone.high - alone.low) / 2


def test_a_gather_run_without_any_of_its_runs_is_one_line(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "runs" / "folds", tmp_path / "alone")
    done = CliRunner().invoke(app, ["ensemble", str(tmp_path / "alone")])
    assert done.exit_code == 3 and "none of the 3 runs" in done.stderr.splitlines()[0]


def test_a_pass_over_images_is_a_bar_for_whoever_watches() -> None:
    terminal, pipe = io.StringIO(), io.StringIO()
    for file, watched in ((terminal, True), (pipe, False)):
        with progress.shown(Console(file=file, force_terminal=watched)) as alive:
            alive("looking for the images")
            alive("a0 hflip: 3 of 4")
    assert "a0 hflip" in terminal.getvalue() and "75%" in terminal.getvalue()
    assert pipe.getvalue() == ""


def test_the_rows_of_a_truth_may_have_any_order(place: Path, tmp_path: Path) -> None:
    head, *rows = (place / "truth.csv").read_text().splitlines()
    (tmp_path / "turned.csv").write_text("\n".join([head, *reversed(rows)]))
    said = [
        call(place, "ensemble", "a0", "a1", "--truth", str(truth), "--json").stdout
        for truth in (place / "truth.csv", tmp_path / "turned.csv")
    ]
    assert json.loads(said[0])["ways"] == json.loads(said[1])["ways"]


def test_a_rule_asks_for_rare_classes_where_the_config_does(place: Path) -> None:
    folders = [place / "runs" / f"a{fold}" for fold in range(3)]
    rule, _ = jury.rule(Predict(vote="hard", ties="rare"), folders)
    wanted = jury.rarity(members.heard(members.members(folders)))
    assert rule.ties is not None and np.array_equal(rule.ties, wanted)
    assert jury.rule(Predict(vote="hard"), folders)[0].ties is None


def test_folds_that_differ_in_what_they_learnt_by_are_no_member_together(place: Path) -> None:
    folder = place / "runs/a0"
    config = members.members([folder])[0].config
    kind = members.kind_of(config, folder)
    said = config.model_copy(update={"predict": Predict(vote="hard"), "note": "other"})
    assert members.kind_of(said, folder) == kind
    assert members.kind_of(config.model_copy(update={"seed": 7}), folder) != kind
