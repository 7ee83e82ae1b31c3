"""queue admin prune: old ended runs are forgotten; folders only when somebody says so."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.desk import Desk, fail, finish
from support.runs import claim
from support.servers import ON_ONE_SERVER, TestServer

from schemas.rundir import RunsRoot, write_atomic

pytestmark = ON_ONE_SERVER
NOW = ("--older-than", "0.000001s")


@pytest.fixture
def desk(server: TestServer, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(server, tmp_path)
    desk.env["TRAINQ_RUNS"] = str(tmp_path / "runs")
    yield desk
    desk.close()


def ended(desk: Desk, *words: str) -> str:
    """A run that has ended, with the folder that its worker left."""
    run_id = desk.submit(*words)
    claimed = claim(desk.door)
    finish(desk.door, claimed)
    told(desk)
    root = RunsRoot(desk.folder / "runs")
    root.id()
    folder = root.run(run_id)
    folder.path.mkdir()
    (folder.path / "weights").write_bytes(b"x" * 1000)
    write_atomic(folder.record, desk.door.get(run_id).model_dump_json().encode())
    return run_id


def told(desk: Desk) -> None:
    for event in desk.door.notices_open():
        desk.door.notice_settle(event.id, "skipped")


def folders(desk: Desk) -> set[str]:
    return {path.name for path in (desk.folder / "runs").iterdir() if path.is_dir()}


def test_a_prune_counts_first_and_asks(desk: Desk) -> None:
    run_id = ended(desk)
    dry = desk.queue("admin", "prune", *NOW, "--dry-run")
    assert dry.code == 0 and dry.out == ""
    assert dry.err.startswith("1 run ended before ") and "can go: 1 of ana\n" in dry.err
    assert dry.err.endswith("\nDo it: queue admin prune --older-than 0.000001s\n")
    asked = desk.queue("admin", "prune", *NOW)
    assert asked.code == 2 and "this would forget 1 run" in asked.err
    assert desk.door.get(run_id).id == run_id
    done = desk.queue("admin", "prune", *NOW, "--yes")
    assert (done.code, done.out) == (0, "forgot 1 run\n")
    assert desk.queue("show", run_id).code == 3


def test_folders_stay_and_bring_runs_back(desk: Desk) -> None:
    run_id = ended(desk)
    desk.queue("admin", "prune", *NOW, "--yes")
    assert run_id in folders(desk)
    assert desk.queue("admin", "rebuild").code == 0
    assert desk.door.get(run_id).state == "finished"


def test_folders_go_only_when_it_is_said_and_only_their_own(desk: Desk) -> None:
    mine, needed, foreign = ended(desk), ended(desk), ended(desk)
    other = RunsRoot(desk.folder / "runs").run(foreign)
    record = json.loads(other.record.read_text())
    other.record.write_text(json.dumps({**record, "submitted_at": 1.0}))
    retry = desk.publisher("retry", needed, "--print-id").out.strip()
    desk.door._connection.hset(f"trainq:run:{retry}", "start_from", f"{needed}/attempts/x")
    answer = desk.queue("admin", "prune", *NOW, "--folders", "--yes")
    assert answer.out == "forgot 3 runs and deleted 1 folder\n", answer.err
    assert "1 folder of them in" in answer.err and "GiB" in answer.err
    assert folders(desk) == {needed, foreign} and mine not in folders(desk)


def test_what_is_still_needed_stays_and_says_why(desk: Desk) -> None:
    parent = ended(desk)
    desk.submit("--after", parent, "--hold")
    untold = desk.submit()
    fail(desk.door, claim(desk.door))
    answer = desk.queue("admin", "prune", *NOW, "--yes", "--json")
    read = json.loads(answer.out)
    assert (read["runs"], read["folders"], read["dry_run"]) == ([], [], False)
    assert read["kept"][untold] == "nobody was told of its end yet"
    lines = desk.queue("admin", "prune", *NOW, "--dry-run").err
    assert "1 stay: a run waits for them" in lines and "0 runs ended before" in lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--older-than", "soon"), "'soon' is no time"),
        (("--older-than", "0d"), "is no time"),
        ((*NOW, "--folders"), "is no runs root"),
    ],
)
def test_a_prune_that_makes_no_sense_is_one_line(
    desk: Desk, words: tuple[str, ...], said: str
) -> None:
    answer = desk.queue("admin", "prune", *words)
    assert answer.code == 2 and said in answer.err
