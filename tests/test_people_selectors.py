"""How runs are named, by all verbs alike, and what is shown before many are hit; `move`."""

import json

import pytest
from support.desk import Desk, claim_when_there, fail, finish
from support.runs import a_run, claim
from support.servers import ON_ONE_SERVER

from schemas.run import State

pytestmark = ON_ONE_SERVER


def line(desk: Desk) -> list[str]:
    return desk.queue("list", "-s", "queued", "-o", "id").out.split()


def states(desk: Desk, *ids: str) -> list[State]:
    return [desk.door.get(run_id).state for run_id in ids]


def test_mine_and_states_choose_for_every_verb(desk: Desk) -> None:
    mine, held = desk.submit(), desk.submit("--hold")
    other = desk.submit(TRAINQ_USER="bo")
    assert desk.queue("hold", "--mine", "-s", "queued").out.startswith(mine)
    assert states(desk, mine, held, other) == [State.HELD, State.HELD, State.QUEUED]
    assert desk.queue("release", "--mine").code == 0
    assert states(desk, mine, held) == [State.QUEUED] * 2
    assert desk.publisher("edit", "--mine", "--time-limit", "1h").code == 0
    assert [desk.door.get(i).time_limit_s for i in (mine, held, other)] == [3600, 3600, 0]
    assert desk.queue("cancel", "--mine").code == 0
    assert states(desk, mine, held, other) == [State.CANCELLED] * 2 + [State.QUEUED]


def test_waiting_for_mine_takes_what_has_not_ended(desk: Desk) -> None:
    failed, good = desk.submit(), desk.submit()
    fail(desk.door, claim_when_there(desk))
    answer = desk.queue("wait", "--mine", "--timeout", "0.1")
    assert answer.code == 5 and good in answer.err and failed not in answer.err
    finish(desk.door, claim_when_there(desk))
    nothing = desk.queue("wait", "--mine")
    assert (nothing.code, nothing.out, nothing.err) == (
        *(0, ""),
        "nothing of it is left to wait for\n",
    )


def test_what_would_be_hit_is_shown_before_it_is_asked_for(desk: Desk) -> None:
    desk.door.submit([a_run(user="bo", name=f"run-{number}") for number in range(25)])
    mine = desk.submit()
    answer = desk.queue("cancel", "--all")
    assert answer.code == 2 and answer.out == ""
    assert answer.err.count("bo\n") == 20 and "and 6 more" in answer.err
    assert "this would cancel 26 runs (25 of bo); nothing was changed" in answer.err
    assert set(states(desk, mine)) == {State.QUEUED}
    assert desk.queue("cancel", "--all", "--yes").code == 0
    assert desk.queue("list", "-s", "queued", "-o", "id").out == ""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("cancel", "--all", "-s", "finished"), "-s finished"),
        (("cancel", "-s", "finnished"), "did you mean finished?"),
        (("hold", "--mine", "--user", "bo"), "not both"),
        (("move", "@last"), "--first, --last, --before RUN or --priority N"),
        (("move", "@last", "--first", "--last"), "in one way"),
        (("move", "@last", "--before", "@last"), "before itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(desk: Desk, words: tuple[str, ...], hint: str) -> None:
    desk.submit()
    desk.submit(TRAINQ_USER="bo")
    answer = desk.queue(*words)
    assert answer.code == 2 and hint in answer.err and len(answer.err.splitlines()) <= 4


# ---- move ----------------------------------------------------------------------------------------


def test_runs_are_moved_to_the_front_in_the_order_they_are_named(desk: Desk) -> None:
    one, two, three, four = (desk.submit() for _ in range(4))
    answer = desk.queue("move", three, four, "--first")
    assert line(desk) == [three, four, one, two]
    assert f"{three} resnet10t: moved, next\n" in answer.out
    assert "queue list -s queued" in answer.err
    desk.queue("move", three, "--last")
    assert line(desk) == [four, one, two, three]
    desk.queue("move", two, three, "--before", one)
    assert line(desk) == [four, two, three, one]
    assert "stands there already, next" in desk.queue("move", four, "--first").out
    desk.queue("move", three, "--priority", "0")
    assert line(desk) == [four, two, one, three]


def test_what_runs_is_not_moved_and_the_others_are(desk: Desk) -> None:
    running, one, two = (desk.submit() for _ in range(3))
    claim_when_there(desk)
    answer = desk.queue("move", running, two, "--first")
    assert answer.code == 1 and f"run {running} is running" in answer.err
    assert line(desk) == [two, one]


def test_a_batch_moves_in_its_order_and_its_history_says_who(desk: Desk) -> None:
    other = desk.submit()
    answer = desk.publisher("submit", str(desk.config), "-m", "seed=3,4", "--json", "--again")
    batch = json.loads(answer.out)
    ids = [run["id"] for run in batch["runs"]]
    assert desk.queue("move", "-b", batch["batch"]["id"], "--first").code == 0
    assert line(desk) == [*ids, other]
    assert "moved by ana: first" in desk.queue("show", ids[0]).out


def test_last_means_my_last_batch_too(desk: Desk) -> None:
    words = ("submit", str(desk.config), "--seeds", "2", "--again", "--json")
    mine = json.loads(desk.publisher(*words).out)["batch"]["id"]
    theirs = json.loads(desk.publisher(*words, TRAINQ_USER="bo").out)["batch"]["id"]
    assert len(desk.queue("list", "-b", "@last", "-o", "id").out.split()) == 2
    desk.queue("cancel", "-b", "@last")
    rows = {batch: desk.door.list(batch=batch) for batch in (mine, theirs)}
    assert {row.state for row in rows[mine]} == {State.CANCELLED}
    assert {row.state for row in rows[theirs]} == {State.QUEUED}


def test_logs_of_what_has_not_started_say_where_it_stands(desk: Desk) -> None:
    run_id = desk.submit("--hold")
    answer = desk.queue("logs", run_id)
    assert (answer.code, answer.out) == (0, "")
    assert "no line yet" in answer.err and f"queue release {run_id}" in answer.err


def test_a_cancel_ends_with_what_to_type_next(desk: Desk) -> None:
    running, queued = desk.submit(), desk.submit()
    claim_when_there(desk)
    assert desk.queue("cancel", queued).err == f"Again: publisher retry {queued}\n"
    assert desk.queue("cancel", running, queued).err == f"Next: queue wait {running}\n"


def test_what_failed_of_mine_is_tried_again_once(desk: Desk) -> None:
    mine, other = desk.submit(), desk.submit(TRAINQ_USER="bo")
    for _ in range(2):
        fail(desk.door, claim_when_there(desk))
    answer = desk.publisher("retry", "--failed", "--mine", "--print-id")
    again = desk.door.get(answer.out.strip())
    assert (again.retry_of, desk.door.get(other).state) == (mine, State.FAILED)
    twice = desk.publisher("retry", "--failed", "--mine")
    assert twice.code == 1 and "nothing of your runs failed" in twice.err
    assert desk.publisher("retry", "--mine").code == 2


def test_lists_and_results_take_runs_by_name(desk: Desk) -> None:
    one, other, third = (desk.submit("--name", name) for name in ("one", "other", "third"))
    finish(desk.door, claim(desk.door))
    fail(desk.door, claim(desk.door))
    assert desk.queue("list", "third", one, "-o", "id").out.split() == [third, one]
    assert desk.queue("list", one, third, "-s", "queued", "-o", "id").out.split() == [third]
    assert desk.queue("list", "@failed").out.splitlines()[1].startswith(other)
    assert desk.queue("results", one, third, "-o", "id").out.split() == [one]
    told = desk.queue("results", one, other, "--mean", "-o", "id").out.split()
    assert sorted(told) == sorted([one, other])


def test_a_retry_takes_runs_by_their_state(desk: Desk) -> None:
    gone, failed, _ = desk.submit(), desk.submit(), desk.submit()
    desk.queue("cancel", gone)
    fail(desk.door, claim(desk.door))
    answer = desk.publisher("retry", "-s", "cancelled,failed", "--print-id", "--yes")
    assert answer.code == 0, answer.err
    assert {desk.door.get(run_id).retry_of for run_id in answer.out.split()} == {gone, failed}
