"""What benchmarks make of their figures; measuring is for a quiet machine."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def named(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As `python benchmarks/NAME.py` finds it."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module(name)


def test_parity_without_a_peer_has_compared_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parity = named("parity", monkeypatch)
    for peer in ("", str(tmp_path)):
        monkeypatch.setenv("PEER_TIMM", peer)
        with pytest.raises(SystemExit) as left:
            parity.main()
        assert left.value.code == 2
        assert capsys.readouterr().err.startswith("nothing was compared: PEER_TIMM")


@pytest.mark.parametrize(
    ("ratios", "call_s", "drawn", "code", "words"),
    [
        ([1.001, 0.999, 1.002, 1.000], 0.01, 1, 0, "surely not slower"),
        ([1.05, 0.96, 1.04, 1.01], 0.01, 1, 0, "do not rule out"),
        ([1.03, 1.031, 1.029, 1.03], 0.01, 1, 1, "missed: the epochs are surely slower"),
        ([1.001, 0.999, 1.002, 1.000], 0.2, 1, 1, "missed: the calls are more than 1%"),
        ([1.001, 0.999, 1.002, 1.000], 0.01, 0, 1, "missed: not every place drew"),
    ],
    ids=["no cost", "too wide", "slower", "calls", "no pictures"],
)
def test_tracking_is_judged_by_its_calls_and_by_the_lower_end_of_the_ratio(
    ratios: list[float],
    call_s: float,
    drawn: int,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tracking = named("tracking", monkeypatch)
    found = {"calls": [call_s] * 4, "begin_s": 0.01, "end_s": 1.0, "followers_s": 5.0}
    found |= {"pictures": {"W&B": drawn, "TensorBoard": 2}}
    assert tracking.told(found, [10 * ratio for ratio in ratios], [10.0] * 4) == code
    said = capsys.readouterr().out
    assert words in said and "processor time of the followers" in said
    assert f"pictures of 4 epochs told: {drawn} by W&B, 2 by TensorBoard" in said


@pytest.mark.parametrize(
    ("gains", "low"),
    [([0.010, 0.014, 0.012], 0.0070), ([0.037, -0.002, 0.012], -0.0334)],
    ids=["sure", "one in three"],
)
def test_an_ensemble_is_better_when_the_mean_of_its_gains_surely_is(
    gains: list[float],
    low: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert named("ensemble", monkeypatch).told(gains) == pytest.approx(low, abs=1e-4)
    assert f"over 3 seeds, 95% {low:+.4f} .." in capsys.readouterr().out


def test_an_epoch_that_is_told_lies_beside_one_that_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracking = named("tracking", monkeypatch)
    epochs = range(2, 10)
    assert [tracking.is_told(epoch) for epoch in epochs] == [True, False, False, True] * 2
    shown, plain = tracking.parted(list(epochs))
    assert (shown, plain) == ([2, 5, 6, 9], [3, 4, 7, 8])


def test_the_interval_of_a_ratio_is_students(monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = named("tracking", monkeypatch)
    ratio, low, high = tracking.likely([1.0, 1.02, 1.04])
    assert ratio == pytest.approx(1.0199, abs=1e-4)
    assert (low, high) == pytest.approx((0.9707, 1.0715), abs=1e-3)  # t of 2 is 4.303
