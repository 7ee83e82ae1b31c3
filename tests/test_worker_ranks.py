"""A run of two devices, from its submission to its end: real commands, two real processes."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.quick import ITS_PYTHON
from support.servers import TestServer
from support.sketches import draw_sketches
from support.team import Team, signal_all, tree
from support.waiting import PATIENCE_S, TORCH_S, wait_until

from queue_worker import host
from schemas.run import State

CONFIG = """\
model: {name: test_vit}
data: {source: {root: sketch}, img_size: 32, batch_size: 8, workers: 1}
train: {epochs: 5, save_every_steps: 4, log_every: 1}
"""


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    server = TestServer(tmp_path / "srv").start()
    team = Team(server.url, tmp_path / "team")
    draw_sketches(team.data / "sketch", classes=4, each=16)
    yield team
    team.close()
    server.kill()


def ranks(team: Team) -> dict[str, int]:
    """The processes that train now, by their rank."""
    found = ((pid, host.environment(pid)) for pid in team.left_over())
    return {env["RANK"]: pid for pid, env in found if "RANK" in env and rank_itself(pid)}


def rank_itself(pid: int) -> bool:
    """Not one of its loader processes, which have the same environment."""
    try:
        parent = psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return False
    return "RANK" not in host.environment(parent)


def real_until_told(folder: Path, quick_python: Path) -> Path:
    """A trainer's `python`: real processes until there is a file `quick`."""
    program = folder / "python"
    choice = f'[ -e {folder}/quick ] && exec {quick_python} "$@"'
    program.write_text(f'#!/bin/sh\n{choice}\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    return program


def test_a_run_of_two_devices_outlives_one_of_its_processes_and_finishes(
    team: Team, quick_python: Path
) -> None:
    """The one that goes on proves that it does so, no more how its processes start."""
    config = team.config("wide", CONFIG)
    python = real_until_told(team.folder, quick_python)
    words = ("--no-warm", "--trainer-command", f"{python} -m trainer")
    worker = team.worker(*words, gpu="cpu,cpu:1", **{ITS_PYTHON: str(quick_python)})
    run_id = team.frozen(lambda: team.submit(config, "--gpus", "2", "--again"), worker.pid, 4)
    (team.folder / "quick").touch()
    os.kill(ranks(team)["1"], signal.SIGKILL)
    signal_all(tree(worker.pid), signal.SIGCONT)
    run = team.until(run_id, State.FINISHED, TORCH_S)
    assert run.attempt == 2 and run.best
    log = team.queue("logs", run_id).stdout
    assert "and 1 more in fp32, 4 at a time" in log and "goes on from step" in log
    assert "ended by SIGKILL" in log and "Traceback" not in log
    wait_until(lambda: not ranks(team), what="the end of the ranks")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    wait_until(lambda: not team.left_over(), what="the end of all")
