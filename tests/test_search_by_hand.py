"""`trainer search`: trials one after the other in a folder that a killed search goes on from."""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.quick import ITS_PYTHON
from support.sketches import draw_sketches
from support.waiting import TORCH_S, overslept, wait_until
from typer.testing import CliRunner

from schemas.components.search import Search
from schemas.rundir import SearchDir
from schemas.search import load_search
from schemas.source import load
from schemas.writing import dump
from trainer.entry.by_hand import app
from trainer.search.by_hand import Leader
from trainer.search.diary import Diary, why_of

PAGE = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text()
FIRST, MORE = (shlex.split(line) for line in re.findall(r"^trainer (search .*)$", PAGE, re.M))
CONFIG = """
model: {name: test_vit}
data: {img_size: 32, batch_size: 4, workers: 0}
train: {epochs: 4, log_every: 2}
search:
  trials: 2
  space:
    - {kind: range, key: optim.lr, low: 1e-4, high: 1e-2, log: true}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    draw_sketches(tmp_path)
    (tmp_path / "sketches.yaml").write_text(CONFIG)
    return tmp_path


def start(desk: Path, words: list[str], python: Path | None = None) -> "subprocess.Popen[str]":
    env = {"OMP_NUM_THREADS": "1", "TRAINQ_CACHE": str(desk / "cache")}
    return subprocess.Popen(
        [python or sys.executable, "-m", "trainer", *words],
        cwd=desk,
        env={**os.environ, **env, **({ITS_PYTHON: str(python)} if python else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_search_that_is_killed_goes_on_with_the_trial_that_it_was_at(
    desk: Path, monkeypatch: pytest.MonkeyPatch, quick_python: Path
) -> None:
    folder = SearchDir(desk / "runs/rates")
    first = start(desk, FIRST)
    wait_until(
        lambda: list(folder.trial(1).attempts.glob("*/metrics.csv")) or first.poll() is not None,
        TORCH_S,
        "an epoch",
    )
    first.send_signal(signal.SIGKILL)
    first.communicate()
    begun, *more = folder.trials.read_text().splitlines()
    if more:
        overslept()
    second = start(desk, FIRST, quick_python)
    out, said = second.communicate(timeout=TORCH_S)
    assert second.returncode == 0, said
    assert folder.trials.read_text().splitlines()[0] == begun
    *ends, best = out.splitlines()
    assert [end.split()[:3] for end in ends] == [
        [f"trial-{number:03}", "done", "accuracy"] for number in (1, 2)
    ]
    assert best.startswith("best: runs/rates/trial-00")
    trials = Diary(folder, Search(), "accuracy").trials()
    assert [len(trial.values) for trial in trials] == [4, 4]
    for number, trial in enumerate(trials, start=1):
        rate = load(folder.trial(number).config).config.optim.lr
        assert trial.over == (f"optim.lr={rate:.4g}",)
    monkeypatch.chdir(desk)
    refused = CliRunner().invoke(app, [*MORE, "optim.weight_decay=0.1"])
    assert refused.exit_code == 2
    assert "runs/rates holds another search" in refused.stderr


def test_a_bad_trial_is_given_up_after_an_epoch_and_stays_so(
    desk: Path, quick_python: Path
) -> None:
    folder = SearchDir(desk / "runs/rates")
    folder.path.mkdir(parents=True)
    for number, accuracy in ((1, 2.0), (2, 2.0)):  # better than any trial can be
        attempt = folder.trial(number).make_attempt("1-0000000a")
        attempt.metrics.write_text(f"epoch,step,accuracy\n1,4,{accuracy}\n2,8,{accuracy}\n")
        attempt.result.write_text('{"token": "1-0000000a", "exit_code": 0}')
    lines = [json.dumps({"over": [f"optim.lr={rate}"]}) for rate in (0.001, 0.002)]
    folder.trials.write_text("\n".join(lines) + '\n{"trial": 2, "ho')  # cut off by a power cut
    search = start(desk, [*MORE, "search.prune_from=1", "train.epochs=400"], quick_python)
    out, said = search.communicate(timeout=TORCH_S)
    assert search.returncode == 0, said
    pruned, best = out.splitlines()
    assert pruned.startswith("trial-003 pruned accuracy")
    assert best.startswith("best: runs/rates/trial-001 accuracy 2")
    assert [trial.state for trial in Diary(folder, Search(), "accuracy").trials()] == [
        "done",
        "done",
        "pruned",
    ]


def test_what_a_folder_cannot_be_led_by_is_one_line(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    folder = SearchDir(desk / "runs/rates")
    folder.path.mkdir(parents=True)
    for text in ("over\n", "[]\n", '{"trial": 1}\n', "7\n"):
        folder.trials.write_text(text)
        refused = CliRunner().invoke(app, FIRST)
        assert refused.exit_code == 2, refused.output
        assert "trials.jsonl line 1 says nothing of a trial" in refused.stderr.splitlines()[0]
    folder.trials.unlink()
    folder.config.write_bytes(
        dump(load_search(desk / "sketches.yaml", FIRST[2:3]).config.canonical())
    )
    with folder.config.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = CliRunner().invoke(app, FIRST)
    assert refused.exit_code == 2, refused.output
    assert "another trainer search leads runs/rates" in refused.stderr.splitlines()[0]
    assert not folder.trials.exists()


def test_a_diary_tells_of_each_trial_what_its_attempts_came_to(tmp_path: Path) -> None:
    folder = SearchDir(tmp_path)
    diary = Diary(folder, Search(), "accuracy")
    codes = {1: (75, 0), 2: (75,), 3: (0, 1), 4: (1, 75), 5: (75, 75)}
    for trial, ends in codes.items():
        assert diary.begin((f"optim.lr={trial}",)) == trial
        for number, code in enumerate(ends, 1):
            attempt = folder.trial(trial).make_attempt(f"{number}-0000000a")
            attempt.metrics.write_text(
                f"epoch,accuracy\n1,0.{number}\n2,{'' if number > 1 else 1}\n"
            )
            attempt.result.write_text(
                json.dumps({"token": "1-0000000a", "exit_code": code, "error": f"of {number}"})
            )
            for file in (attempt.metrics, attempt.result):
                os.utime(file, (number, number))
    diary.give_up(5, "pruned")
    with folder.trials.open("a") as file:
        file.write('{"trial": 1, "how": "praised"}\n')  # as a later version may
        file.write('{"trial": 1, "ho')  # and what a power cut left of it
    found = Diary(folder, Search(), "accuracy")
    states = ["done", "going", "done", "failed", "pruned"]
    assert [trial.state for trial in found.trials()] == states
    assert [trial.over for trial in found.trials()] == [(f"optim.lr={n}",) for n in codes]
    assert [trial.values for trial in found.trials()][:2] == [{1: 0.2}, {1: 0.1, 2: 1.0}]
    assert why_of(folder.trial(3)) == "of 2"
    assert found.begin(("optim.lr=6",)) == 6
    assert len(Diary(folder, Search(), "accuracy").begun) == 6


def test_a_trial_that_failed_says_why_or_where_to_look(desk: Path) -> None:
    leader = Leader(load_search(desk / "sketches.yaml", ()).config, SearchDir(desk / "s"), desk)
    leader.folder.path.mkdir()
    for _ in range(2):
        leader.diary.give_up(leader.diary.begin(("optim.lr=0.1",)), "failed")
    attempt = leader.folder.trial(1).make_attempt("1-0000000a")
    attempt.result.write_text('{"token": "1-0000000a", "exit_code": 3, "error": "no train.csv"}')
    assert leader.line(1) == "trial-001 failed optim.lr=0.1: no train.csv"
    assert leader.line(2) == f"trial-002 failed optim.lr=0.1: see {leader.folder.trial(2).log}"
