"""A search in the queue: trials are runs of one batch, and whoever leads it may die."""

import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk
from support.runs import a_worker
from support.servers import TestServer
from support.waiting import PATIENCE_S, wait_until

from publisher.plans.plan import Batch, Wishes
from publisher.search import searching
from publisher.search.searching import Leader
from publisher.search.trials import trial_id
from queue_worker.queue import Claim, Ending, Queue, Report
from schemas.run import ENDED, Best, Cause, Run, State, Wish, new_nonce
from schemas.settings import Settings
from schemas.source import load

pytestmark = pytest.mark.parametrize("shared_server", ["valkey"], indirect=True)

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
LONGEST_S = 6.0  # that a trial waits to hear whether it is worth going on


class Learner(threading.Thread):
    """As a worker: a rate of 0.01 learns best, and trials wait to be judged after an epoch."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.door, self.over = Queue.connect(settings), threading.Event()
        self.most = 99  # trials that it takes

    def run(self) -> None:
        while not self.over.wait(0.02):
            if self.most and (claimed := self.door.claim(a_worker(), new_nonce())):
                self.most -= 1
                self.learn(claimed)

    def learn(self, claimed: Claim) -> None:
        run, token = claimed.run, claimed.token
        good = 1 - abs(math.log10(run.config["optim"]["lr"]) + 2) / 3
        for epoch in (1, 2, 3):
            row = {"epoch": epoch, "step": epoch, "accuracy": good * epoch / 3}
            self.door.report(run.id, token, Report(number=epoch, metrics=(row,)))
            if epoch == 1 and good < 0.6 and self.cancelled(claimed):
                ending = Ending(state=State.CANCELLED, cause=Cause.CANCELLED)
                self.door.end(run.id, token, ending)
                return
        best = Best(metric="accuracy", value=good, epoch=3)
        self.door.end(run.id, token, Ending(state=State.FINISHED, best=best))

    def cancelled(self, claimed: Claim) -> bool:
        for _ in range(int(LONGEST_S / 0.05)):
            if self.door.renew(claimed.run.id, claimed.token).wish is Wish.CANCEL:
                return True
            if self.over.wait(0.05):
                return False
        return False


@pytest.fixture
def desk(server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(searching, "POLL_S", 0.05)
    desk = Desk(server, tmp_path)
    (tmp_path / "birds.yaml").write_text(CONFIG)
    yield desk
    desk.close()


@pytest.fixture
def learner(desk: Desk) -> Iterator[Learner]:
    learner = Learner(Settings.read(desk.env))
    learner.start()
    yield learner
    learner.over.set()
    learner.join(PATIENCE_S)


def trials(desk: Desk) -> list[Run]:
    rows = desk.door.list()
    return sorted(desk.door.runs([row.id for row in rows]).values(), key=lambda run: run.seq)


def test_every_trial_is_a_run_of_one_batch_bad_ones_end_early_and_the_best_is_named(
    desk: Desk, learner: Learner
) -> None:
    answer = desk.publisher("search", str(desk.folder / "birds.yaml"), "--name", "lr")
    assert answer.code == 0, answer.err
    runs = trials(desk)
    (view,) = desk.door.batches()
    assert (view.card.kind, view.card.total, view.card.name) == ("search", 5, "lr")
    assert {run.batch for run in runs} == {view.card.id}
    assert [run.name for run in runs] == [f"lr-t{number}" for number in range(1, 6)]
    assert {run.state for run in runs} <= ENDED
    for run in runs:
        said = dict(text.split("=", 1) for text in run.overrides)
        assert float(said["optim.lr"]) == run.config["optim"]["lr"]
    pruned = [run for run in runs if run.state is State.CANCELLED]
    assert pruned
    assert all(run.wish_reason.startswith("not worth going on: accuracy") for run in pruned)
    done = [run for run in runs if run.best]
    best = max(done, key=lambda run: run.best.value if run.best else 0)
    assert f"best: {best.id} accuracy" in answer.out
    assert f"5 trials, {len(done)} done, {len(pruned)} pruned" in answer.out


def test_a_leader_that_is_killed_loses_no_trial_and_the_next_one_goes_on(
    desk: Desk, learner: Learner
) -> None:
    learner.most = 1
    leader = desk.start("publisher", "search", "birds.yaml", "search.at_once=1", "search.trials=3")
    wait_until(lambda: any(run.state in ENDED for run in trials(desk)), what="a trial's end")
    leader.send_signal(signal.SIGKILL)
    leader.wait(PATIENCE_S)
    before = {run.id: run.overrides for run in trials(desk)}
    assert 1 <= len(before) < 3
    learner.most = 99
    answer = desk.publisher("search", "-b", "@last")
    assert answer.code == 0, answer.err
    after = {run.id: run.overrides for run in trials(desk)}
    assert len(after) == 3
    assert before.items() <= after.items()
    assert all("search.trials=3" in overrides for overrides in after.values())
    again = desk.publisher("search", "-b", "@last")  # of one that is over nothing is asked
    assert again.code == 0
    assert len(trials(desk)) == 3
    assert again.out.splitlines()[-1] == answer.out.splitlines()[-1]


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
