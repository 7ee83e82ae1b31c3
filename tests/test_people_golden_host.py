"""Screens of what tells of a machine, asks a model or Optuna, or stays to watch.

The machine is a made one: what Python, git, the disk and torch say here never changes.
"""

import os
import re
import threading
from collections.abc import Iterator

import pytest
from support.days import (
    COLOURS,
    COLUMNS,
    Step,
    in_a_pipe,
    on_a_terminal,
    somebodys_desk,
    steady,
)
from support.desk import Desk, finish
from support.golden import FOLDER, golden
from support.machine import settle_on
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER, TestServer
from support.terminal import OTHER_SCREEN, Terminal
from test_people_golden import DAY as VERBS

from publisher import __main__ as publisher_cli
from publisher import queue_cli
from queue_worker import steer
from queue_worker.queue import Queue, Report
from schemas.run import Best, Progress, new_nonce
from schemas.settings import Settings

SEARCH = """\
model: {name: resnet10t}
search:
  trials: 1
  space: [{kind: choice, key: optim.lr, of: [0.01, 0.02]}]
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*[1-9][0-9]*m")


class Learner(threading.Thread):
    """As a worker that finishes whatever comes, well."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.door, self.over = Queue.connect(settings), threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.02):
            if claimed := self.door.claim(a_worker("v100:0"), new_nonce()):
                report = Report(number=1, metrics=({"epoch": 2, "accuracy": 0.9},))
                self.door.report(claimed.run.id, claimed.token, report)
                finish(self.door, claimed)


def a_worker_comes(desk: Desk) -> None:
    desk.door.announce(a_worker("gpu1:0", gpu_name="V100", memory_mb=16_384, offer_mb=16_384))


DAY: tuple[Step, ...] = (
    "publisher doctor",
    a_worker_comes,
    "worker doctor --gpu cpu",
    "worker doctor --gpu 0,0",
    "publisher preflight good.yaml",
    "publisher preflight good.yaml data.batch_size=4096 --gpu-memory 4G",
    "publisher preflight good.yaml optim.lr=fast",
    "publisher search good.yaml",
    "publisher search search.yaml --name rates",
    "publisher search -b rates",
)


@pytest.fixture
def desk(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with somebodys_desk(server, monkeypatch) as desk:
        (desk.folder / "search.yaml").write_text(SEARCH)
        yield desk


@pytest.fixture
def host(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The desk on a machine that is the same everywhere; elsewhere somebody trains."""
    settle_on(desk, monkeypatch)
    learner = Learner(Settings.read(desk.env))
    learner.start()
    yield desk
    learner.over.set()
    learner.join(20)


@ON_ONE_SERVER
@COLUMNS
def test_every_verb_of_a_machine_in_a_pipe_looks_like_this(host: Desk, columns: str) -> None:
    in_a_pipe(host, DAY, "hosts", columns)


@ON_ONE_SERVER
@COLOURS
def test_a_terminal_shows_the_same_of_a_machine_and_obeys_no_color(
    host: Desk, env: dict[str, str], columns: str
) -> None:
    on_a_terminal(host, DAY, "hosts", columns, env)


# ---- what is watched -----------------------------------------------------------------------------


@ON_ONE_SERVER
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}], ids=["colour", "plain"])
def test_a_watched_run_and_a_watched_queue_look_like_this(
    desk: Desk, columns: int, env: dict[str, str]
) -> None:
    run_id = desk.submit("--name", "first")
    claimed = claim(desk.door, "gpu1:0")
    progress = Progress(step=10, steps=30, epoch=1, epochs=3)
    best = Best(metric="accuracy", value=0.25, epoch=1)
    measured = ({"epoch": 1, "accuracy": 0.25},)
    report = Report(number=1, progress=progress, best=best, metrics=measured, log=("loss=0.7",))
    desk.door.report(run_id, claimed.token, report)
    shown = []
    for words, known in ((("watch",), "Workers:"), (("watch", run_id), "Ctrl-C")):
        with Terminal(desk, "queue", *words, columns=columns, **env) as terminal:
            shown.append(f"$ queue {' '.join(words)}\n{terminal.frame(known)}\n")
            assert OTHER_SCREEN in terminal.seen and bool(COLOUR.search(terminal.seen)) == (not env)
    seen = steady(desk, "\n".join(shown))
    if os.environ.get("GOLDEN") == "write":
        (FOLDER / f"watch_{columns}.txt").write_text(seen + "\n")
    assert seen == golden(f"watch_{columns}")


def test_no_verb_is_missing() -> None:
    admin = ("admin share", "admin cap", "admin prune", "admin rebuild")
    every = {f"publisher {verb}" for verb in publisher_cli.VERBS}
    every |= {f"queue {verb}" for verb in (*queue_cli.VERBS, *admin)}
    every |= {f"worker {verb}" for verb in steer.VERBS}
    typed = " ".join(step for step in (*VERBS, *DAY) if isinstance(step, str))
    assert {verb for verb in every if verb not in typed} == set()
