"""Folds become one result: never over fewer than were asked for without saying so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.judged import draw_place, gather, small, train_folds
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, tiny, train
from typer.testing import CliRunner

from schemas.events import ExitCode, Part
from schemas.result import Result
from schemas.run import Cause, State
from schemas.rundir import AttemptDir, RunDir
from trainer.answer.gather import sum_up
from trainer.entry.by_hand import app
from trainer.faults import DataFault, Leave
from trainer.judge import predictions

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


# ---- answers to the test set ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def folds(place: Path) -> list[Part]:
    return train_folds(place, "fold")


def test_the_folds_answer_the_test_set_together(place: Path, folds: list[Part]) -> None:
    """As `trainer predict` with the same runs does, each with its own weights."""
    result, attempt = gather(place, "all", folds, predict={"tta": ["hflip"], "vote": "hard"})
    assert result.facts["text"].endswith(", submission.csv by 3 folds")
    mine = attempt.predictions / "submission.csv"
    note = json.loads(mine.with_name("submission.csv.json").read_text())
    assert (note["views"], note["vote"], note["missing"]) == (["plain", "hflip"], "hard", [])
    assert len(set(note["runs"].values())) == 3
    out, runs = place / "by_hand.csv", [str(place / "runs" / part.run) for part in folds]
    words = ["predict", *runs, "-o", str(out), "--tta", "hflip", "--vote", "hard"]
    env = {"TRAINQ_DATA": str(place / "data"), "TRAINQ_CACHE": str(place / "cache")}
    assert CliRunner(env=env).invoke(app, words).exit_code == 0
    assert mine.read_text() == out.read_text()
    assert not (attempt.path / ".answers").exists()


def test_answers_of_fewer_folds_say_so(place: Path, folds: list[Part]) -> None:
    result, attempt = gather(place, "fewer", [*folds[:2], lost(2, State.FAILED)])
    assert "2 of 3 folds, missing 2 (failed)" in result.facts["text"]
    assert result.facts["text"].endswith("submission.csv by 2 of 3 folds")
    note = json.loads((attempt.predictions / "submission.csv.json").read_text())
    assert note["missing"] == ["fold0 and 1 more lacks fold 2"]
    marked = CliRunner().invoke(app, ["score", str(place / "runs/fewer")])
    assert "incomplete: " in marked.stdout and max(map(len, marked.stdout.splitlines())) <= 80
    assert "2 of 3 folds, missing 2 (failed)" in " ".join(marked.stdout.split())
    whole = json.loads(
        CliRunner().invoke(app, ["score", str(place / "runs/fold0"), "--json"]).stdout
    )
    assert whole["incomplete"] == ""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"data": small(test={"root": "nowhere"})}, "no submission.csv: cannot read"),
        ({"predict": {"weights": [1, 2]}}, "predict.weights has 2 numbers for 1 member"),
    ],
    ids=["no test set", "weights"],
)
def test_what_was_measured_stays_when_there_can_be_no_answers(
    place: Path, folds: list[Part], wrong: dict[str, Any], said: str
) -> None:
    result, attempt = gather(place, f"without{len(said)}", folds, **wrong)
    assert result.exit_code == ExitCode.FINISHED and "oof_accuracy" in result.metrics
    assert said in result.facts["text"] and not (attempt.predictions / "submission.csv").exists()


def test_a_fold_of_another_host_is_missed(place: Path, folds: list[Part]) -> None:
    away = folds[2].model_copy(update={"run": "elsewhere"})
    result, _ = gather(place, "away", [*folds[:2], away])
    assert "no submission.csv: weights of 2 are not on this host" in result.facts["text"]


def test_a_gathering_leaves_when_it_is_asked_to(place: Path, folds: list[Part]) -> None:
    leave = Leave()
    leave.ask("drain")
    result, _ = gather(place, "leaves", folds, leave=leave)
    assert result.exit_code == ExitCode.SAVED


def test_the_next_attempt_of_a_gathering_takes_over_what_was_answered(
    place: Path, folds: list[Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.answer import predict as work

    made, asked, leave = work.answers_of, [], Leave()

    def counted(run, net, images, which, *more):  # type: ignore[no-untyped-def]
        asked.append((run.name, int(which[0])))
        for batch in made(run, net, images, which, *more):
            if len(asked) == 2:
                leave.ask("drain")
            yield batch

    monkeypatch.setattr(work, "answers_of", counted)
    result, _ = gather(place, "again", folds, leave=leave)
    assert result.exit_code == ExitCode.SAVED
    result, attempt = gather(place, "again", folds)
    assert result.exit_code == ExitCode.FINISHED
    names = [part.run for part in folds]
    assert asked == [(names[0], 0), (names[1], 0), (names[1], 4), (names[2], 0)]
    _, other = gather(place, "unbroken", folds)
    submission = attempt.predictions / "submission.csv"
    assert submission.read_bytes() == (other.predictions / "submission.csv").read_bytes()
    RunDir(place / "runs/again").drop_checkpoints()
    assert not list((place / "runs/again").rglob(".answers"))
