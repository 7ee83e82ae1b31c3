"""Checkpoints: whole or absent, known by their checksums, two newest and the best."""

from pathlib import Path

import pytest
import torch
from support.disks import full_disk

from schemas.rundir import AttemptDir, RunDir
from trainer import checkpoint
from trainer.checkpoint import Checkpoint, Shelf
from trainer.faults import DiskFault

WHOLE = Checkpoint(
    {"schema": 1, "step": 4},
    {"w": torch.arange(6.0).reshape(2, 3)},
    {"memory": torch.ones(2), "n": [1, 2]},
)


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptDir:
    return RunDir(tmp_path).make_attempt("1-00000001")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_checkpoint_is_read_as_it_was_written_without_running_anything(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "step-4", WHOLE)
    found = checkpoint.read(tmp_path / "step-4")
    assert found.meta == WHOLE.meta
    assert torch.equal(found.weights["w"], WHOLE.weights["w"])
    assert found.state and found.state["n"] == [1, 2]


def test_a_checkpoint_of_another_schema_is_not_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "step-4", Checkpoint({"schema": 2}, WHOLE.weights))
    assert checkpoint.damage(tmp_path / "step-4") == "it has schema 2, this trainer reads 1"


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt", "meta.json", "manifest.json"])
def test_every_damage_is_noticed(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "step-4"
    checkpoint.write(folder, WHOLE)
    assert checkpoint.damage(folder) == ""
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert checkpoint.damage(folder)
    (folder / name).unlink()
    assert checkpoint.damage(folder)


def test_the_two_newest_and_every_best_they_speak_of_are_kept(attempt: AttemptDir) -> None:
    shelf = Shelf(attempt)
    shelf.keep_best(2, WHOLE)
    shelf.save(3, WHOLE)
    shelf.keep_best(4, WHOLE)
    shelf.save(5, WHOLE)
    assert names(attempt.checkpoints) == {"best-2", "step-3", "best-4", "step-5"}
    shelf.save(6, WHOLE)
    assert names(attempt.checkpoints) == {"best-4", "step-5", "step-6"}


def test_a_full_disk_keeps_the_old_checkpoint_and_leaves_no_rest(attempt: AttemptDir) -> None:
    shelf = Shelf(attempt)
    shelf.save(3, WHOLE)
    with full_disk():
        assert shelf.save(4, WHOLE) is None
    assert names(attempt.checkpoints) == {"step-3"}
    assert shelf.save(5, WHOLE)


def test_three_refusals_in_a_row_end_the_run_in_one_line(attempt: AttemptDir) -> None:
    shelf = Shelf(attempt)
    with full_disk():
        assert not shelf.save(1, WHOLE)
        assert not shelf.keep_best(1, WHOLE)
        with pytest.raises(DiskFault, match="3 checkpoints in a row could not be written"):
            shelf.save(2, WHOLE)


def test_the_best_weights_of_an_earlier_attempt_are_shared_not_copied(tmp_path: Path) -> None:
    first, second = (RunDir(tmp_path).make_attempt(f"{n}-00000001") for n in (1, 2))
    Shelf(first).keep_best(2, WHOLE)
    shelf = Shelf(second)
    assert shelf.adopt_best(first.best_at(2))
    theirs, mine = (folder.best_at(2) / checkpoint.WEIGHTS for folder in (first, second))
    assert theirs.samefile(mine)
    assert shelf.publish_best() == second.best and checkpoint.damage(second.best) == ""
    assert mine.exists(), "a trainer killed before its result leaves them for the next attempt"


def test_damaged_best_weights_are_not_taken_over(tmp_path: Path) -> None:
    first, second = (RunDir(tmp_path).make_attempt(f"{n}-00000001") for n in (1, 2))
    Shelf(first).keep_best(2, WHOLE)
    (first.best_at(2) / checkpoint.WEIGHTS).write_bytes(b"")
    assert not Shelf(second).adopt_best(first.best_at(2))


def test_the_furthest_checkpoint_of_all_attempts_comes_first(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for token, steps in (("1-00000001", (3, 9)), ("2-00000002", (9, 12)), ("10-00000003", (9,))):
        shelf = Shelf(run.make_attempt(token))
        for step in steps:
            shelf.save(step, WHOLE)
    found = [(folder.parts[-3].split("-")[0], folder.name) for folder in checkpoint.newest(run)]
    assert found == [
        ("2", "step-12"),
        ("10", "step-9"),
        ("2", "step-9"),
        ("1", "step-9"),
        ("1", "step-3"),
    ]
    assert [folder.name for folder in checkpoint.newest(run, up_to=8)] == ["step-3"]


def test_the_fingerprint_of_weights_is_the_checksum_of_their_file(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "step-4", WHOLE)
    in_file = checkpoint.checksum(tmp_path / "step-4" / checkpoint.WEIGHTS)
    assert checkpoint.fingerprint(WHOLE.weights) == in_file
