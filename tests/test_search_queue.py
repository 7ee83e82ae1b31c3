"""A search in the queue: trials are runs of one batch, and whoever leads it may die."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk
from support.servers import ON_ONE_SERVER, TestServer
from support.sketches import draw_sketches
from support.team import REPOSITORY, Team
from support.waiting import PATIENCE_S, wait_until
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from publisher.plans.plan import Batch, Wishes
from publisher.search import searching
from publisher.search.searching import Leader
from publisher.search.trials import trial_id
from schemas.run import Run, State
from schemas.settings import Settings
from schemas.source import load

pytestmark = ON_ONE_SERVER

CONFIG = """\
model: {name: resnet10t}
train: {epochs: 3}
search:
  trials: 5
  at_once: 2
  prune_from: 1
  prune_factor: 2
  space:
    - {kind: range, key: optim.lr, low: 1e-4, high: 1.0, log: true}
    - {kind: choice, key: loss, of: [{kind: focal}, {kind: cross_entropy}]}
"""
# whoever learns nothing would go on for hours: only its search ends it
REAL = """\
seed: 3
model: {name: test_vit}
data: {img_size: 32, batch_size: 4, workers: 0}
optim: {kind: sgd}
evaluate: {metric: loss}
track: {to: [tensorboard]}
search:
  trials: 3
  prune_from: 1
  prune_factor: 2
  space:
    - {kind: range, key: optim.lr, low: 0.01, high: 0.1, log: true}
    - {kind: choice, key: train, of: [{epochs: 2}, {epochs: 1000000, clip_value: 1e-12}]}
"""


# the first follower does not begin before it is told to
SLOW = """\
import os, pathlib, sys, time
here = pathlib.Path(__file__).parent
if "follow" in sys.orig_argv:
    try:
        file = os.open(here / "slow", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        pass
    else:
        os.write(file, str(os.getpid()).encode())
        while not (here / "go").exists():
            time.sleep(0.05)
"""


@pytest.fixture
def desk(server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(searching, "POLL_S", 0.05)
    desk = Desk(server, tmp_path)
    (tmp_path / "birds.yaml").write_text(CONFIG)
    yield desk
    desk.close()


@pytest.fixture
def team(desk: Desk, tmp_path: Path) -> Iterator[Team]:
    """Whose workers serve the desk's queue."""
    team = Team(desk.server.url, tmp_path / "team")
    draw_sketches(team.data)
    yield team
    team.close()


def trials(desk: Desk) -> list[Run]:
    rows = desk.door.list()
    return sorted(desk.door.runs([row.id for row in rows]).values(), key=lambda run: run.seq)


def test_a_worker_trains_the_trials_of_a_search_whose_first_leader_is_killed(
    desk: Desk, team: Team, quick_python: Path
) -> None:
    """On the way: a follower that does not come to an end keeps no trial waiting."""
    (team.folder / "sitecustomize.py").write_text(SLOW)
    words = ("--max-runs", "3", "--trainer-command", f"{quick_python} -m trainer")
    worker = team.worker(*words, PYTHONPATH=f"{team.folder}:{REPOSITORY}")
    (desk.folder / "real.yaml").write_text(REAL)
    leader = desk.start("publisher", "search", "real.yaml", "--name", "rates", "search.trials=3")
    wait_until(lambda: trials(desk), what="the first trial")
    leader.send_signal(signal.SIGKILL)
    leader.wait(PATIENCE_S)
    first = trials(desk)[0]
    answer = desk.publisher("search", "-b", first.batch)
    assert answer.code == 0, answer.err
    one, two, three = trials(desk)
    assert (one.id, one.overrides) == (first.id, first.overrides)
    assert (one.state, two.state) == (State.FINISHED, State.CANCELLED)
    assert three.state in (State.FINISHED, State.CANCELLED)  # as quick as its judge
    assert two.wish_reason.startswith("not worth going on: loss")
    assert [run.name for run in (one, two, three)] == ["rates-t1", "rates-t2", "rates-t3"]
    (view,) = desk.door.batches()
    assert (view.card.id, view.card.kind, view.card.total) == (first.batch, "search", 3)
    for run in (one, two, three):
        said = dict(text.split("=", 1) for text in run.overrides)
        assert (run.batch, said["search.trials"]) == (first.batch, "3")
        assert float(said["optim.lr"]) == run.config["optim"]["lr"]
    done = [run for run in (one, three) if run.state is State.FINISHED]
    best = min(done, key=lambda run: run.best.value if run.best else 9)
    assert f"3 trials, {len(done)} done, {3 - len(done)} pruned" in answer.out
    assert f"best: {best.id} loss" in answer.out
    again = desk.publisher("search", "-b", "@last")  # of one that is over nothing is asked
    assert again.out.splitlines()[-1] == answer.out.splitlines()[-1]
    assert len(trials(desk)) == 3
    slow = int((team.folder / "slow").read_text())
    assert slow in team.left_over()
    (team.folder / "go").touch()
    wait_until(lambda: slow not in team.left_over(), what="the follower's end")
    assert worker.wait(PATIENCE_S) == 0
    (attempt,) = (team.runs / one.id / "attempts").iterdir()
    events = EventAccumulator(str(attempt / "tensorboard")).Reload()
    assert [each.step for each in events.Scalars("loss")] == [1, 2]


def test_two_leaders_queue_no_trial_twice(desk: Desk) -> None:
    loaded = load(desk.folder / "birds.yaml")
    settings = Settings.read(desk.env)
    leaders = [
        Leader(
            queue=desk.door,
            batch=Batch("7k3m9q", "lr", "ana", "search", 5, {}),
            config=loaded.config,
            overrides=(),
            wishes=Wishes("ana"),
            settings=settings,
        )
        for _ in range(2)
    ]
    for leader, rate in zip(leaders, ("0.1", "0.2"), strict=True):
        leader.submit((f"optim.lr={rate}", 'loss={"kind": "focal"}'), 1, first=True)
    (run,) = trials(desk)
    assert (run.id, run.config["optim"]["lr"]) == (trial_id("7k3m9q", 1), 0.1)


def test_a_person_who_cancels_a_trial_ends_the_search(desk: Desk) -> None:
    process = desk.start("publisher", "search", "birds.yaml")
    first = wait_until(lambda: trials(desk), what="a trial")[0]
    desk.door.cancel(first.id, by="bo")
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"{first.id} was cancelled by bo: no more trials are queued" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search.trials=3"], "begins with one FILE"),
        (["birds.yaml", "-b", "x"], "begins with one FILE"),
        (["birds.yaml", "search.space=[]"], "this config varies nothing"),
        (["birds.yaml", "search.prune_from=3"], "end before they could be given up"),
        (
            ["birds.yaml", 'search.space=[{"kind":"range","key":"optim.lrr","low":1,"high":2}]'],
            "unknown key",
        ),
        (
            ["birds.yaml", 'search.space=[{"kind":"range","key":"optim.lr","low":0,"high":2}]'],
            "more than 0",
        ),
        (
            ["birds.yaml", 'search.space=[{"kind":"range","key":"optim.lr","low":3,"high":2}]'],
            "from low to high",
        ),
        (["-b", "nothing"], "there is no batch"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_queued(
    words: list[str], said: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    answer = desk.publisher("search", *words)
    assert answer.code
    assert said in answer.err
    assert not trials(desk)
