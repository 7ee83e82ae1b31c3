"""What run folders know is enough to have a run back after the queue forgot it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.result import Result
from schemas.run import Best, Cause, Run, State, Wish
from schemas.rundir import RunDir, RunsRoot, write_atomic
from schemas.salvage import Found, Unreadable, restored, search, whole

BEST = Best(metric="accuracy", value=0.9, epoch=2)


def a_run(**fields: Any) -> Run:
    known = {"id": "7f3k2q", "name": "r", "user": "ana", "submitted_at": 1.0, "attempt": 2}
    return Run(**{**known, "config": {}, "state": State.QUEUED, **fields})


def running(**fields: Any) -> Run:
    lease = {"lease_until": 9.0, "worker": "v100:0", "wish": Wish.CANCEL}
    return a_run(state=State.RUNNING, token="2-0123abcd", **lease, **fields)


def checkpoint(run_dir: RunDir, token: str, step: int, *, damaged: bool = False) -> str:
    folder = run_dir.attempt(token).checkpoint(step)
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"half" if damaged else b"whole")
    manifest = json.dumps({"weights": hashlib.sha256(b"whole").hexdigest()})
    (folder / "manifest.json").write_text(manifest)
    return run_dir.relative(folder)


def result(run_dir: RunDir, token: str, code: int = 0) -> None:
    path = run_dir.attempt(token).result
    path.parent.mkdir(parents=True, exist_ok=True)
    said = Result(token=token, exit_code=code, best=BEST, metrics={"accuracy": 0.9})
    write_atomic(path, said.model_dump_json().encode())


def back(run: Run, folder: Path) -> Run:
    return restored(run, RunDir(folder), "root-a").run


@pytest.mark.parametrize(
    "end",
    [
        {"state": State.FINISHED, "best": BEST},
        {"state": State.FAILED, "cause": Cause.DATA, "error": "no such file"},
        {"state": State.CANCELLED, "ended_by": "bo"},
    ],
)
def test_an_ended_run_is_had_back_as_it_ended(end: dict[str, Any], tmp_path: Path) -> None:
    run = a_run(ended_at=5.0, **end)
    assert back(run, tmp_path) == run


def test_a_run_that_was_running_is_queued_again_with_its_newest_whole_checkpoint(
    tmp_path: Path,
) -> None:
    run_dir = RunDir(tmp_path)
    checkpoint(run_dir, "1-0123abcd", 90)
    newest = checkpoint(run_dir, "2-0123abcd", 40)
    checkpoint(run_dir, "2-0123abcd", 50, damaged=True)
    again = back(running(checkpoint="attempts/2-0123abcd/checkpoints/step-30"), tmp_path)
    assert (again.state, again.token, again.worker, again.wish) == (State.QUEUED, "", "", None)
    assert (again.checkpoint, again.checkpoint_step) == (newest, 40)
    assert (again.runs_root, again.attempt, again.lease_until) == ("root-a", 2, None)


def test_without_a_whole_checkpoint_it_begins_anew(tmp_path: Path) -> None:
    told = {"checkpoint": "attempts/2-0123abcd/checkpoints/step-30", "checkpoint_step": 30}
    again = back(running(**told), tmp_path)
    assert (again.checkpoint, again.checkpoint_step) == ("", 0)
    elsewhere = back(a_run(**told, runs_root="root-b"), tmp_path)
    assert elsewhere.checkpoint_step == 30, "another disk has it"


def test_a_finish_that_redis_never_heard_of_counts(tmp_path: Path) -> None:
    result(RunDir(tmp_path), "2-0123abcd")
    run = back(running(), tmp_path)
    assert (run.state, run.result_attempt, run.best) == (State.FINISHED, "2-0123abcd", BEST)
    assert run.ended_at and run.token == ""


def test_a_failure_that_redis_never_heard_of_is_tried_again(tmp_path: Path) -> None:
    result(RunDir(tmp_path), "2-0123abcd", code=1)
    assert back(running(), tmp_path).state is State.QUEUED


def test_a_held_run_stays_held(tmp_path: Path) -> None:
    run = a_run(state=State.HELD, held_by="bo", held_reason="wait")
    assert back(run, tmp_path) == run


def test_of_two_disks_that_know_a_run_the_later_attempt_counts(tmp_path: Path) -> None:
    old, new = RunsRoot(tmp_path / "old"), RunsRoot(tmp_path / "new")
    for root, run in ((old, a_run(attempt=1)), (new, a_run(state=State.FINISHED, ended_at=5.0))):
        root.run(run.id).path.mkdir(parents=True)
        write_atomic(root.run(run.id).record, run.model_dump_json().encode())
    for order in ([old, new], [new, old]):
        (found,) = search(order)
        assert isinstance(found, Found) and found.run.state is State.FINISHED


def test_ended_runs_come_first_because_others_may_wait_for_them(tmp_path: Path) -> None:
    root = RunsRoot(tmp_path)
    for run_id, end in (("aaaaaa", {}), ("bbbbbb", {"state": State.FINISHED, "ended_at": 5.0})):
        root.run(run_id).path.mkdir(parents=True)
        write_atomic(root.run(run_id).record, a_run(id=run_id, **end).model_dump_json().encode())
    assert [each.run.id for each in search([root]) if isinstance(each, Found)] == [
        "bbbbbb",
        "aaaaaa",
    ]


def test_what_cannot_be_read_is_named_and_the_rest_is_found(tmp_path: Path) -> None:
    root = RunsRoot(tmp_path)
    for name in ("aaaaaa", "bbbbbb", "7f3k2q", "by-hand"):
        (tmp_path / name).mkdir()
    (tmp_path / "bbbbbb" / "record.json").write_text('{"id": 1}')
    write_atomic(root.run("7f3k2q").record, a_run().model_dump_json().encode())
    found, *lost = search([root])
    assert isinstance(found, Found) and found.run == a_run()
    whys = [f"{each.folder.name}: {each.why}" for each in lost if isinstance(each, Unreadable)]
    assert whys[0] == "aaaaaa: there is no record.json"
    assert whys[1].startswith("bbbbbb: record.json: id:") and len(whys) == 2


def test_a_checkpoint_is_whole_only_as_its_manifest_says(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    good = tmp_path / checkpoint(run_dir, "1-0123abcd", 1)
    assert whole(good)
    (good / "weights").unlink()
    assert not whole(good)
    (good / "manifest.json").write_text("[]")
    assert not whole(good) and not whole(tmp_path)
