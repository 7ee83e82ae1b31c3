"""docs/judging.md, "The whole way": from pictures to checked submission files of both tasks, by
real submits, a real worker and real trainers; only smaller."""

import csv
import json
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk
from support.people import draw_people
from support.servers import TestServer
from typer.testing import CliRunner

from schemas.run import Run, State
from schemas.rundir import RunDir
from schemas.source import load
from trainer.entry import by_hand
from trainer.entry.attempt import execute
from trainer.entry.by_hand import app
from trainer.faults import Leave
from trainer.report import Report

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "judging.md").read_text()
STORIES = dict(
    zip(("sketch", "mask"), re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S), strict=True)
)
SMALL = ["train.epochs=1", "data.img_size=32", "data.workers=0", "data.batch_size=16"]
SMALL += ["model.name=test_vit"]
EACH, TESTS = 6, 2  # sketches a class


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_python: Path) -> Iterator[Desk]:
    """A desk at the repository's root, with its data and runs elsewhere."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    server = TestServer(tmp_path / "srv").start()
    desk = Desk(server, tmp_path)
    desk.env |= {"TRAINQ_DATA": "data", "TRAINQ_RUNS": "runs", "TRAINQ_CACHE": "cache"}
    desk.env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "QUICK": str(quick_python)}
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield desk
    desk.close()
    server.kill()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("task", ["sketch", "mask"])
def test_the_whole_way_from_pictures_to_a_submission_file(desk: Desk, task: str) -> None:
    for line in STORIES[task].splitlines():
        tool, *words = shlex.split(line)
        do(desk, tool, words)
    check = check_sketches if task == "sketch" else check_faces
    check(desk)


def do(desk: Desk, tool: str, words: list[str]) -> None:
    """One line of the page."""
    if tool == "export":
        name, value = words[0].split("=")
        assert desk.env[name] == value
    elif tool == "python":
        draw(Path(words[1]))
    elif tool == "publisher":
        submitted = desk.publisher(*words, *SMALL)
        assert submitted.code == 0, submitted.err
    elif tool == "queue":
        shown = desk.queue(*words)
        assert shown.code == 0 and "sketch-folds" in shown.out
    elif tool == "worker":
        command = [sys.executable, "-m", "queue_worker", *words]
        command += ["--trainer-command", f"{desk.env['QUICK']} -m trainer"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    elif words[0] == "train":
        train(words[1], words[2:4], words[5])
    else:
        words = [found for word in words for found in meant(desk, word)]
        marked = CliRunner().invoke(app, words)
        assert marked.exit_code == 0, (words, marked.output)


def meant(desk: Desk, word: str) -> list[str]:
    """A word as a shell passes it on, with the id that the reader puts in."""
    if "SKETCHES" not in word:
        return [word]
    word = word.replace("SKETCHES", gathered(desk).id)
    return [str(path) for path in Path().glob(word)]


def train(file: str, overrides: list[str], out: str) -> None:
    """What `trainer train` does, in this process: a new one would load torch for seconds."""
    config = load(Path(file), [*overrides, *SMALL]).config
    here = Path.cwd()
    order = by_hand.prepare(RunDir(here / out), config, here / "data", here / "cache", 1)
    assert execute(order, Report([]), Leave()) == 0


def draw(out: Path) -> None:
    if out.name == "mask":
        draw_people(out, people=36, answered=2, side=24)
        return
    make = runpy.run_path(str(ROOT / "examples/sketch/sketches.py"))["make"]
    make.__globals__.update(TRAIN_EACH=EACH, TEST_EACH=TESTS)
    make(out)


def gathered(desk: Desk) -> Run:
    """The gather run of the k-fold."""
    found = [desk.door.get(row.id) for row in desk.door.list()]
    [run] = [run for run in found if run.kind == "gather"]
    assert run.state is State.FINISHED, run.error
    return run


def rows(path: Path) -> list[list[str]]:
    with path.open() as file:
        return list(csv.reader(file))


def check_note(path: Path) -> None:
    """Three folds, each its own weights, with flipped views."""
    note = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert len(set(note["runs"].values())) == len(note["runs"]) == 3
    assert note["views"] == ["plain", "hflip"] and note["missing"] == []


def check_sketches(desk: Desk) -> None:
    """Every row of the sample, in its order."""
    folder, run = desk.folder, gathered(desk)
    [path] = folder.glob(f"runs/{run.id}/attempts/1-*/predictions/submission.csv")
    check_note(path)
    mine, sample = rows(path), rows(folder / "data/sketch/sample_submission.csv")
    assert [row[:2] for row in mine] == [row[:2] for row in sample]
    assert mine[0] == ["ID", "image_path", "target"]
    assert len(mine) == 8 * TESTS + 1
    assert run.result["text"].endswith("submission.csv by 3 folds")
    report = folder / "runs" / run.id / "report"
    assert any(path.suffix == ".html" for path in report.iterdir())


def check_faces(desk: Desk) -> None:
    """The competition's table, filled in."""
    path = desk.folder / "faces.csv"
    check_note(path)
    mine, sample = rows(path), rows(desk.folder / "data/mask/eval/info.csv")
    assert mine[0] == ["ImageID", "ans"] and [row[0] for row in mine] == [row[0] for row in sample]
    assert len(mine) == 15 and all(0 <= int(row[1]) < 18 for row in mine[1:])
