"""Verdicts and keys of a pre-flight: pure decisions over numbers."""

from typing import Any

import pytest

from schemas.config import TrainConfig
from schemas.preflight import Preflight, at_once_of, declared_mb, judge, key_of, remedy

V100 = 16160  # MiB of a card that is sold as 16 GB


def seen(peak_mb: int, batch: int = 64, **facts: Any) -> Preflight:
    """A model of 1000 MiB that needs the rest for its images."""
    each = (peak_mb - 1000) / batch
    numbers = {"fixed_mb": 1000, "image_mb": each, "input_mb": 0, "gradient_mb": 100}
    size = {"parameters": 1, "trainable": 1, "gmacs": 1.0, "img_size": 224, "batch_size": batch}
    return Preflight(peak_mb=peak_mb, precision="amp", **{**numbers, **size, **facts})


@pytest.mark.parametrize(
    ("share", "word"),
    [(0.1, "fits"), (0.80, "fits"), (0.81, "tight"), (0.92, "tight"), (0.93, "too big")],
)
def test_a_run_fits_to_four_fifths_and_is_refused_beyond_0_92(share: float, word: str) -> None:
    assert judge(seen(round(share * 100_000)), 100_000).word == word


def test_what_does_not_fit_names_both_ways_out() -> None:
    needs = seen(26_600)  # 1000 + 64 * 400
    verdict = judge(needs, V100)
    assert (verdict.largest, verdict.accumulate) == (28, 4)  # of 12928: 29, but mixing wants pairs
    assert needs.peak(64, 4) <= 0.8 * V100 < needs.peak(64, 2)
    told = remedy(needs, verdict)
    assert told == "train.accumulate=4 (same batch of 64) or data.batch_size=28"


def test_parts_of_a_batch_that_is_cut_already_and_shared_between_gpus() -> None:
    needs = seen(26_600, accumulate=2, gpus=2)
    verdict = judge(needs, V100)
    assert verdict.largest % 8 == 0 and verdict.accumulate == 4
    assert at_once_of(64, 2, 2) == 32  # one part: a process has no more than its share
    assert at_once_of(64, verdict.accumulate, 2) == 16


def test_a_model_that_cannot_hold_one_image_is_told_so() -> None:
    verdict = judge(seen(30_000), 1024)
    assert (verdict.largest, verdict.accumulate) == (0, 0)
    assert "smaller model" in remedy(seen(30_000), verdict)


def test_a_prediction_asks_for_what_its_card_can_offer() -> None:
    assert declared_mb(seen(int(0.92 * V100))) == 15 * 1024  # a lane of 16 GiB would fit no V100
    assert declared_mb(seen(int(0.94 * V100))) == 16 * 1024
    assert declared_mb(seen(500, batch=1)) == 543


def key(versions: tuple[str, ...] = ("2.10",), gpus: int = 1, **parts: Any) -> str:
    config = TrainConfig.model_validate({"model": {"name": "resnet18"}, **parts})
    return key_of(config.canonical(), gpus, versions)


def test_the_key_knows_what_matters_and_nothing_else() -> None:
    same: list[dict[str, Any]] = [
        {"seed": 7},
        {"name": "x"},
        {"optim": {"lr": 0.5, "betas": [0.8, 0.9]}},
        {"data": {"split": {"kind": "kfold", "fold": 3}, "workers": 0}},
        {"train": {"epochs": 3}},
        {"augment": {"kind": "none"}},
    ]
    other: list[dict[str, Any]] = [
        {"model": {"name": "resnet50"}},
        {"data": {"img_size": 256}},
        {"data": {"batch_size": 64}},
        {"train": {"precision": "fp32"}},
        {"train": {"accumulate": 2}},
        {"train": {"clip_norm": 1.0}},
        {"mix": {"mixup": 0.2}},
        {"gpus": 2},
        {"versions": ("2.11",)},
    ]
    assert {key(**parts) for parts in same} == {key()}
    assert len({key(), *(key(**parts) for parts in other)}) == 1 + len(other)
