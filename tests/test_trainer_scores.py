"""Scores equal scikit-learn's on whatever is drawn, and intervals are as wide as they should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from trainer.judge import scores

CLASSES = 7


@st.composite
def answers(draw: st.DrawFn) -> tuple[scores.Labels, scores.Numbers]:
    """A truth and probabilities for it; classes may be missing on either side."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = draw(st.integers(1, 80))
    true = dice.integers(0, draw(st.integers(1, CLASSES)), images)
    sure = dice.dirichlet(np.full(CLASSES, draw(st.sampled_from([0.05, 1.0]))), images)
    # of classes that tie at zero, which is the fifth is anybody's choice
    return true, 0.999 * sure + 0.001 * dice.dirichlet(np.ones(CLASSES), images)


@settings(max_examples=150, deadline=None)
@given(answers())
def test_scores_are_those_of_scikit_learn(drawn: tuple[scores.Labels, scores.Numbers]) -> None:
    true, probabilities = drawn
    guessed = probabilities.argmax(1)
    matrix = scores.confusion(true, guessed, CLASSES)
    labels = list(range(CLASSES))
    assert np.array_equal(matrix, sk.confusion_matrix(true, guessed, labels=labels))
    assert scores.accuracy(matrix) == pytest.approx(sk.accuracy_score(true, guessed))
    assert scores.macro_f1(matrix) == pytest.approx(sk.f1_score(true, guessed, average="macro"))
    wanted = sk.precision_recall_fscore_support(true, guessed, labels=labels, zero_division=0)
    found = scores.per_class(matrix)
    for mine, theirs in zip(
        (found.precision, found.recall, found.f1, found.support), wanted, strict=True
    ):
        assert np.allclose(mine, theirs)
    for k in (1, 3, 5):
        best = sk.top_k_accuracy_score(true, probabilities, k=k, labels=labels)
        assert scores.among(probabilities, true, k).mean() == pytest.approx(best)


@settings(max_examples=100, deadline=None)
@given(answers())
def test_the_curve_of_calibration_is_that_of_scikit_learn(
    drawn: tuple[scores.Labels, scores.Numbers],
) -> None:
    true, probabilities = drawn
    right, sure = probabilities.argmax(1) == true, probabilities.max(1)
    share, mean = calibration_curve(right, sure, n_bins=15)
    found = scores.calibration(probabilities, true)
    filled = found.images > 0
    assert np.allclose(found.accuracy[filled], share)
    assert np.allclose(found.confidence[filled], mean)
    gap = (np.abs(share - mean) * found.images[filled]).sum() / len(true)
    assert found.error == pytest.approx(gap)
    assert found.mean_confidence == pytest.approx(sure.mean())


@settings(max_examples=50, deadline=None)
@given(answers())
def test_confused_pairs_are_those_of_the_matrix_the_most_frequent_first(
    drawn: tuple[scores.Labels, scores.Numbers],
) -> None:
    true, probabilities = drawn
    matrix = sk.confusion_matrix(true, probabilities.argmax(1), labels=list(range(CLASSES)))
    pairs = scores.confused(matrix, CLASSES**2)
    assert all(matrix[one, other] == times and one != other for one, other, times in pairs)
    assert [times for *_, times in pairs] == sorted((n for *_, n in pairs), reverse=True)
    assert sum(times for *_, times in pairs) == len(true) - np.trace(matrix)


def test_the_interval_of_a_mean_is_that_of_the_accuracy_where_it_is_one() -> None:
    dice = np.random.default_rng(5)
    true, guessed, people = dice.integers(0, 3, (3, 200))
    by_mean = scores.of_mean(true == guessed, people)
    assert by_mean == scores.intervals(true, guessed, people, 3)["accuracy"]


def test_confidence_that_keeps_its_word_has_no_error_and_boasting_has() -> None:
    dice = np.random.default_rng(1)
    sure = dice.uniform(0.5, 1.0, 40_000)
    probabilities = np.stack([sure, 1 - sure], 1)
    true = (dice.random(40_000) > sure).astype(np.int64)
    honest = scores.calibration(probabilities, true)
    assert honest.error < 0.01 and honest.images.sum() == 40_000
    boasting = scores.calibration(np.tile([[0.99, 0.01]], (40_000, 1)), true)
    assert boasting.error == pytest.approx(0.99 - (true == 0).mean(), abs=1e-6)


def test_an_interval_over_people_is_wider_than_one_over_their_images() -> None:
    """Seven images of a person that stand or fall together tell as much as one of them."""
    dice = np.random.default_rng(2)
    people = np.repeat(np.arange(300), 7)
    true = np.zeros(len(people), np.int64)
    guessed = np.repeat((dice.random(300) > 0.8).astype(np.int64), 7)
    by_person = scores.intervals(true, guessed, people, 2)["accuracy"]
    by_image = scores.intervals(true, guessed, np.arange(len(people)), 2)["accuracy"]
    wide, narrow = (found.high - found.low for found in (by_person, by_image))
    assert wide / narrow == pytest.approx(7**0.5, rel=0.15)
    assert by_person.low < (guessed == 0).mean() < by_person.high


def test_an_interval_covers_the_score_of_the_whole_population_as_often_as_it_says() -> None:
    dice, covered = np.random.default_rng(3), 0
    for seed in range(100):
        true = dice.integers(0, 3, 120)
        guessed = np.where(dice.random(120) < 0.7, true, dice.integers(0, 3, 120))
        found = scores.intervals(true, guessed, np.arange(120), 3, seed)["accuracy"]
        covered += found.low <= 0.8 <= found.high
    assert 88 <= covered <= 100


def test_one_group_has_its_scores_for_an_interval_and_answers_gain_nothing_on_themselves() -> None:
    true, guessed = np.random.default_rng(6).integers(0, 3, (2, 50))
    matrix = scores.confusion(true, guessed, 3)
    found = scores.intervals(true, guessed, np.zeros(50, np.int64), 3)
    values = {"accuracy": scores.accuracy(matrix), "macro_f1": scores.macro_f1(matrix)}
    for name, value in values.items():
        assert (found[name].low, found[name].high) == pytest.approx((value, value))
    gained = scores.gains(true, guessed, guessed, np.arange(50), 3)
    assert {(each.low, each.high) for each in gained.values()} == {(0, 0)}


def test_the_same_seed_draws_the_same_interval() -> None:
    true, guessed = np.arange(30) % 3, np.arange(30) % 2
    one, other = (scores.intervals(true, guessed, np.arange(30), 3, 5) for _ in range(2))
    assert one == other != scores.intervals(true, guessed, np.arange(30), 3, 6)


def test_classes_that_are_nowhere_change_no_interval() -> None:
    true, guessed = np.arange(60) % 3, np.arange(60) % 4 % 3
    few, many = (scores.intervals(true, guessed, np.arange(60), number) for number in (3, 9))
    assert few == many
