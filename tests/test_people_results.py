"""results, compare and export: what came out, with its spread, its failures and its cost."""

import csv
import importlib.util
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.desk import Answer, Desk, fail, finish
from support.runs import a_run, claim
from support.servers import ON_ONE_SERVER, TestServer

from queue_worker.queue import BatchCard
from schemas.run import Run, new_id

pytestmark = ON_ONE_SERVER
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def desk(server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(server, tmp_path)


IDS = [f"{a}{b}" for a in "abcdefgh" for b in ("00000", "11111", "22222")]


def an_experiment(
    desk: Desk, name: str, values: list[float | str], ids: Iterator[str], **config: Any
) -> str:
    """A k-fold of one config: a number finishes a fold, a text fails it, '' leaves it queued."""
    card = BatchCard(id=new_id(), name=name, user="ana", kind="folds", total=len(values))
    runs = [
        a_run(
            id=next(ids),
            name=f"{name}-fold{fold}",
            batch=card.id,
            fold=fold,
            config={"seed": 0, "data": {"split": {"fold": fold}}, **config},
        )
        for fold in range(len(values))
    ]
    desk.door.submit(runs, card)
    for value in values:
        if isinstance(value, float):
            finish(desk.door, claim(desk.door), value=value, macro_f1=round(value - 0.1, 4))
        elif value:
            fail(desk.door, claim(desk.door), error=value)
    return card.id


def three(desk: Desk) -> list[str]:
    """Two k-folds and a third whose folds failed or wait."""
    ids = iter(IDS)
    return [
        an_experiment(
            desk, "resnet", [0.90, 0.92, 0.94], ids, model={"name": "resnet18"}, optim={"lr": 0.001}
        ),
        an_experiment(
            desk,
            "vit",
            [0.95, "CUDA out of memory at trainer/loop.py:88"],
            ids,
            model={"name": "vit_small_patch16_224"},
            optim={"lr": 0.0003},
        ),
        an_experiment(
            desk,
            "conv",
            ["no such file: train.csv", ""],
            ids,
            model={"name": "convnext_tiny"},
            optim={"lr": 0.001},
        ),
    ]


def assert_golden(answer: Answer, name: str, width: int) -> None:
    assert answer.code == 0, answer.err
    assert answer.out == (GOLDEN / f"{name}_{width}.txt").read_text()
    assert max(map(len, answer.out.splitlines())) <= width


@pytest.mark.parametrize("width", [80, 120])
def test_experiments_side_by_side(desk: Desk, width: int) -> None:
    three(desk)
    words = ("compare", "resnet", "vit", "conv")
    assert_golden(desk.queue(*words, COLUMNS=str(width)), "queue_compare", width)


@pytest.mark.parametrize("width", [80, 120])
def test_experiments_as_a_ranking(desk: Desk, width: int) -> None:
    three(desk)
    assert_golden(desk.queue("results", "--mean", COLUMNS=str(width)), "queue_results_mean", width)


@pytest.mark.parametrize("words", ["compare resnet vit conv", "results --mean", "results"])
def test_colour_changes_no_character_and_no_color_wins(desk: Desk, words: str) -> None:
    three(desk)
    plain = desk.queue(*words.split()).out
    painted = desk.queue(*words.split(), FORCE_COLOR="1").out
    assert painted != plain and re.sub(r"\x1b\[\d+m", "", painted) == plain
    assert desk.queue(*words.split(), FORCE_COLOR="1", NO_COLOR="1").out == plain


@pytest.mark.parametrize("names", [5, 9])
def test_more_experiments_than_fit_stand_in_blocks_below_each_other(desk: Desk, names: int) -> None:
    ids = iter(IDS)
    for number in range(names):
        an_experiment(desk, f"exp{number}", [0.5 + number / 100], ids, optim={"lr": float(number)})
    words = [f"exp{number}" for number in range(names)]
    said = desk.queue("compare", *words, COLUMNS="80").out
    assert max(map(len, said.splitlines())) <= 80
    heads = [line for line in said.splitlines() if line.split() and line.split()[0] in IDS]
    assert " ".join(heads).split() == IDS[:names][::-1] and len(heads) == -(-names // 3)


def test_a_kfold_is_called_by_its_own_name(desk: Desk) -> None:
    """The first fold's name stood for the whole of it."""
    an_experiment(desk, "resnet", [0.9, 0.8], iter(IDS))
    said = desk.queue("results", "--mean").out
    assert " resnet\n" in said and "fold0" not in said


def test_a_comparison_for_programs_has_mean_spread_and_number(desk: Desk) -> None:
    three(desk)
    read = json.loads(desk.queue("compare", "resnet", "vit", "conv", "--json").out)
    vit, resnet, conv = read["experiments"]
    assert (vit["n"], vit["of"], vit["missing"]) == (1, 2, "b11111")
    assert vit["metrics.accuracy"] == 0.95 and vit["metrics.accuracy.spread"] is None
    assert round(resnet["metrics.accuracy.spread"], 6) == 0.02 and resnet["n"] == 3
    assert conv["n"] == 0 and conv["config.model.name"] == "convnext_tiny"
    by_f1 = desk.queue("compare", "resnet", "vit", "--sort", "macro_f1", "-o", "csv").out
    rows = list(csv.DictReader(io.StringIO(by_f1)))
    assert [row["config.optim.lr"] for row in rows] == ["0.0003", "0.001"]
    assert desk.queue("compare", "resnet", "vit", "-o", "md").out.startswith(
        "| experiment | runs |"
    )
    assert desk.queue("compare", "resnet", "vit", "-o", "id").out.split() == [*IDS[3:5], *IDS[:3]]


def test_two_runs_of_one_config_differ_in_their_seed(desk: Desk) -> None:
    runs = [desk.submit(f"seed={seed}") for seed in (1, 2)]
    for value in (0.5, 0.6):
        finish(desk.door, claim(desk.door), value=value, lr=value / 1000)
    said = desk.queue("compare", *runs).out.splitlines()
    assert said[0].split() == runs[::-1]
    assert ["seed", "2", "1"] in [row.split() for row in said]
    assert ["accuracy", "0.600", "*", "0.500"] in [row.split() for row in said]
    assert ["lr", "6.00e-04", "5.00e-04"] in [row.split() for row in said], "no rate is the best"
    assert said[-1].startswith("one run each: --seeds or --folds")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("resnet",), 2, "nothing to compare"),
        ((), 2, ""),
        (("--sort", "accuracy"), 2, "nothing was named"),
        (("resnet", "nonsense"), 3, "there is no run 'nonsense'"),
        (("resnet", "-b", "nonsense"), 3, "there is no batch 'nonsense'"),
        (("resnet", "vit", "--sort", "auc"), 2, "--sort accuracy | macro_f1"),
    ],
)
def test_a_comparison_of_nothing_is_refused(
    desk: Desk, words: tuple[str, ...], code: int, said: str
) -> None:
    three(desk)
    answer = desk.queue("compare", *words)
    assert answer.code == code and said in answer.err and not answer.out


def test_what_a_retry_replaces_is_counted_once_and_paid_for_twice(desk: Desk) -> None:
    batch = an_experiment(desk, "resnet", ["it broke", 0.9], iter(IDS))
    old = desk.door.get(IDS[0])
    desk.door.submit([a_run(id=IDS[5], batch=batch, fold=0, config=old.config, retry_of=old.id)])
    other = {**old.config, "optim": {"lr": 0.5}}
    desk.door.submit([a_run(id=IDS[6], batch=batch, fold=0, config=other, retry_of=old.id)])
    finish(desk.door, claim(desk.door))
    read = json.loads(desk.queue("results", "-b", batch, "--json").out)["experiments"]
    assert [run["id"] for run in read[0]["runs"]] == [IDS[5], IDS[1]] and read[0]["n"] == 2
    spent = [desk.door.get(run_id).ran_s for run_id in (IDS[0], IDS[1], IDS[5])]
    assert read[0]["gpu_hours"] == round(sum(spent) / 3600, 4)
    assert [run["id"] for run in read[1]["runs"]] == [IDS[6]]


# ---- export --------------------------------------------------------------------------------------


def test_an_export_has_a_row_for_every_run_and_a_column_for_every_fact(desk: Desk) -> None:
    three(desk)
    rows = list(csv.DictReader(io.StringIO(desk.queue("export").out)))
    assert sorted(row["id"] for row in rows) == IDS[:7]
    row = next(row for row in rows if row["id"] == "a00000")
    assert (row["state"], row["fold"], row["seed"]) == ("finished", "0", "0")
    assert (row["config.model.name"], row["metrics.accuracy"]) == ("resnet18", "0.9")
    assert float(row["gpu_hours"]) >= 0 and row["started_at"].endswith("Z")
    names = list(rows[0])
    assert names.index("config.seed") > names.index("error")
    assert names.index("metrics.accuracy") > names.index("config.optim.lr")


def test_an_export_can_be_of_a_selection_in_every_format(desk: Desk) -> None:
    batch, *_ = three(desk)
    jsonl = desk.queue("export", "-b", batch, "-o", "jsonl").out.splitlines()
    assert sorted(json.loads(row)["id"] for row in jsonl) == IDS[:3]
    md = desk.queue("export", "b00000", "-o", "md").out.splitlines()
    assert len(md) == 3 and md[2].startswith("| b00000 | vit-fold0 | finished |")
    assert desk.queue("export", "-s", "failed", "-o", "csv").out.count("\n") == 3
    assert desk.queue("export", "--mine", TRAINQ_USER="bo").out == ""


def test_an_export_to_a_file_takes_its_format_from_the_name(desk: Desk) -> None:
    three(desk)
    answer = desk.queue("export", "--to", "runs.jsonl")
    assert answer.out == "" and answer.err == "7 runs in runs.jsonl\n"
    assert len((desk.folder / "runs.jsonl").read_text().splitlines()) == 7
    answer = desk.queue("export", "--to", "nowhere/runs.csv")
    assert answer.code == 1 and "no such file or directory" in answer.err


def test_a_name_cannot_break_a_markdown_table(desk: Desk) -> None:
    desk.door.submit([a_run(name="a|b\nc\x1b[2J")])
    said = desk.queue("export", "-o", "md").out.splitlines()
    assert len(said) == 3 and "a\\|b c" in said[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "runs.xlsx"), "its end says no format"),
        (("-o", "parquet"), "parquet is no text"),
        (("-s", "runing"), "did you mean running?"),
        (("-o", "xml"), "'csv'"),
    ],
)
def test_an_export_that_makes_no_sense_is_refused(
    desk: Desk, words: tuple[str, ...], said: str
) -> None:
    answer = desk.queue("export", *words)
    assert answer.code == 2 and said in answer.err and not list(desk.folder.glob("runs*"))


def test_parquet_is_written_where_pyarrow_is_and_says_how_to_get_it_elsewhere(desk: Desk) -> None:
    three(desk)
    desk.door.submit([a_run(config={"seed": 1, "data": {"mean": [0.5, 0.5]}, "note": "x"})])
    odd = {"data": {"mean": "auto"}, "note": 3, "large": 2**70}
    desk.door.submit([a_run(config={"seed": 1, **odd})])
    answer = desk.queue("export", "--to", "runs.parquet")
    if importlib.util.find_spec("pyarrow") is None:
        assert answer.code == 1 and "pip install 'trainq[parquet]'" in answer.err
        assert not (desk.folder / "runs.parquet").exists()
        return
    import pandas

    assert answer.code == 0, answer.err
    table = pandas.read_parquet(desk.folder / "runs.parquet").set_index("id")
    assert len(table) == 9 and table.loc["a00000", "metrics.accuracy"] == 0.9
    assert set(table["config.data.mean"].dropna()) == {"[0.5, 0.5]", "auto"}
    assert set(table["config.large"].dropna()) == {str(2**70)}
    assert str(table["submitted_at"].dtype).startswith("datetime64")


def test_a_run_of_this_machine_has_its_commit(desk: Desk) -> None:
    run: Run = desk.door.get(desk.submit())
    claimed = claim(desk.door)
    folder = desk.folder / "runs" / run.id / "attempts" / claimed.token
    folder.mkdir(parents=True)
    told = {"code": {"commit": "0123456789abcdef"}}
    (folder / "environment.json").write_text(json.dumps(told))
    row = json.loads(desk.queue("export", "-o", "jsonl").out)
    assert row["git"] == "0123456789ab"
