"""The run folder follows the record, also when the worker that should have written it died."""

import json
import os
from pathlib import Path

from support.team import REPOSITORY
from support.waiting import wait_until
from support.workers import Site

from schemas.run import Run, State
from schemas.rundir import RunDir


def saved(run_dir: RunDir, token: str, *steps: int) -> None:
    for step in steps:
        (run_dir.attempt(token).checkpoint(step)).mkdir(parents=True)


def test_a_folder_that_a_dead_worker_left_behind_is_brought_up_to_date_at_the_next_start(
    site: Site,
) -> None:
    run_id = site.submit("steps=8")
    folder = site.runs / run_id
    trap = folder / "attempts" / "0-00000000" / "run.log"
    trap.parent.mkdir(parents=True)
    os.mkfifo(trap)  # whoever collects the logs waits for ever
    worker = site.worker("cpu", "--no-warm")
    assert site.ended(run_id).state is State.FINISHED
    worker.process.kill()
    worker.wait()
    assert not (folder / "result.json").exists()
    trap.unlink()
    assert site.worker("cpu", "--burst", "--no-warm").wait() == 0
    assert Run.model_validate_json((folder / "record.json").read_text()) == site.queue.get(run_id)
    assert json.loads((folder / "result.json").read_text())["exit_code"] == 0
    assert "step 8" in (folder / "run.log").read_text()
    assert not list((site.runs / ".unsettled").iterdir())


def test_checkpoints_of_older_attempts_go_once_the_one_that_counts_has_two_of_its_own(
    tmp_path: Path,
) -> None:
    run_dir = RunDir(tmp_path)
    for token, steps in {"1-0": (5, 10), "2-0": (15,), "10-0": (20,), "a-copy": (3, 4)}.items():
        saved(run_dir, token, *steps)
    run_dir.drop_superseded("attempts/10-0/checkpoints/step-20")
    assert run_dir.attempt("1-0").checkpoint(10).exists(), "one alone could be damaged"
    saved(run_dir, "10-0", 25)
    saved(run_dir, "11-0", 25)
    run_dir.drop_superseded("attempts/10-0/checkpoints/step-25")
    for strange in ("", "../../x", "attempts/mine/checkpoints/step-1"):
        run_dir.drop_superseded(strange)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*/*/step-*"))
    of_ten = [f"attempts/10-0/checkpoints/step-{step}" for step in (20, 25)]
    copy = [f"attempts/a-copy/checkpoints/step-{step}" for step in (3, 4)]
    assert left == [*of_ten, "attempts/11-0/checkpoints/step-25", *copy]


def test_a_resumed_run_frees_the_disk_while_it_still_trains(site: Site) -> None:
    run_id = site.submit("steps=5000 kill=12 first")
    site.worker("cpu", "--no-warm")
    site.at_step(run_id, 21, attempt=2)
    attempts = site.runs / run_id / "attempts"
    wait_until(lambda: not list(attempts.glob("1-*/checkpoints/*")), what="the space")
    run = site.queue.get(run_id)
    assert run.state is State.RUNNING and (site.runs / run_id / run.checkpoint).is_dir()


FILLED = """import pathlib, shutil
real = shutil.disk_usage
def disk_usage(path):
    full = pathlib.Path(__file__).with_name("full").exists()
    return real(path)._replace(free=1 << 20) if full else real(path)
shutil.disk_usage = disk_usage
"""


def test_a_worker_whose_disk_is_full_says_so_in_every_list_and_takes_runs_once_there_is_room(
    site: Site,
) -> None:
    (site.folder / "sitecustomize.py").write_text(FILLED)
    (full := site.folder / "full").touch()
    env = {"PYTHONPATH": f"{site.folder}:{REPOSITORY}"}
    run_id = site.submit("steps=2")
    worker = site.worker("cpu", "--no-warm", **env)
    said = f"less than 1 GiB is free in {site.runs}"
    wait_until(lambda: f"takes no runs: {said}" in worker.said(), what="the worker's word")
    wait_until(lambda: [w.card.busy_with for w in site.queue.workers()] == [said], what="its card")
    assert site.queue.get(run_id).state is State.QUEUED
    full.unlink()
    assert site.ended(run_id).state is State.FINISHED
    wait_until(lambda: "takes runs again" in worker.said(), what="its word on the room")
    full.touch()
    burst = site.worker("cpu:1", "--burst", "--no-warm", **env)
    assert burst.wait() == 1
    assert f"error: {said}: no run is taken" in burst.said()


def test_run_folders_that_cannot_be_written_are_told_from_a_redis_that_is_away(site: Site) -> None:
    (site.folder / "file").touch()
    worker = site.worker("cpu", "--no-warm", TRAINQ_RUNS=str(site.folder / "file" / "runs"))
    assert worker.wait() == 1
    *_, what, where, fix = worker.said().splitlines()
    assert what == "error: run folders cannot be written: not a directory"
    assert str(site.folder / "file") in where and "TRAINQ_RUNS" in fix
