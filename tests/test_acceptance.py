"""The promises, seen from outside: real commands, a real server, real workers, real training.

Each story checks at its end that every run is in one place, ended once, was told once, and that no
process is left.
"""

import hashlib
import math
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from support.ledger import Call, digest, ledger, rhythm, usual
from support.proxy import LossyProxy
from support.servers import KINDS, TestServer
from support.sketches import draw_sketches
from support.slack_server import TOKEN as SLACK_TOKEN
from support.slack_server import SlackServer
from support.team import Team, tree
from support.waiting import PATIENCE_S, TORCH_S, wait_until
from support.workers import FAKE, LEASE_S

from queue_worker import host
from schemas.events import END_EVENTS, EventKind
from schemas.run import ENDED, State
from schemas.settings import Settings

ON = {kind: pytest.mark.parametrize("shared_server", [kind], indirect=True) for kind in KINDS}
VALKEY, REDIS = ON["valkey"], ON[KINDS[-1]]  # each story on one of them; the door's tests on both
RECOVERY_LIMIT_S = 20  # of a run whose worker was killed, from its last sign of life
LEASE, LOOK = r"ZADD trainq:leases:2 (\S+) ", r"SET trainq:reap:last (\S+)"
CONFIG = """\
seed: 7
model: {name: test_resnet}
data:
  source: {root: sketch}
  img_size: 32
  batch_size: 8
  workers: 0
augment: {kind: timm, scale: [0.6, 1.0], auto_augment: rand-m5-mstd0.5}
optim: {lr: 1e-3}
train: {epochs: 10, save_every_steps: 3, log_every: 1}
"""


@pytest.fixture
def team(server: TestServer, tmp_path: Path) -> Iterator[Team]:
    """Ana's team, with a small data set."""
    team = Team(server.url, tmp_path / "team")
    draw_sketches(team.data / "sketch", classes=4, each=16)
    yield team
    team.close()


def promises_hold(team: Team, told: int | None = None) -> None:
    """What must be true after every story, whatever happened in it."""
    door = team.door
    rows = door.list()
    assert sum(door.counts().values()) == len(rows) == len({row.id for row in rows})
    ends = [event.run for event in door.events() if event.kind in END_EVENTS]
    ended = sorted(row.id for row in rows if row.state in ENDED)
    assert sorted(ends) == ended, "every ended run has exactly one end event"
    wait_until(lambda: len(team.told()) >= len(ended), what="the notices")
    assert sorted(team.told()) == ended, "one notice a run"


def weights(team: Team, run_id: str) -> str:
    """The sha256 of the weights that people get."""
    best = team.runs / run_id / "best/weights.safetensors"
    wait_until(best.exists, what="the best weights")  # the folder follows the record
    return hashlib.sha256(best.read_bytes()).hexdigest()


@REDIS
def test_a_submitted_config_becomes_a_trained_run_and_a_notice(team: Team) -> None:
    run_id = team.submit(team.config("good", CONFIG), "train.epochs=2")
    worker = team.worker("--burst", "--no-warm")  # no second trainer, for whom nothing is left
    assert worker.wait(TORCH_S) == 0, team.said_by_worker()
    run = team.get(run_id)
    assert run.state is State.FINISHED and run.attempt == 1 and run.best
    assert run_id in team.queue("list", "--all").stdout
    assert "finished" in team.queue("show", run_id).stdout
    assert f"{run.best.value:.3f}"[1:] in team.queue("results").stdout
    assert "epoch" in team.queue("logs", run_id).stdout
    assert (team.runs / run_id / "run.log").stat().st_size
    team.queue("wait", run_id)
    promises_hold(team)


@VALKEY
def test_a_killed_workers_run_goes_on_elsewhere_in_time_and_to_the_same_weights(
    team: Team, server: TestServer, quick_python: Path
) -> None:
    config = team.config("long", CONFIG)
    with ledger(server.client()) as told:
        untouched = team.submit(config)
        first = team.worker()
        team.until(untouched, State.FINISHED)
        killed = team.frozen(lambda: team.submit(config, "--again"), first.pid, 9)
        words = ("--max-runs", "1", "--trainer-command", f"{quick_python} -m trainer")
        second = team.worker(*words, gpu="cpu:1")
        wait_until(lambda: len(team.door.workers()) == 2, what="the second worker")
        family = tree(first.pid)
        os.kill(first.pid, signal.SIGKILL)
        run = wait_until(
            lambda: found if (found := team.get(killed)).worker.endswith(":1") else None,
            TORCH_S,
            "the next attempt",
        )
        calls = told.calls()
    assert run and run.checkpoint_step >= 9
    goes_on_in_time(calls, killed, run.worker)
    team.until(killed, State.FINISHED)
    assert weights(team, killed) == weights(team, untouched)
    wait_until(lambda: not any(map(host.start_time, family)), what="the end of the first's family")
    assert second.wait(PATIENCE_S) == 0
    promises_hold(team)
    first.wait(PATIENCE_S)
    wait_until(lambda: not team.left_over(), what="the end of all")


def goes_on_in_time(calls: list[Call], run_id: str, lane: str) -> None:
    """A lost run goes on within 20 s at the default lease, on a machine that never stalls.

    The server's clock says how long a lease is, how often somebody looks for lost runs, and how
    often this worker asks for one. Its order says that nobody lets a chance pass: the first look
    after the lease puts the run back, the next question gets it. No stall moves any of that.
    """
    lease, gone = rf"ZADD trainq:leases:2 (\S+) {run_id}", f"ZREM trainq:leases:2 {run_id}"
    asked = [n for n, each in enumerate(calls) if each.did and each.asks(lane)]
    taken = next(n for n in asked if calls[n].numbers(lease))
    back = max(n for n in range(taken) if calls[n].name == "reap" and gone in calls[n].did)
    assert taken == next(n for n in asked if n > back)

    looks = [at for each in calls[: back + 1] for at in each.numbers(LOOK)]
    *_, due = (until for each in calls[:back] for until in each.numbers(lease))
    for sooner, later in pairwise([-math.inf, *looks]):
        if later - sooner > LEASE_S / 2:  # the outage rule: nobody looked, so nobody may be blamed
            due = max(due, later + 1.2 * LEASE_S)
    assert looks[-1] == min(at for at in looks if at >= due)

    for kind in ("claim", "renew"):
        given = [
            (each.at, until) for each in calls for until in each.numbers(LEASE) if each.name == kind
        ]
        assert usual([until - at for at, until in given]) == pytest.approx(LEASE_S, abs=1)
    questions = [calls[n].at for n in asked if n <= taken]
    assert Settings.read({}).lease_s + rhythm(looks) + rhythm(questions) < RECOVERY_LIMIT_S


@REDIS
def test_a_cancelled_run_keeps_its_checkpoint_and_its_retry_goes_on_from_there(
    team: Team, quick_python: Path
) -> None:
    config = team.config("long", CONFIG)
    running, queued = team.submit(config, "train.epochs=2000"), team.submit(config)
    team.worker("--trainer-command", f"{quick_python} -m trainer")
    team.until_step(running, 3)
    team.queue("cancel", queued)
    team.queue("cancel", running, "--reason", "wrong split")
    run = team.until(running, State.CANCELLED)
    assert run.checkpoint_step >= 3 and run.ended_by == "ana" and "wrong split" in run.error
    again = team.publisher("retry", running, "train.epochs=2000", "--print-id").stdout.strip()
    goes_on = f"step {run.checkpoint_step}"
    wait_until(
        lambda: any(goes_on in line for line in team.door.log(again)[0]), TORCH_S, "its first step"
    )
    assert goes_on in team.queue("logs", again).stdout
    team.queue("cancel", again)
    team.until(again, State.CANCELLED)
    promises_hold(team)


@VALKEY
def test_a_bad_config_queues_nothing(team: Team) -> None:
    bad = team.config("bad", CONFIG.replace("resnet", "resnett"))
    said = team.publisher("submit", bad, team.config("good", CONFIG), code=2).stderr
    assert "test_resnet" in said and f"{bad.name}:2" in said
    assert not team.door.list()


@VALKEY
@pytest.mark.parametrize("times", [1, 3])
def test_lost_replies_of_submit_claim_and_end_give_one_run_one_attempt_one_end(
    server: TestServer, tmp_path: Path, times: int
) -> None:
    proxy = LossyProxy(server.socket)
    team = Team(proxy.url, tmp_path / "team")
    try:
        proxy.lose(digest("submit"), times)
        run_id = team.submit(team.config("small", CONFIG), 'note="steps=6"')
        assert proxy.all_lost()
        proxy.lose(digest("claim"), times)
        proxy.lose(digest("end"), times)
        team.worker("--trainer-command", FAKE)
        run = team.until(run_id, State.FINISHED)
        wait_until(proxy.all_lost, what="the last lost reply")
        assert run.attempt == 1 and len(team.door.list()) == 1
        kinds = [event.kind for event in team.door.events(run_id=run_id)]
        assert kinds.count(EventKind.SUBMITTED) == kinds.count(EventKind.CLAIMED) == 1
        promises_hold(team)
    finally:
        team.close()
        proxy.close()


@VALKEY
def test_slack_down_for_the_whole_run_loses_no_notice_and_doubles_none(team: Team) -> None:
    slack = SlackServer().start()
    slack.stop()
    talks = {
        "SLACK_BOT_TOKEN": SLACK_TOKEN,
        "SLACK_CHANNEL": "#ml-runs",
        "SLACK_API_URL": slack.api_url,
        "TRAINQ_SLACK_FILE": "",
    }
    config = team.config("quick", CONFIG)
    runs = [team.submit(config, f'note="steps={steps}"', "--again") for steps in (3, 4)]
    team.worker("--trainer-command", FAKE, **talks)
    for run_id in runs:
        team.until(run_id, State.FINISHED)
    slack.start()
    wait_until(
        lambda: len(slack.messages) == 2 and not team.door.notices_open(), what="both notices"
    )
    told = [message["metadata"]["event_payload"]["event_id"] for message in slack.messages]
    assert sorted(event.partition("-")[0] for event in told) == sorted(runs)
    slack.stop()
