"""Every verb as a pipe gets it, at 80 and 120 columns, and as a terminal shows it, also colourless.

What is written down is in tests/golden/verbs_*.txt; GOLDEN=write writes it again, to look at. Not
here: `publisher doctor` and `worker doctor`, which tell of this machine, `publisher preflight`,
which becomes another program, and `watch` on a terminal; each has tests of its own.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from support.desk import Desk, fail, finish, lines, save
from support.golden import FOLDER
from support.runs import a_worker, claim
from support.servers import TestServer
from support.transcript import ANSI, TALK, lasting, pipes, terminal, typed, written

from publisher import __main__ as publisher_cli
from publisher import queue_cli

on_one_server = pytest.mark.parametrize("shared_server", ["valkey"], indirect=True)

LANE = "gpu1:0"
OLD = """\
[project]
name = mask
seed = 7
[data]
resize = [224, 224]
num_workers = 4
[model]
model = resnet18
[train]
lr = 1e-3
epochs = 10
gpu = 0
"""
BAD = "model: {name: resnet10t}\noptim: {lr: fast}\ntrain: {epoch: 3}\n"
ELSEWHERE = {"publisher doctor", "publisher preflight", "publisher search"}  # need torch


def worker_is_there(desk: Desk) -> None:
    desk.door.announce(a_worker(LANE, gpu_name="V100", memory_mb=16_384, offer_mb=16_384))


def one_fails(desk: Desk) -> None:
    claimed = claim(desk.door, LANE, memory_mb=16_384)
    lines(desk.door, claimed, "epoch 1/3 loss=0.9", "epoch 2/3 loss=nan")
    fail(desk.door, claimed, error="the loss was no number")


def one_finishes(desk: Desk) -> None:
    finish(desk.door, claim(desk.door, LANE), value=0.9, macro_f1=0.8)


def one_runs(desk: Desk) -> None:
    claimed = claim(desk.door, LANE)
    lines(desk.door, claimed, "epoch 1/3 loss=0.7")
    save(desk.door, claimed)


Step = str | Callable[[Desk], None]
DAY: tuple[Step, ...] = (
    "queue list",
    "queue results",
    "publisher init",
    "publisher init new.yaml --template small",
    "publisher init new.yaml",
    "publisher import old.ini -o old.yaml",
    "publisher schema -o schema.json",
    "publisher validate good.yaml bad.yaml",
    "publisher validate good.yaml -m optim.lr=1e-3,3e-4",
    "publisher validate new.yaml",
    "publisher submit bad.yaml",
    "publisher submit good.yaml -m optim.lr=1e-3,3e-4 --dry-run",
    "publisher submit good.yaml --name first",
    "publisher submit good.yaml --name first",
    "publisher submit good.yaml seed=7 --name later --after first --hold",
    "publisher submit good.yaml -m optim.lr=1e-3,3e-4 --again --name rates",
    "queue list",
    "queue list -b rates",
    "queue list -o id",
    "queue why first",
    "queue why later",
    "queue show rates",
    worker_is_there,
    "worker list",
    "worker drain gpu1:0 --reason 'a new fan'",
    "queue why first",
    "worker resume gpu1:0",
    "queue hold first --reason 'wrong split'",
    "queue hold -b rates",
    "queue release -b rates",
    "queue release first",
    "queue move rates-lr3e-4 --first",
    "queue move rates-lr1e-3 --before first",
    "queue move first --priority 3",
    "queue list -s queued",
    "publisher edit first train.epochs=5 --time-limit 2h",
    "publisher edit first",
    "publisher edit later --no-after",
    one_fails,
    one_finishes,
    one_runs,
    "queue list",
    "queue list --json -s nothing",
    "queue show first",
    "queue show rates-lr3e-4",
    "queue why rates-lr1e-3",
    "queue logs first",
    "queue logs first --grep nan",
    "queue logs later",
    "queue wait first",
    "queue wait rates-lr3e-4",
    "queue wait later --timeout 0",
    "queue watch first",
    "queue cancel rates-lr1e-3 --reason 'too slow'",
    "queue cancel rates-lr1e-3",
    "queue cancel later",
    "queue cancel first",
    "queue cancel --mine",
    "publisher retry first optim.lr=1e-4",
    "publisher retry --failed --mine",
    "publisher diff first rates-lr3e-4",
    "publisher diff first-r2 good.yaml",
    "queue results",
    "queue results -b rates",
    "queue results --mean",
    "queue results -o id",
    "queue compare first rates-lr3e-4",
    "queue export --to runs.csv",
    "queue export -b nothing",
    "queue admin share",
    "queue admin cap ana 2 --reason 'a deadline'",
    "queue admin cap ana none",
    "queue admin prune --older-than 90d --dry-run",
    "queue admin rebuild --dry-run roots",
    "queue hold --all",
    "queue hold --all --yes --reason 'the power goes'",
    "queue list -n 1",
    "queue release --all",
    "queue show nothing",
)


@pytest.fixture
def desk(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    folder = Path(mkdtemp(prefix="day-", dir="/tmp"))  # as long each time
    desk = Desk(server, folder)
    (folder / "bad.yaml").write_text(BAD)
    (folder / "old.ini").write_text(OLD)
    (folder / "roots").mkdir()
    (folder / "roots" / "root-id").write_text("00000000")
    monkeypatch.chdir(folder)
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    yield desk
    desk.close()
    shutil.rmtree(folder)


def play(desk: Desk, kind: object = pipes) -> str:
    """The day, as it came."""
    told = []
    for step in DAY:
        if isinstance(step, str):
            code, came = typed(step, kind)
            told.append(f"$ {step}\n{written(came)}\n[{code}]\n")
        else:
            step(desk)
    return "\n".join(told)


def steady(desk: Desk, text: str) -> str:
    """The same as it is kept: it does not hang on ids and clocks."""
    ids = [row.id for row in desk.door.list()] + [view.card.id for view in desk.door.batches()]
    return lasting(text, ids, str(desk.folder))


@on_one_server
@pytest.mark.parametrize("columns", ["80", "120"])
def test_every_verb_in_a_pipe_looks_like_this(
    desk: Desk, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    seen, file = steady(desk, play(desk)), FOLDER / f"verbs_{columns}.txt"
    assert "\x1b" not in seen and "\r" not in seen
    if os.environ.get("GOLDEN") == "write":
        file.write_text(seen)
    assert seen == file.read_text()
    told = (row.removeprefix(TALK) for row in seen.splitlines())
    assert [row for row in told if len(row) > int(columns) and not row.startswith("$ ")] == []


@on_one_server
@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}])
def test_a_terminal_shows_the_same_and_obeys_no_color(
    desk: Desk, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COLUMNS": "80", "TERM": "xterm", **env}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        "test_people_golden.DAY", [step for step in DAY if "watch" not in str(step)]
    )
    seen = play(desk, terminal)
    assert bool(ANSI.search(seen)) == (not env)
    kept = re.sub(r"\$ queue watch.*?\n\n", "", (FOLDER / "verbs_80.txt").read_text(), flags=re.S)
    assert steady(desk, ANSI.sub("", seen)) == re.sub(rf"^{TALK.strip()} ?", "", kept, flags=re.M)


def test_no_verb_is_missing() -> None:
    admin = ("admin share", "admin cap", "admin prune", "admin rebuild")
    every = {f"publisher {verb}" for verb in publisher_cli.VERBS} | {
        f"queue {verb}" for verb in (*queue_cli.VERBS, *admin)
    }
    typed = " ".join(step for step in DAY if isinstance(step, str))
    assert {verb for verb in every - ELSEWHERE if verb not in typed} == set()
