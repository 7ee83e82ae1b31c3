"""Folds become one result: never over fewer than were asked for without saying so."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, tiny, train

from schemas.events import ExitCode, Part
from schemas.result import Result
from schemas.run import Cause, State
from schemas.rundir import AttemptDir
from trainer import predictions
from trainer.faults import DataFault
from trainer.gather import sum_up

TINY_DATA = {"img_size": 32, "batch_size": 4, "workers": 0}


def fold(number: int | None, accuracy: float = 0.5, **more: Any) -> Part:
    said = {"run": f"run{number}", "state": State.FINISHED, "metric": "accuracy", "split": "s1"}
    metrics = {"accuracy": accuracy, "loss": 1 - accuracy}
    return Part(**{**said, "fold": number, "folds": 3, "metrics": metrics, "data": "d", **more})


def lost(number: int, state: State | None) -> Part:
    return Part(run=f"run{number}", state=state, fold=number, folds=3)


def test_folds_have_a_mean_and_a_spread() -> None:
    summary = sum_up([fold(0, 0.5), fold(1, 0.6), fold(2, 0.7)])
    assert summary.values == pytest.approx(
        {"accuracy": 0.6, "accuracy_std": 0.1, "loss": 0.4, "loss_std": 0.1, "n": 3, "of": 3}
    )
    assert summary.best and summary.best.value == pytest.approx(0.6)
    assert summary.text == "accuracy 0.6 ± 0.1, 3 folds"


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ([lost(2, State.FAILED)], "2 of 3 folds, missing 2 (failed)"),
        ([lost(2, None)], "2 of 3 folds, missing 2 (no record)"),
        ([], "2 of 3 folds, missing 2 (no run)"),
        ([fold(2, metrics={})], "2 of 3 folds, missing 2 (finished)"),
    ],
)
def test_a_missing_fold_is_named_and_counted(rest: list[Part], said: str) -> None:
    summary = sum_up([fold(0), fold(1), *rest])
    assert summary.text == f"accuracy 0.5 ± 0, {said}"
    assert (summary.values["n"], summary.values["of"]) == (2, 3)


def test_runs_that_are_no_folds_may_be_cut_in_other_ways() -> None:
    seeds = [fold(None, 0.5, folds=0), fold(None, 0.7, folds=0, run="other", split="s2")]
    assert sum_up(seeds).text == "accuracy 0.6 ± 0.141, 2 runs"
    gone = Part(run="third", state=State.CANCELLED)
    assert sum_up([*seeds, gone]).text.endswith("2 of 3 runs, missing third (cancelled)")


def test_one_fold_has_no_spread_and_other_metrics_no_best() -> None:
    alone = sum_up([fold(0), lost(1, State.FAILED), lost(2, State.SKIPPED)])
    assert "accuracy_std" not in alone.values and " ± " not in alone.text
    assert sum_up([fold(0), fold(1, metric="loss"), fold(2)]).best is None


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (
            [fold(0), fold(1, split="s2")],
            "run0 and run1 were not cut by the same split (s1 and s2)",
        ),
        ([fold(0), fold(1, split="")], "(s1 and unknown)"),
        ([fold(0), fold(1, data="e")], "run0 and run1 did not read the same data"),
        ([fold(0), fold(0, run="twin")], "fold 0 is there 2 times: run0, twin"),
        ([fold(0), fold(None)], "only one of run0 and runNone is a fold"),
        ([lost(0, State.FAILED)], "nothing to gather: no run finished (0 (failed), 1 (no run), 2"),
        ([], "nothing to gather"),
    ],
)
def test_what_cannot_be_summed_up_is_refused(parts: list[Part], problem: str) -> None:
    with pytest.raises(DataFault, match=re.escape(problem)):
        sum_up(parts)


def test_trained_folds_are_gathered_in_an_attempt_of_their_own(tmp_path: Path) -> None:
    data, parts = draw_sketches(tmp_path / "data"), []
    for number in range(2):
        split = {"kind": "kfold", "folds": 2, "fold": number}
        config = tiny(train__epochs=1, data={**TINY_DATA, "split": split})
        order = order_for(tmp_path / f"fold{number}", data, config, runs_root=str(tmp_path))
        result = train(order)
        facts = {name: result.facts[name] for name in ("split", "data", "weights")}
        parts.append(fold(number, run=order.run, folds=2, metrics=result.metrics, **facts))
    assert len(list((tmp_path / "splits").iterdir())) == 1
    root = {"runs_root": str(tmp_path)}
    order = order_for(tmp_path / "all", data, tiny(), kind="gather", parts=parts, **root)
    gathered = train(order)
    values = [part.metrics["accuracy"] for part in parts]
    mean = sum(values) / 2
    assert (gathered.exit_code, gathered.metrics["n"]) == (ExitCode.FINISHED, 2)
    assert gathered.best and gathered.best.value == pytest.approx(mean)
    assert gathered.facts["split"] == parts[0].split and "2 folds" in gathered.facts["text"]
    check_out_of_fold(folder_of(order), gathered, parts)
    moved = [part.model_copy(update={"run": "elsewhere"}) for part in parts[1:]]
    alone = order_for(
        tmp_path / "all", data, tiny(), kind="gather", parts=parts[:1] + moved, **root
    )
    assert "predictions of 1 are not on this host" in train(alone).facts["text"]
    refused = train(order_for(tmp_path / "all", data, tiny(), kind="gather", parts=()))
    assert (refused.exit_code, refused.cause) == (ExitCode.DATA, Cause.DATA)


def check_out_of_fold(attempt: AttemptDir, gathered: Result, parts: list[Part]) -> None:
    """Every image once, said by the model that had not seen it, and scored as the folds were."""
    together = predictions.read(attempt.predictions / "out_of_fold.npz")
    assert len(together.names) == len(set(together.names)) == 24
    sizes = [12, 12]
    mean = sum(n * part.metrics["accuracy"] for n, part in zip(sizes, parts, strict=True)) / 24
    assert gathered.metrics["oof_accuracy"] == pytest.approx(mean)
    assert "out of fold" in gathered.facts["text"]
    table = (attempt.predictions / "out_of_fold.csv").read_text().splitlines()
    assert table[0] == "image,target,answer,confidence" and len(table) == 25
