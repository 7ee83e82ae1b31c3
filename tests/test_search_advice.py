"""What Optuna advises: it learns from trials, gives bad ones up, and repeats none."""

import math
from typing import Any

import pytest

from schemas.components.search import Search
from schemas.search import Ask, Trial, best, room
from trainer.search.suggest import advise

RATE = {"kind": "range", "key": "optim.lr", "low": 1e-4, "high": 1.0, "log": True}


def space(*axes: dict[str, Any], **more: Any) -> Search:
    return Search.model_validate({"space": axes, **more})


def asked(search: Search, *trials: Trial, new: int = 0, metric: str = "accuracy") -> Ask:
    return Ask(search=search, metric=metric, seed=1, trials=trials, new=new)


def trial(rate: float, state: str, *values: float, judged: int = 0) -> Trial:
    told = dict(enumerate(values, start=1))
    over = (f"optim.lr={rate}",)
    return Trial.model_validate({"over": over, "values": told, "state": state, "judged": judged})


def test_the_advice_comes_nearer_to_what_was_good() -> None:
    search, trials = space(RATE), list[Trial]()
    for _ in range(25):
        ((over,),) = advise(asked(search, *trials, new=1)).new
        rate = float(over.removeprefix("optim.lr="))
        assert 1e-4 <= rate <= 1
        trials.append(trial(rate, "done", 1 - abs(math.log10(rate) + 2)))
    apart = [abs(math.log10(float(each.over[0][9:])) + 2) for each in trials]
    assert sum(apart[15:]) / 10 < sum(apart[:10]) / 10
    assert advise(asked(search, *trials, new=2)) == advise(asked(search, *trials, new=2))


@pytest.mark.parametrize(("metric", "sign"), [("accuracy", 1), ("loss", -1)])
def test_of_three_trials_at_a_rung_the_worst_is_given_up(metric: str, sign: int) -> None:
    search = space(RATE, prune_from=2, prune_factor=3)
    ended = [trial(0.1, "done", *[sign * v for v in (0.5, 0.6, 0.7)]) for _ in range(2)]
    good, bad = (
        trial(0.2, "going", sign * first, sign * second)
        for first, second in ((0.1, 0.8), (0.9, 0.2))
    )
    assert advise(asked(search, *ended, good, bad, metric=metric)).prune == (3,)
    assert advise(asked(search, bad, good, *ended, metric=metric)).prune == (0,)
    young = trial(0.2, "going", sign * 0.01)
    assert advise(asked(search, *ended, young, metric=metric)).prune == ()
    judged = bad.model_copy(update={"judged": 2})
    assert advise(asked(search, *ended, judged, metric=metric)).prune == ()
    assert advise(asked(space(RATE), *ended, bad, metric=metric)).prune == ()


def test_no_trial_is_repeated_and_a_space_can_be_used_up() -> None:
    search = space(
        {"kind": "choice", "key": "loss", "of": [{"kind": "focal"}, {"kind": "bce"}]},
        {"kind": "whole", "key": "train.epochs", "low": 3, "high": 4},
    )
    new = advise(asked(search, new=9)).new
    assert {*new} == {
        (f'loss={{"kind": "{loss}"}}', f"train.epochs={epochs}")
        for loss in ("focal", "bce")
        for epochs in (3, 4)
    }
    known = [Trial(over=over, values={1: 0.5}, state="failed") for over in new]
    assert advise(asked(search, *known, new=1)).new == ()


def test_a_trial_counts_by_its_best_epoch_and_not_at_all_where_it_failed() -> None:
    rates = [10 ** (-4 + step / 4) for step in range(16)]
    losses = [abs(math.log10(rate) + 2) + 0.1 for rate in rates]

    def advice(*more: Trial, first: tuple[float, ...] = ()) -> tuple[tuple[str, ...], ...]:
        pairs = zip(rates, losses, strict=True)
        done = [trial(rate, "done", *first, loss) for rate, loss in pairs]
        return advise(asked(space(RATE), *done, *more, new=3, metric="loss")).new

    assert advice() == advice(first=(9.0,))
    nothing, much = trial(0.9, "failed"), trial(0.9, "failed", 1e-9)
    assert advice(*[nothing] * 6) == advice(*[much] * 6) != advice(*[trial(0.9, "done", 1e-9)] * 6)


def test_a_trial_of_another_space_teaches_nothing() -> None:
    strange = Trial(over=("optim.lr=nothing",), values={1: 0.5}, state="done")
    assert advise(asked(space(RATE), strange, new=1)).new


def test_there_is_room_for_so_many_at_once_and_in_all() -> None:
    search = space(RATE, trials=4, at_once=2)
    going, done = trial(0.1, "going"), trial(0.2, "done", 0.5)
    assert [room(search, each) for each in ([], [going], [done, going, going])] == [2, 1, 0]
    assert room(search, [done] * 3) == 1
    assert room(search, [done] * 5) == 0


def test_the_best_is_the_first_of_equals_and_only_finished_ones_count() -> None:
    trials = [trial(1, "pruned", 0.99), trial(2, "done", 0.4, 0.7), trial(3, "done", 0.7)]
    assert best("accuracy", trials) == (1, 0.7)
    assert best("loss", trials) == (1, 0.4)
    assert best("loss", trials[:1]) is None
