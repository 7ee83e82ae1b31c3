"""docs/judging.md: every command of the page runs, in its order, on small drawn images."""

import re
import shlex
from pathlib import Path

import pytest
from support.judged import draw_place, gather, small, train_folds, train_run
from typer.testing import CliRunner

from schemas.components.predict import Predict
from schemas.source import read
from trainer.entry.by_hand import app

PAGE = (Path(__file__).parents[1] / "docs" / "judging.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the page speaks of."""
    place = draw_place(tmp_path_factory.mktemp("judging"))
    (place / "sketch.yaml").write_text("model: {name: test_vit}\ndata: {source: {root: sketch}}\n")
    gather(place, "folds", train_folds(place, "fold"))
    train_folds(place, "wide", data=small(img_size=48))
    for name, rate in (("rate1", 1e-3), ("rate2", 2e-3)):
        train_run(place, name, optim__lr=rate, train__epochs=1)
    for task in ("mask", "gender", "age"):
        source = {"kind": "mask", "root": "mask", "task": task}
        data = small(source=source, test={"root": "mask/eval"}, batch_size=32)
        train_run(place, task, data=data, train__epochs=1)
    return place


def test_every_row_of_ways_to_vote_is_understood() -> None:
    rows = [row.split() for row in re.findall(r"\| `(predict\.[^`]+)` \|", PAGE)]
    assert len(rows) == 7
    for row in rows:
        predict = read("model: {name: test_vit}", "a.yaml", row).config.predict
        assert (predict == Predict()) == (row == ["predict.vote=soft"])


def test_every_command_of_the_page_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    env = {"TRAINQ_DATA": "data", "TRAINQ_RUNS": "runs", "TRAINQ_CACHE": "cache"}
    assert LINES
    for line in LINES:
        tool, *words = shlex.split(line)
        assert tool == "trainer"
        done = CliRunner(env=env).invoke(app, words)
        assert done.exit_code == 0, (line, done.output)


def test_the_links_of_the_page_lead_somewhere() -> None:
    heads = re.findall(r"^#+ (.+)$", PAGE, re.M)
    anchors = {re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads}
    assert set(re.findall(r"\(#([^)]+)\)", PAGE)) <= anchors
