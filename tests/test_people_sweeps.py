"""Sweeps, seeds, folds, parents and duplicates: what one submit makes of them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk, fail, finish
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER, TestServer

from queue_worker.queue import Ending
from schemas.errors import ConfigError, UsageError
from schemas.run import Cause, Parent, Run, State, new_nonce
from schemas.source import load, load_cells
from schemas.sweep import Spread, divided

pytestmark = ON_ONE_SERVER

GRID = Spread(lists=True)
SWEEP = """\
model: {name: resnet10t}
train: {epochs: 3}
sweep:
  grid:
    optim.lr: [1e-3, 3e-4]
    seed: [1, 2]
  zip:
    data.batch_size: [32, 64]
    train.accumulate: [1, 2]
"""


@pytest.fixture
def desk(server: TestServer, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(server, tmp_path)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    yield desk
    desk.close()


def batch_submitted(desk: Desk, *words: str) -> tuple[str, list[Run]]:
    """The batch of one submit and its runs as they were planned."""
    answer = desk.publisher("submit", str(desk.config), "--json", *words)
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    return said["batch"]["id"], [desk.door.get(run["id"]) for run in said["runs"]]


def cells(desk: Desk, text: str, *overrides: str, spread: Spread = GRID) -> list[tuple[str, ...]]:
    path = desk.folder / "cells.yaml"
    path.write_text(text)
    return [loaded.cell for loaded in load_cells(path, overrides, spread)]


# ---- cells ---------------------------------------------------------------------------------------


def test_commas_make_a_grid_whose_last_key_moves_fastest(desk: Desk) -> None:
    batch, runs = batch_submitted(desk, "-m", "optim.lr=1e-3,3e-4", "model.name=resnet10t,resnet18")
    assert [(run.config["optim"]["lr"], run.config["model"]["name"]) for run in runs] == [
        (1e-3, "resnet10t"),
        (1e-3, "resnet18"),
        (3e-4, "resnet10t"),
        (3e-4, "resnet18"),
    ]
    assert [run.name for run in runs][:2] == ["resnet10t-lr1e-3", "resnet18-lr1e-3"]
    assert {run.batch for run in runs} == {batch}
    (view,) = desk.door.batches()
    assert (view.card.kind, view.card.total) == ("sweep", 4)
    assert view.card.axes == {"optim.lr": ["1e-3", "3e-4"], "model.name": ["resnet10t", "resnet18"]}


def test_a_sweep_section_makes_every_combination_and_couples_what_it_zips(desk: Desk) -> None:
    found = cells(desk, SWEEP)
    assert len(found) == len(set(found)) == 8
    assert found[0] == (
        "optim.lr=1e-3",
        "seed=1",
        "data.batch_size=32",
        "train.accumulate=1",
    )
    assert {cell[2:] for cell in found} == {
        ("data.batch_size=32", "train.accumulate=1"),
        ("data.batch_size=64", "train.accumulate=2"),
    }


def test_lists_and_quotes_are_values_of_a_grid_and_not_divided(desk: Desk) -> None:
    assert divided("[0.9,0.99],[0.8, 0.9]") == ["[0.9,0.99]", "[0.8, 0.9]"]
    assert divided("'a,b',c") == ["'a,b'", "c"]
    found = cells(desk, "model: {name: resnet10t}\n", "optim.betas=[0.9,0.99],[0.8,0.9]")
    assert found == [("optim.betas=[0.9,0.99]",), ("optim.betas=[0.8,0.9]",)]


@pytest.mark.parametrize("value", ["1e-3,1e-3", "1e-3,"])
def test_a_list_of_which_one_value_is_left_is_that_value(desk: Desk, value: str) -> None:
    answer = desk.publisher("submit", str(desk.config), "-m", f"optim.lr={value}", "--dry-run")
    assert answer.code == 0, answer.err
    assert answer.out.split()[0] == "resnet10t-lr1e-3"


def test_a_comma_without_m_is_refused_with_the_flag_that_divides_it(desk: Desk) -> None:
    answer = desk.publisher("submit", str(desk.config), "optim.lr=1e-3,3e-4")
    assert answer.code == 2
    assert "one override takes one value" in answer.err and "submit -m" in answer.err


@pytest.mark.parametrize(
    ("section", "place", "what"),
    [
        ("sweep: {grid: {optim.lrr: [1, 2]}}", "2:16", "did you mean 'optim.lr'?"),
        ("sweep: {grid: {optim.lr: 1}}", "2:26", "must be a list of values"),
        ("sweep: {grid: {optim.lr: [1, fast]}}", "2:30", "must be a number, got 'fast'"),
        ("sweep: {gird: {optim.lr: [1]}}", "2:9", "a sweep has grid or zip"),
        ("sweep: {}", "2:8", "this sweep varies nothing"),
        ("sweep: [1]", "2:8", "must be a section of keys"),
        ("sweep: {zip: {optim.lr: [1, 2], seed: [1]}}", "2:14", "optim.lr 2, seed 1"),
        ("sweep: {grid: {seed: [1]}, zip: {seed: [2]}}", "2:41", "seed is set twice"),
        ("sweep: {grid: {data.batch_size: [31]}}\nmix: {mixup: 0.2}", "2:34", "must be even"),
    ],
)
def test_a_wrong_sweep_says_where_and_what(desk: Desk, section: str, place: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        cells(desk, f"model: {{name: resnet10t}}\n{section}\n")
    text = "\n".join(caught.value.lines())
    assert f"cells.yaml:{place}" in text and what in text


def test_what_a_sweep_varies_cannot_be_set_beside_it(desk: Desk) -> None:
    answer = desk.publisher("submit", str(desk.folder / "sweep.yaml"), "optim.lr=1e-4")
    assert answer.code == 2 and "optim.lr is set twice" in answer.err
    assert not any(desk.door.counts().values())


def test_one_bad_cell_queues_none_and_every_bad_one_is_named(desk: Desk) -> None:
    words = ("-m", "optim.lr=1e-3,fast", "train.epochs=0,3")
    answer = desk.publisher("submit", str(desk.config), *words)
    assert answer.code == 2
    assert "override: optim.lr=fast" in answer.err and "override: train.epochs=0" in answer.err
    assert not any(desk.door.counts().values())


def test_a_sweep_file_is_no_config_of_one_run(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="describes a sweep") as caught:
        load(desk.folder / "sweep.yaml")
    assert "this file describes a sweep" in "\n".join(caught.value.lines())


def test_a_sweep_that_is_far_too_large_is_refused(desk: Desk) -> None:
    many = ",".join(map(str, range(300)))
    with pytest.raises(UsageError, match="90000 runs"):
        cells(desk, "model: {name: resnet10t}\n", f"seed={many}", f"data.workers={many}")


def test_validate_shows_the_cells(desk: Desk) -> None:
    answer = desk.publisher("validate", str(desk.folder / "sweep.yaml"))
    assert answer.out.splitlines()[0].endswith("sweep.yaml: 8 runs")
    assert len(answer.out.splitlines()) == 9
    said = json.loads(desk.publisher("validate", str(desk.folder / "sweep.yaml"), "--json").out)
    assert len(said["files"][0]["cells"]) == 8


# ---- seeds and folds -----------------------------------------------------------------------------


def test_seeds_begin_with_the_configs_own(desk: Desk) -> None:
    _, runs = batch_submitted(desk, "--seeds", "3", "seed=7")
    assert [run.config["seed"] for run in runs] == [7, 8, 9]
    assert len({run.digest for run in runs}) == 1
    assert desk.door.batches()[0].card.kind == "seeds"


def test_folds_are_runs_of_one_split_and_a_summary_that_waits_for_all(desk: Desk) -> None:
    _, runs = batch_submitted(desk, "--folds", "3")
    folds, summary = runs[:3], runs[3]
    splits = [run.config["data"]["split"] for run in folds]
    assert [(s["kind"], s["folds"], s["fold"]) for s in splits] == [
        ("kfold", 3, n) for n in range(3)
    ]
    assert [run.fold for run in folds] == [0, 1, 2]
    assert (summary.kind, summary.state) == ("gather", State.WAITING)
    assert summary.after == tuple(Parent(id=fold.id, on="any") for fold in folds)
    assert [run.name for run in runs] == [
        "resnet10t-fold0",
        "resnet10t-fold1",
        "resnet10t-fold2",
        "resnet10t",
    ]
    fail(desk.door, claim(desk.door))
    for _ in range(2):
        finish(desk.door, claim(desk.door))
    assert claim(desk.door).run.id == summary.id


def test_every_cell_of_a_grid_of_folds_has_its_own_summary(desk: Desk) -> None:
    _, runs = batch_submitted(desk, "-m", "optim.lr=1e-3,3e-4", "--folds", "2")
    summaries = [run for run in runs if run.kind == "gather"]
    assert len(runs) == 6 and len(summaries) == 2
    for summary in summaries:
        parents = [desk.door.get(parent.id) for parent in summary.after]
        assert {run.config["optim"]["lr"] for run in parents} == {summary.config["optim"]["lr"]}


def test_only_the_failed_cells_of_a_batch_are_tried_again_with_a_new_summary(desk: Desk) -> None:
    batch, runs = batch_submitted(desk, "--folds", "2", "--max-parallel", "1")
    fail(desk.door, claim(desk.door))
    finish(desk.door, claim(desk.door))
    finish(desk.door, claim(desk.door))  # the summary, of one fold
    answer = desk.publisher("retry", "--failed", "-b", batch, "--json")
    assert answer.code == 0, answer.err
    fold, summary = (desk.door.get(run["id"]) for run in json.loads(answer.out)["runs"])
    assert (fold.retry_of, fold.fold, fold.batch) == (runs[0].id, 0, batch)
    assert summary.retry_of == runs[2].id and summary.state is State.WAITING
    assert {parent.id for parent in summary.after} == {fold.id, runs[1].id}
    again = desk.publisher("retry", "--failed", "-b", batch)
    assert again.code == 1 and "nothing of batch" in again.err
    assert desk.publisher("retry", "--failed", "-b", "zzz").code == 3
    assert desk.publisher("retry", "--failed").code == 2


# ---- needs and parents ---------------------------------------------------------------------------


def test_flags_of_place_and_time_stand_in_the_record(desk: Desk) -> None:
    words = ("--on", "gpu1:0", "--gpus", "2", "--memory", "12GB", "--time-limit", "8h")
    run = desk.door.get(desk.submit(*words))
    assert (run.needs_host, run.gpus, run.memory_mb, run.time_limit_s) == (
        "gpu1:0",
        2,
        12 * 1024,
        8 * 3600,
    )


def test_a_retry_keeps_what_the_run_needs_and_may_have_more_time(desk: Desk) -> None:
    old = desk.submit("--on", "v100", "--gpus", "1", "--memory", "8GB", "--time-limit", "1h")
    fail(desk.door, claim(desk.door), Cause.TIMEOUT)
    new = desk.door.get(
        desk.publisher("retry", old, "--time-limit", "2h", "--print-id").out.strip()
    )
    assert (new.needs_host, new.memory_mb, new.time_limit_s) == ("v100", 8192, 7200)
    third = desk.door.get(desk.publisher("retry", old, "--print-id").out.strip())
    assert third.time_limit_s == 3600


@pytest.mark.parametrize(
    "words", [("--memory", "lots"), ("--time-limit", "8"), ("--after", "@last:soon")]
)
def test_flags_that_say_nothing_are_refused_in_one_line(desk: Desk, words: tuple[str, ...]) -> None:
    desk.submit()
    answer = desk.publisher("submit", str(desk.config), "--again", *words)
    assert answer.code == 2 and words[0] in answer.err and "Traceback" not in answer.err
    assert desk.door.counts()[State.QUEUED] == 1


def test_a_run_after_another_waits_for_it(desk: Desk) -> None:
    first = desk.submit()
    answer = desk.publisher("submit", str(desk.config), "--again", "--after", "@last:any")
    child = desk.door.get(answer.out.split()[0])
    assert child.state is State.WAITING and "waiting" in answer.out
    assert child.after == (Parent(id=first, on="any"),)
    missing = desk.publisher("submit", str(desk.config), "--again", "--after", "zzzzzz")
    assert missing.code == 3 and "no run 'zzzzzz'" in missing.err


def test_no_more_runs_of_a_batch_at_a_time_than_asked(desk: Desk) -> None:
    batch_submitted(desk, "--seeds", "3", "--max-parallel", "1")
    claim(desk.door)
    assert desk.door.claim(a_worker("v100:1"), new_nonce()) is None


# ---- many ----------------------------------------------------------------------------------------


def test_more_than_twenty_are_shown_and_need_a_yes(desk: Desk) -> None:
    words = ("submit", str(desk.config), "--seeds", "21")
    refused = desk.publisher(*words)
    assert refused.code == 2 and "--yes" in refused.err
    assert "21 runs would be queued" in refused.err
    assert not any(desk.door.counts().values())
    assert desk.publisher(*words, "--yes").code == 0
    assert desk.door.counts()[State.QUEUED] == 21


def test_a_batch_is_told_in_one_line(desk: Desk) -> None:
    answer = desk.publisher("submit", str(desk.config), "--folds", "5")
    (line,) = answer.out.splitlines()
    batch = desk.door.batches()[0].card.id
    assert line.split("  ") == [batch, "resnet10t", "5 folds and 1 summary", "queued, next"]
    assert f"queue list -b {batch}" in answer.err


# ---- duplicates ----------------------------------------------------------------------------------


def test_the_same_experiment_again_is_refused_and_says_what_came_of_it(desk: Desk) -> None:
    first = desk.submit()
    finish(desk.door, claim(desk.door))
    answer = desk.publisher("submit", str(desk.config), "--name", "other", "--priority", "3")
    assert answer.code == 2
    assert f"same as {first} of ana, finished, " in answer.err and "--again" in answer.err
    assert desk.door.counts()[State.QUEUED] == 0
    assert desk.publisher("submit", str(desk.config), "--again").code == 0


def test_another_seed_is_no_duplicate_and_says_whose_it_resembles(desk: Desk) -> None:
    first = desk.submit()
    answer = desk.publisher("submit", str(desk.config), "seed=7")
    assert answer.code == 0
    assert f"differs only in its seed from {first} of ana, queued" in answer.err


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_what_did_not_finish_is_no_answer(desk: Desk, end: str) -> None:
    run_id = desk.submit()
    claimed = claim(desk.door)
    cause = Cause(end) if end == "cancelled" else Cause.CODE
    desk.door.end(run_id, claimed.token, Ending(state=State(end), cause=cause, by="ana"))
    assert desk.publisher("submit", str(desk.config)).code == 0


def test_other_code_may_give_another_result(desk: Desk) -> None:
    run_id = desk.submit()
    with desk.server.client() as connection:
        connection.hset(f"trainq:run:{run_id}", "code", "older")
    answer = desk.publisher("submit", str(desk.config))
    assert answer.code == 0 and "differs only in the code" in answer.err


def test_of_a_sweep_only_what_is_new_is_queued_and_a_summary_takes_what_is_there(
    desk: Desk,
) -> None:
    _, before = batch_submitted(desk, "--folds", "2")
    for run in before[:1]:
        desk.queue("cancel", run.id)
    answer = desk.publisher("submit", str(desk.config), "--folds", "2", "--json")
    assert answer.code == 0 and "1 of 2 runs are known" in answer.err
    fold, summary = (desk.door.get(run["id"]) for run in json.loads(answer.out)["runs"])
    assert fold.fold == 0 and summary.kind == "gather"
    assert {parent.id for parent in summary.after} == {fold.id, before[1].id}
    again = desk.publisher("submit", str(desk.config), "--folds", "2")
    assert again.code == 2 and "all 2 runs are known" in again.err
