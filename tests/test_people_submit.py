"""submit and retry: what they queue, what they say, and that a bad config queues nothing."""

import json
import re

import pytest
from support.desk import Desk, claim_when_there, fail, finish, lines, save
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER
from support.waiting import PATIENCE_S

from publisher.plans.plan import Planned
from publisher.plans.sending import send
from schemas.run import State

pytestmark = ON_ONE_SERVER


def test_submit_says_id_name_place_and_what_to_type_next(desk: Desk) -> None:
    answer = desk.publisher("submit", str(desk.config), "optim.lr=1e-3")
    run_id = answer.out.split()[0]
    assert answer.code == 0
    assert answer.out == f"{run_id}  resnet10t-lr1e-3  queued, next\n"
    assert f"queue logs {run_id} -f" in answer.err and f"queue cancel {run_id}" in answer.err
    assert "worker --gpu 0" in answer.err
    run = desk.door.get(run_id)
    assert (run.user, run.overrides, run.config["optim"]["lr"]) == ("ana", ("optim.lr=1e-3",), 1e-3)
    assert run.config["train"]["epochs"] == 3 and run.config["data"]["img_size"] == 224


def test_a_bad_config_queues_nothing_and_shows_where(desk: Desk) -> None:
    (desk.folder / "bad.yaml").write_text("model: {name: resnet10t}\ntrian: {epochs: 3}\n")
    answer = desk.publisher("submit", str(desk.config), str(desk.folder / "bad.yaml"), "seed=-1")
    assert answer.code == 2 and answer.out == ""
    assert "bad.yaml:2:1" in answer.err and "did you mean 'train'?" in answer.err
    assert "override: seed=-1" in answer.err
    assert "nothing was queued" in answer.err
    assert not any(desk.door.counts().values())


def test_a_key_without_its_value_is_told_from_a_file(desk: Desk) -> None:
    answer = desk.publisher("submit", str(desk.config), "optim.lr")
    assert answer.code == 2
    assert "there is no such file" in answer.err
    assert "= help: an override is KEY=VALUE: optim.lr=..." in answer.err
    assert "KEY=VALUE" not in desk.publisher("submit", "birds.yaml").err
    spaced = desk.publisher("submit", str(desk.config), "-m", "optim.lr=1e-3,", "3e-4")
    assert spaced.err.count("error:") == 1
    assert "= help: a list has no space after its commas: KEY=1e-3,3e-4" in spaced.err


def test_several_files_are_one_batch(desk: Desk) -> None:
    answer = desk.publisher("submit", str(desk.config), str(desk.config), "--json", "--again")
    runs = json.loads(answer.out)["runs"]
    assert [run["ahead"] for run in runs] == [0, 1]
    assert len({run["batch"] for run in runs}) == 1 and runs[0]["batch"]
    assert len(desk.door.list(batch=runs[0]["batch"])) == 2


def test_flags_go_into_the_record(desk: Desk) -> None:
    flags = ("--name", "My Run", "--priority", "7", "--hold", "--notify", "#vision")
    run = desk.door.get(desk.submit(*flags))
    assert (run.name, run.priority, run.notify) == ("my-run", 7, "#vision")
    assert (run.state, run.held_by) == (State.HELD, "ana")


def test_a_dry_run_needs_no_redis_and_queues_nothing(desk: Desk) -> None:
    answer = desk.publisher(
        "submit", str(desk.config), "seed=3", "--dry-run", REDIS_URL="redis://localhost:1"
    )
    assert (answer.code, answer.out.split()[0]) == (0, "resnet10t-seed3")
    assert "queues nothing" in answer.err
    words = ("-m", "optim.lr=1e-3,3e-4", "--dry-run", "--json")
    told = json.loads(desk.publisher("submit", str(desk.config), *words).out)
    assert (told["schema_version"], told["dry_run"]) == (1, True)
    assert [run["overrides"] for run in told["runs"]] == [["optim.lr=1e-3"], ["optim.lr=3e-4"]]


def test_submit_follow_prints_the_lines_and_exits_as_the_run_does(desk: Desk) -> None:
    process = desk.start("publisher", "submit", str(desk.config), "--follow")
    claimed = claim_when_there(desk)
    lines(desk.door, claimed, "epoch 1")
    fail(desk.door, claimed, error="it broke")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert out.splitlines()[1:] == ["epoch 1"]
    assert "it broke" in err and f"queue show {claimed.run.id}" in err


def test_a_retry_is_a_new_run_that_starts_from_the_checkpoint(desk: Desk) -> None:
    old = desk.submit("--notify", "@me", "--priority", "5")
    claimed = claim(desk.door)
    save(desk.door, claimed, step=20)
    fail(desk.door, claimed)
    answer = desk.publisher("retry", old, "optim.lr=1e-4")
    new = desk.door.get(answer.out.split()[0])
    assert "goes on from step 20" in answer.out
    assert new.retry_of == old and new.id != old and new.state is State.QUEUED
    assert new.start_from == f"{old}/attempts/{claimed.token}/checkpoints/step-20"
    assert new.runs_root == "root-a"
    assert (new.name, new.priority, new.notify) == ("resnet10t-r2", 5, "@me")
    assert new.config["optim"]["lr"] == 1e-4 and new.config["train"]["epochs"] == 3
    assert desk.door.get(old).state is State.FAILED


@pytest.mark.parametrize("words", [("--fresh",), ("model.name=resnet18",), ("seed=7",)])
def test_a_retry_that_cannot_go_on_starts_at_step_0_and_says_so(
    desk: Desk, words: tuple[str, ...]
) -> None:
    old = desk.submit()
    claimed = claim(desk.door)
    save(desk.door, claimed)
    fail(desk.door, claimed)
    answer = desk.publisher("retry", old, *words)
    assert answer.code == 0 and "from the start" in answer.out
    assert desk.door.get(answer.out.split()[0]).start_from == ""


def test_a_retry_checks_its_overrides_like_a_config(desk: Desk) -> None:
    old = desk.submit()
    fail(desk.door, claim(desk.door))
    answer = desk.publisher("retry", old, "optim.lr=fast")
    assert answer.code == 2 and "override: optim.lr=fast" in answer.err
    assert desk.door.counts()[State.QUEUED] == 0


def test_a_retry_of_what_has_not_ended_is_refused_with_what_to_do(desk: Desk) -> None:
    run_id = desk.submit()
    answer = desk.publisher("retry", run_id)
    assert answer.code == 1 and f"queue cancel {run_id}" in answer.err


def test_several_retries_are_all_or_none(desk: Desk) -> None:
    first = desk.submit()
    finish(desk.door, claim(desk.door))
    second = desk.submit()
    assert desk.publisher("retry", first, second).code == 1
    assert desk.door.counts()[State.QUEUED] == 1
    desk.queue("cancel", second)
    assert desk.publisher("retry", first, second, "--print-id").out.count("\n") == 2


def test_an_id_that_is_taken_is_replaced(desk: Desk) -> None:
    taken = desk.submit()
    ids = iter([taken, "aaaaaa"])
    sent = send(desk.door, [Planned("mine", "ana", {"model": {}})], make_id=lambda: next(ids))
    assert [one.receipt.id for one in sent] == ["aaaaaa"]
    assert desk.door.get(taken).name == "resnet10t"


def test_a_submit_that_redis_refuses_is_known_to_have_queued_nothing(desk: Desk) -> None:
    with desk.server.client() as client:
        before = client.config_get("maxmemory")["maxmemory"]
        try:
            client.config_set("maxmemory", "1")
            answer = desk.publisher("submit", str(desk.config))
            many = desk.publisher("submit", str(desk.config), "--seeds", "600", "--yes")
        finally:
            client.config_set("maxmemory", before)
    assert answer.code == many.code == 4
    assert "its memory is full; nothing was queued" in answer.err
    assert "raise its maxmemory" in answer.err
    assert re.search(r"not whole, .* nothing of it starts\n.*\n.*queue cancel -b \w{6}", many.err)
    assert not any(desk.door.counts().values())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--on", "v1oo:0"], "No worker was seen on v1oo:0 yet, only on v100"),
        (["--on", "v100:7"], "No worker was seen on v100:7 yet, only on v100:0"),
        (["--folds", "3", "--gpus", "2"], "It waits: needs 2 GPUs; no worker holds more than 1"),
    ],
    ids=["host", "gpu", "gpus"],
)
def test_what_no_worker_can_take_is_told_at_once(desk: Desk, words: list[str], reason: str) -> None:
    desk.door.announce(a_worker())
    answer = desk.publisher("submit", str(desk.config), *words)
    assert answer.code == 0
    assert reason in answer.err.splitlines()
    sound = desk.publisher("submit", str(desk.config), "--seeds", "2", "--on", "v100")
    assert "It waits" not in sound.err and "No worker" not in sound.err


def test_a_retry_of_what_is_tried_again_already_says_so(desk: Desk) -> None:
    run_id = desk.submit()
    fail(desk.door, claim(desk.door))
    first = desk.publisher("retry", run_id)
    assert "already" not in first.err
    again = first.out.split()[0]
    second = desk.publisher("retry", run_id)
    assert f"{run_id} was tried again already: {again} of ana, queued\n" in second.err
    changed = desk.publisher("retry", run_id, "train.epochs=9")
    assert "already" not in changed.err
