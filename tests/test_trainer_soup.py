"""A soup is the mean of weights that began as the same ones, and a run like any other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.judged import draw_place, train_folds, train_run
from typer.testing import CliRunner, Result

from schemas.rundir import RunDir, RunsRoot
from schemas.source import load
from trainer import checkpoint
from trainer.answer import finished, soup
from trainer.entry.by_hand import app
from trainer.judge import predictions

RESNET = {"name": "resnet10t"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one seed with other rates, one of another seed, one of another model, folds."""
    place = draw_place(tmp_path_factory.mktemp("place"))
    for name, rate in (("a", 3e-3), ("b", 1e-3), ("c", 5e-4)):
        train_run(place, name, optim__lr=rate)
    train_run(place, "wild", optim__lr=0.5, train__clip_norm=1.0)
    train_run(place, "other", seed=7)
    for name, rate in (("r1", 2e-3), ("r2", 1e-3)):
        train_run(place, name, model=RESNET, optim__lr=rate, train__epochs=1)
    train_folds(place, "fold", folds=2, train__epochs=1)
    return place


def cook(place: Path, *words: str, out: str = "soup") -> Result:
    runs = [str(place / "runs" / w) if (place / "runs" / w).is_dir() else w for w in words]
    env = {"TRAINQ_DATA": str(place / "data"), "TRAINQ_CACHE": str(place / "cache")}
    env["TRAINQ_RUNS"] = str(place / "runs")
    return CliRunner(env=env).invoke(app, ["soup", *runs, "-o", str(place / "runs" / out)])


def weights(place: Path, name: str) -> dict[str, torch.Tensor]:
    return checkpoint.read(finished.find(place / "runs" / name).weights).weights


def test_the_uniform_soup_is_the_mean_and_is_a_run_like_any_other(place: Path) -> None:
    done = cook(place, "a", "b", "c", out="uniform")
    assert done.exit_code == 0 and "the mean of 3 of 3" in done.stdout, done.output
    each = [weights(place, name) for name in "abc"]
    for name, value in weights(place, "uniform").items():
        wanted = torch.stack([one[name] for one in each]).mean(0)
        torch.testing.assert_close(value, wanted)
    run = finished.find(place / "runs/uniform")
    assert [each["run"] for each in run.meta["soup"]] == ["a", "b", "c"]
    assert load(RunDir(run.folder).config).config.note.startswith("the mean of the weights of a, b")
    said = predictions.of_run(run.folder)
    assert said.names == predictions.of_run(place / "runs/a").names
    answer = ["predict", str(run.folder), "-o", str(place / "s.csv"), "--data", str(place / "data")]
    env = {"TRAINQ_CACHE": str(place / "cache")}
    assert CliRunner(env=env).invoke(app, answer).exit_code == 0
    assert CliRunner().invoke(app, ["score", str(run.folder)]).exit_code == 0


def test_the_greedy_soup_is_no_worse_than_its_best_ingredient(place: Path) -> None:
    done = cook(place, "a", "b", "wild", "--greedy", out="greedy")
    assert done.exit_code == 0, done.output
    said = predictions.of_run(place / "runs/greedy")
    each = [predictions.of_run(place / "runs" / name) for name in ("a", "b", "wild")]
    assert said.scored()[0]["accuracy"] >= max(one.scored()[0]["accuracy"] for one in each)
    taken = finished.find(place / "runs/greedy").meta["soup"]
    assert done.stdout.count("left out") == 3 - len(taken)


def test_batchnorm_learns_the_statistics_of_the_soup(place: Path) -> None:
    assert cook(place, "r1", "r2", out="normal").exit_code == 0
    one, other, both = (weights(place, name) for name in ("r1", "r2", "normal"))
    moving = [name for name in both if name.endswith("running_var")]
    assert moving
    assert any(not torch.allclose(both[n], (one[n] + other[n]) / 2, rtol=1e-2) for n in moving)
    assert np.isfinite(predictions.of_run(place / "runs/normal").probabilities).all()


def test_it_learns_them_from_what_trains_and_from_nothing_else(place: Path) -> None:
    run = finished.find(place / "runs/r1")
    roots = place / "data", RunsRoot(place / "runs"), place / "cache"
    kitchen = soup.kitchen(run, *roots, lambda _: None)
    none = replace(kitchen.parts, validate=kitchen.parts.validate[:0])
    before, net = run.net().state_dict(), run.net()
    soup.relearn_statistics(net, run, replace(kitchen, parts=none))
    moved = [name for name in before if name.endswith("running_mean")]
    assert any(not torch.equal(before[name], net.state_dict()[name].cpu()) for name in moved)


def test_runs_of_other_images_were_not_cut_by_the_same_split(place: Path) -> None:
    run = finished.find(place / "runs/a")
    assert soup.same_split([run, run])
    assert not soup.same_split([run, replace(run, meta={**run.meta, "data": "another"})])


def test_folds_make_a_soup_that_nobody_can_judge(place: Path) -> None:
    done = cook(place, "fold0", "fold1", out="folds")
    assert (
        done.exit_code == 0 and "no image is left that none of them had learnt from" in done.stdout
    )
    scored = CliRunner().invoke(app, ["score", str(place / "runs/folds")])
    assert scored.exit_code == 3 and "had learnt from every image" in scored.stderr


def test_checkpoints_of_one_run_have_a_mean_too(place: Path) -> None:
    folders = [str(finished.find(place / "runs" / name).weights) for name in "ab"]
    assert cook(place, *folders, out="checkpoints").exit_code == 0
    names = [each["run"] for each in finished.find(place / "runs/checkpoints").meta["soup"]]
    assert names == ["best", "best"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["a", "other"], 2, "a and other began with different weights: seed is 42 and 7"),
        (["a", "r1"], 2, "a is a test_vit, r1 a resnet10t"),
        (["a"], 2, "a soup needs at least two runs"),
        (["a", "b", "a"], 2, "the same weights are given twice: a, b, a"),
        (["fold0", "fold1", "--greedy"], 2, "were not cut by the same split"),
        (["a", "nowhere"], 3, "nowhere is no run's folder"),
    ],
)
def test_what_has_no_mean_is_one_line_with_the_reason(
    place: Path, words: list[str], code: int, said: str
) -> None:
    done = cook(place, *words, out="refused")
    assert done.exit_code == code and said in done.stderr.splitlines()[0], done.output
    assert not (place / "runs/refused").exists()


def test_a_run_that_does_not_say_how_it_began_is_refused(place: Path, tmp_path: Path) -> None:
    run = finished.find(place / "runs/a")
    old = checkpoint.read(run.weights)
    meta = {key: value for key, value in old.meta.items() if key != "origin"}
    checkpoint.write(tmp_path / "old", checkpoint.Checkpoint(meta, old.weights))
    done = cook(place, "a", str(tmp_path / "old"), out="refused")
    assert done.exit_code == 2 and "does not say with which weights it began" in done.stderr


def test_a_folder_that_is_there_is_not_written_over(place: Path) -> None:
    done = cook(place, "a", "b", out="a")
    assert done.exit_code == 2 and "is there already" in done.stderr


def test_first_weights_are_known_again_by_seed_and_model(place: Path) -> None:
    origins = {name: finished.find(place / "runs" / name).meta["origin"] for name in ("a", "b")}
    assert origins["a"] == origins["b"] != finished.find(place / "runs/other").meta["origin"]
    assert json.dumps(origins)


def test_the_mean_keeps_counts_and_the_type_of_numbers() -> None:
    one = {"w": torch.tensor([1.0, 2.0], dtype=torch.float16), "n": torch.tensor(3)}
    other = {"w": torch.tensor([3.0, 2.0], dtype=torch.float16), "n": torch.tensor(5)}
    both = soup.mean([one, other])
    assert both["w"].tolist() == [2.0, 2.0] and both["w"].dtype == torch.float16
    assert both["n"] == 3
