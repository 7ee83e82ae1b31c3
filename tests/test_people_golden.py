"""Every verb as a pipe gets it, at 80 and 120 columns, and as a terminal shows it, also colourless.

What is written down is in tests/golden/verbs_*.txt; GOLDEN=write writes it again, to look at. What
tells of this machine, or trains, or stays and watches: tests/test_people_golden_host.py.
"""

from collections.abc import Iterator

import pytest
from support.days import (
    COLOURS,
    COLUMNS,
    Step,
    in_a_pipe,
    on_a_terminal,
    somebodys_desk,
)
from support.desk import Desk, fail, finish, lines, save
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER, TestServer

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
    "queue retry --failed --mine",
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
    with somebodys_desk(server, monkeypatch) as desk:
        (desk.folder / "bad.yaml").write_text(BAD)
        (desk.folder / "old.ini").write_text(OLD)
        (desk.folder / "roots").mkdir()
        (desk.folder / "roots" / "root-id").write_text("00000000")
        yield desk


@ON_ONE_SERVER
@COLUMNS
def test_every_verb_in_a_pipe_looks_like_this(desk: Desk, columns: str) -> None:
    in_a_pipe(desk, DAY, "verbs", columns)


@ON_ONE_SERVER
@COLOURS
def test_a_terminal_shows_the_same_and_obeys_no_color(
    desk: Desk, env: dict[str, str], columns: str
) -> None:
    day = [step for step in DAY if "watch" not in str(step)]  # on a terminal it is a screen
    on_a_terminal(desk, day, "verbs", columns, env)
