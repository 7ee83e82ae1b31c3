"""Voices become one answer as they should: ties, weights, ranks, against the plain way to count."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, f1_score, log_loss

from trainer.answer import fitting, votes
from trainer.answer.votes import Rule
from trainer.judge.predictions import Probabilities

CLASSES = 4


def voice(*rows: tuple[float, ...]) -> Probabilities:
    return np.array(rows, np.float32)


@st.composite
def voices(draw: st.DrawFn) -> list[Probabilities]:
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    images, models = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    sharp = np.full(CLASSES, draw(st.sampled_from([0.1, 1.0])))
    return [dice.dirichlet(sharp, images).astype(np.float32) for _ in range(models)]


@settings(max_examples=100, deadline=None)
@given(voices())
def test_the_hard_vote_is_the_most_named_class_and_ties_go_to_the_mean(
    said: list[Probabilities],
) -> None:
    mean = np.mean(np.stack(said), axis=0, dtype=np.float64)
    for image, answer in enumerate(votes.answers(said, Rule("hard"))):
        named = Counter(int(one[image].argmax()) for one in said)
        most = max(named.values())
        tied = [label for label, times in named.items() if times == most]
        assert answer in tied
        assert mean[image, answer] == pytest.approx(max(mean[image, tied]), rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(voices())
def test_ranks_are_those_of_scipy(said: list[Probabilities]) -> None:
    rounded = said[0].round(1)  # so that there are equals
    wanted = rankdata(rounded, axis=0) / len(rounded)
    np.testing.assert_allclose(votes.ranked(rounded), wanted, rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(voices())
def test_a_voice_that_counts_twice_is_the_voice_twice(said: list[Probabilities]) -> None:
    weights = [2.0, *[1.0] * (len(said) - 1)]
    twice = [said[0], *said]
    np.testing.assert_allclose(votes.mean(said, weights), votes.mean(twice), rtol=1e-5)
    one, other = (
        votes.answers(*pair) for pair in ((said, Rule("hard", weights)), (twice, Rule("hard")))
    )
    assert np.array_equal(one, other)


def test_a_tie_goes_to_the_rarer_class_where_the_config_says_so() -> None:
    said = [voice((0.9, 0.1, 0.0)), voice((0.1, 0.6, 0.3))]
    assert votes.answers(said, Rule("hard")).tolist() == [0]
    rare = np.array([18900 / 9000, 18900 / 700, 18900 / 50])
    assert votes.answers(said, Rule("hard", ties=rare)).tolist() == [1]


def test_thirds_are_a_tie_whatever_the_arithmetic() -> None:
    said = [voice((0.8, 0.2)), voice((0.8, 0.2)), voice((0.4, 0.6))]
    weights = [0.1, 0.2, 0.3]  # 0.1 + 0.2 is not 0.3
    assert votes.answers(said, Rule("hard", weights)).tolist() == [0]
    heavy = np.array([1.0, 2.0])
    assert votes.answers(said, Rule("hard", weights, heavy)).tolist() == [1]


def test_the_rank_vote_does_not_hear_how_loud_a_model_is() -> None:
    dice = np.random.default_rng(1)
    calm = dice.dirichlet(np.ones(3), 50).astype(np.float32)
    other = dice.dirichlet(np.ones(3), 50).astype(np.float32)
    loud = calm**8  # the same order in every class
    one, same = (votes.answers([first, other], Rule("rank")) for first in (calm, loud))
    assert np.array_equal(one, same)
    soft, louder = (votes.answers([first, other]) for first in (calm, loud / loud.sum(1)[:, None]))
    assert not np.array_equal(soft, louder)


def test_a_class_can_be_given_more_weight() -> None:
    said = [voice((0.6, 0.4))]
    assert votes.answers(said, Rule(priors=np.array([1.0, 2.0]))).tolist() == [1]


def test_what_is_searched_for_is_the_metric_of_the_config() -> None:
    dice = np.random.default_rng(4)
    true = np.repeat([0, 1, 2], (70, 20, 10))
    said = dice.dirichlet(np.ones(3), 100)
    named, own = said.argmax(1), said[np.arange(100), true]
    for metric, wanted in (
        ("accuracy", accuracy_score(true, named)),
        ("macro_f1", f1_score(true, named, average="macro")),
        ("loss", -log_loss(true, said)),
    ):
        first, second = fitting.quality(said, true, metric)
        assert (first, second) == pytest.approx((wanted, np.log(own).mean()))
