"""After a disaster: the queue is had back from run folders, and from the backup as documented."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.team import REPOSITORY, Team
from support.waiting import PATIENCE_S, wait_until
from support.workers import FAKE

from queue_worker.door import embedded
from schemas.run import State

PAGE = (REPOSITORY / "docs" / "backup.md").read_text()
SHELL = (
    f'queue() {{ "{sys.executable}" -m publisher.queue_cli "$@"; }}\n'  # of this source
    "set -eu\n"
)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    """A team on the private server, with the fake trainer's checkpoints whole."""
    team = Team("", tmp_path / "team")
    yield team
    team.close()
    for state in tmp_path.glob("team/state*"):
        embedded.stop(state / "redis")


def a_run(team: Team, note: str) -> str:
    return team.submit(
        team.config("small", "model: {name: resnet10t}"), f'note="{note}"', "--again"
    )


def burst(team: Team) -> None:
    worker = team.worker("--burst", "--no-warm", "--trainer-command", FAKE)
    assert worker.wait(PATIENCE_S) == 0, team.said_by_worker()


def shell(team: Team, script: str, **env: str) -> str:
    done = subprocess.run(
        ["bash", "-c", SHELL + script],
        env={**team.env, **env},
        cwd=team.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_wiped_records_are_rebuilt_and_what_ran_goes_on_from_its_checkpoint(team: Team) -> None:
    done, failed = a_run(team, "steps=6"), a_run(team, "code=3 at=2")
    cut = a_run(team, "steps=5000")
    worker = team.worker("--no-warm", "--trainer-command", FAKE)
    step = team.until_step(cut, 20).checkpoint_step
    before = {run_id: team.get(run_id) for run_id in (done, failed)}
    lines, _ = team.door.log(done)
    table = next((team.runs / done / "attempts").iterdir()) / "metrics.csv"
    table.write_text("epoch,step,loss,accuracy\n1,3,0.5,\n2,6,0.25,0.875\n")
    worker.kill()
    worker.wait()
    redis.Redis.from_url(embedded.ensure(team.folder / "state" / "redis").url).flushall()
    assert "would restore 3 runs" in team.queue("admin", "rebuild", "--dry-run").stderr
    assert team.door.list() == []
    told = json.loads(team.queue("admin", "rebuild", "--json").stdout)
    assert {each["id"]: each["state"] for each in told["runs"]} == {
        done: "finished",
        failed: "failed",
        cut: "queued",
    }
    assert {run_id: team.get(run_id) for run_id in before} == before
    assert team.door.log(done)[0] == lines != []
    assert team.door.metrics(done) == [
        {"epoch": 1, "step": 3, "loss": 0.5},
        {"epoch": 2, "step": 6, "loss": 0.25, "accuracy": 0.875},
    ]
    again = team.get(cut)
    assert again.checkpoint_step >= step and again.attempt == 1
    assert "left alone" in team.queue("admin", "rebuild").stderr
    team.worker("--no-warm", "--trainer-command", FAKE)
    logs = (team.runs / cut / "attempts").glob
    begun = f"begin at step {again.checkpoint_step}\n"
    wait_until(lambda: any(begun in log.read_text() for log in logs("2-*/run.log")), what="more")


def test_backup_and_restore_as_the_page_says(team: Team) -> None:
    early, waiting = (
        a_run(team, "steps=6"),
        team.submit(team.config("small", "model: {name: resnet10t}"), "--hold", "--again"),
    )
    burst(team)
    saving, restoring, rebuilding = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    places = {"BACKUP": str(team.folder / "backup"), "RESTORED": str(team.folder / "state2")}
    shell(team, saving, **places)
    late = a_run(team, "steps=7")
    burst(team)
    embedded.stop(team.folder / "state" / "redis")
    shutil.rmtree(team.folder / "state")
    shell(team, restoring, **places)
    team.env["TRAINQ_STATE"] = places["RESTORED"]
    known = {row.id: row.state for row in team.door.list()}
    assert known == {early: State.FINISHED, waiting: State.HELD}
    assert late in shell(team, rebuilding, **places)
    known = {row.id: row.state for row in team.door.list()}
    assert known == {early: State.FINISHED, waiting: State.HELD, late: State.FINISHED}
