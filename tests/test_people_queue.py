"""list, show, cancel, hold, release, wait, results, logs: one desk, one real server."""

import csv
import io
import json
import re

from support.desk import Desk, fail, finish, lines, save
from support.runs import a_run, claim
from support.servers import ON_ONE_SERVER

from publisher.pages.watching import waiting_line
from queue_worker.queue import Ending
from schemas.run import Cause, State

pytestmark = ON_ONE_SERVER


def cancelled(desk: Desk) -> str:
    run_id = desk.submit()
    desk.queue("cancel", run_id)
    return run_id


# ---- list ----------------------------------------------------------------------------------------


def test_a_list_is_in_the_order_of_scheduling(desk: Desk) -> None:
    runs = [desk.submit() for _ in range(4)]
    fail(desk.door, claim(desk.door))
    claim(desk.door)
    urgent = desk.submit("--priority", "9")
    shown = [line.split()[0] for line in desk.queue("list").out.splitlines()[1:6]]
    assert shown == [runs[1], urgent, runs[2], runs[3], runs[0]]


def test_a_list_of_somebodys_runs_still_knows_their_place(desk: Desk) -> None:
    desk.submit()
    other = desk.submit(TRAINQ_USER="bo")
    records = json.loads(desk.queue("list", "--user", "bo", "--json").out)["runs"]
    assert [(run["id"], run["ahead"]) for run in records] == [(other, 1)]
    assert desk.queue("list", "--mine", "-o", "id", TRAINQ_USER="bo").out == f"{other}\n"


def test_a_screenful_says_how_much_it_leaves_out(desk: Desk) -> None:
    desk.door.submit([a_run() for _ in range(25)])
    answer = desk.queue("list")
    assert answer.out.count(". queued") == 20
    assert answer.err == "5 runs not shown: queue list --all\n"
    assert desk.queue("list", "--all").out.count(". queued") == 25
    assert len(desk.queue("list", "-o", "id").out.split()) == 25
    assert len(desk.queue("list", "-n", "3", "-o", "id").out.split()) == 3


def test_a_list_can_be_filtered_by_states(desk: Desk) -> None:
    held, gone = desk.submit("--hold"), cancelled(desk)
    desk.submit()
    assert desk.queue("list", "-s", "held,cancelled", "-o", "id").out.split() == [held, gone]
    assert desk.queue("list", "-s", "finished").out.startswith("no such runs")


def test_a_failure_that_was_tried_again_is_told_from_one_that_waits_for_somebody(
    desk: Desk,
) -> None:
    seen_to, open_ = desk.submit(), desk.submit()
    for _ in range(2):
        fail(desk.door, claim(desk.door))
    again = desk.publisher("retry", seen_to, "--print-id").out.strip()
    said = f"retried as {again}, queued: it broke"
    told = {line[:6]: line for line in desk.queue("list").out.splitlines()}
    assert said in told[seen_to] and "retried" not in told[open_] and "it broke" in told[open_]
    assert f"why it failed: queue show {open_}" in desk.queue("list", seen_to, open_).err
    assert f"why it failed: queue show {open_}" in desk.queue("results").err
    assert said in desk.queue("results").out
    for words in ("list", "-s", "failed"), ("results",):
        told = {
            run["id"]: run
            for run in json.loads(desk.queue(*words, "--json").out)[
                "runs" if words[0] == "list" else "results"
            ]
        }
        seen = told[seen_to]["retried_as"], told[seen_to]["retried_state"]
        assert seen == (again, "queued") and told[open_]["retried_as"] is None
    fail(desk.door, claim(desk.door))
    assert f"why it failed: queue show {again}" in desk.queue("list", seen_to, again).err


def test_every_format_of_a_list_has_the_same_runs(desk: Desk) -> None:
    runs = [desk.submit(), desk.submit("--hold")]
    read = json.loads(desk.queue("list", "--json").out)
    assert read["schema_version"] == 1 and [run["id"] for run in read["runs"]] == runs
    assert read["counts"]["queued"] == 1 and read["matching"] == 2
    jsonl = desk.queue("list", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in jsonl] == runs
    rows = csv.DictReader(io.StringIO(desk.queue("list", "-o", "csv").out))
    assert [row["id"] for row in rows] == runs


def test_a_name_cannot_move_the_cursor(desk: Desk) -> None:
    run_id = desk.submit()
    claimed = claim(desk.door)
    fail(desk.door, claimed, error="\x1b[2Jwiped\x07")
    lines(desk.door, claimed, "late")
    for words in (("list",), ("show", run_id), ("results",), ("list", "-o", "csv")):
        answer = desk.queue(*words)
        assert "wiped" in answer.out
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", answer.out + answer.err)


# ---- selecting -----------------------------------------------------------------------------------


def test_runs_are_named_by_id_beginning_name_last_and_failed(desk: Desk) -> None:
    first = desk.submit("--name", "first")
    fail(desk.door, claim(desk.door))
    last = desk.submit("--name", "second")
    for word, meant in [
        *((first, first), (first[:5], first), ("first", first)),
        *(("@failed", first), ("@last", last), ("second", last)),
    ]:
        assert json.loads(desk.queue("show", word, "--json").out)["id"] == meant


def test_last_means_my_last(desk: Desk) -> None:
    mine = desk.submit()
    desk.publisher("submit", str(desk.config), TRAINQ_USER="bo")
    assert desk.queue("cancel", "@last").out.startswith(mine)


def test_nothing_is_done_when_one_of_several_is_not_found(desk: Desk) -> None:
    run_id = desk.submit()
    answer = desk.queue("cancel", run_id, "nonsense")
    assert answer.code == 3 and "nonsense" in answer.err
    assert desk.door.get(run_id).state is State.QUEUED


def test_a_run_that_is_named_twice_is_touched_once(desk: Desk) -> None:
    run_id = desk.submit()
    assert desk.queue("cancel", run_id, "@last", run_id).out == f"{run_id} resnet10t: cancelled\n"


# ---- cancel, hold, release -----------------------------------------------------------------------


def test_cancel_says_what_it_did_and_may_be_repeated(desk: Desk) -> None:
    queued, running = desk.submit(), desk.submit("--priority", "9")
    claimed = claim(desk.door)
    assert desk.queue("cancel", queued, "--reason", "wrong split").out.endswith(": cancelled\n")
    assert "asked; it saves a checkpoint on v100:0" in desk.queue("cancel", running).out
    assert "already asked by ana" in desk.queue("cancel", running).out
    desk.door.end(running, claimed.token, Ending(state=State.CANCELLED, cause=Cause.CANCELLED))
    again = desk.queue("cancel", queued, running)
    assert again.code == 0 and again.out.count("already cancelled") == 2
    assert "wrong split" in desk.queue("show", queued).out


def test_cancel_of_a_finished_run_changes_nothing(desk: Desk) -> None:
    run_id = desk.submit()
    finish(desk.door, claim(desk.door))
    answer = desk.queue("cancel", run_id)
    assert (answer.code, answer.out) == (0, f"{run_id} resnet10t: already finished\n")


def test_hold_and_release_keep_the_place_and_may_be_repeated(desk: Desk) -> None:
    first, _ = desk.submit(), desk.submit()
    held = desk.queue("hold", first, "--reason", "wait")
    assert held.out.endswith(": held; it keeps its place\n")
    assert held.err == f"Let go: queue release {first}\n"
    assert "already held by ana" in desk.queue("hold", first).out
    assert desk.queue("release", first).out.endswith(": released, queued, 0 ahead\n")
    assert "was not held, it is queued" in desk.queue("release", first).out


def test_one_refusal_does_not_spare_the_others(desk: Desk) -> None:
    running = desk.submit()
    claim(desk.door)
    queued = desk.submit()
    answer = desk.queue("hold", running, queued)
    assert answer.code == 1 and f"{running} is running" in answer.err
    assert desk.door.get(queued).state is State.HELD


# ---- wait ----------------------------------------------------------------------------------------


def test_wait_ends_as_the_runs_did(desk: Desk) -> None:
    good, bad, gone = desk.submit(), desk.submit(), cancelled(desk)
    finish(desk.door, claim(desk.door))
    fail(desk.door, claim(desk.door), error="no such file: a.jpg")
    assert desk.queue("wait", good).code == 0
    assert desk.queue("wait", gone, good).code == 6
    answer = desk.queue("wait", good, gone, bad)
    assert answer.code == 1 and "failed: no such file: a.jpg" in answer.out
    assert answer.err == f"error: 1 run failed\n  try:   queue show {bad}\n"
    assert [line.split()[0] for line in answer.out.splitlines()] == [good, gone, bad]


def test_wait_times_out_and_leaves_the_run_be(desk: Desk) -> None:
    run_id = desk.submit()
    answer = desk.queue("wait", run_id, "--timeout", "0.1s")
    assert answer.code == 5 and f"queue wait {run_id}" in answer.err
    assert desk.door.get(run_id).state is State.QUEUED


def test_waiting_for_many_names_a_few_and_what_runs_first(desk: Desk) -> None:
    runs = [desk.submit() for _ in range(9)]
    desk.queue("move", runs[8], "--first")
    assert claim(desk.door).run.id == runs[8]
    answer = desk.queue("wait", *runs, "--timeout", "0")
    assert answer.code == 5 and "and 3 more\n  try:   the same command\n" in answer.err
    told = waiting_line([], desk.door.rows(runs), 3)
    assert (
        told == f"0 of 9 ended after 3s; {runs[8]} running, {runs[0]} queued, {runs[1]} queued, ..."
    )


def test_wait_any_returns_with_the_first(desk: Desk) -> None:
    queued, gone = desk.submit(), cancelled(desk)
    answer = desk.queue("wait", queued, gone, "--any", "--timeout", "20")
    assert answer.code == 6 and answer.out.split()[0] == gone


# ---- results, show, logs -------------------------------------------------------------------------


def test_results_rank_what_finished_and_list_what_failed(desk: Desk) -> None:
    low, high, bad = desk.submit(), desk.submit(), desk.submit()
    finish(desk.door, claim(desk.door), value=0.5, macro_f1=0.9)
    finish(desk.door, claim(desk.door), value=0.8, macro_f1=0.1)
    fail(desk.door, claim(desk.door))
    assert desk.queue("results", "-o", "id").out.split() == [high, low, bad]
    assert desk.queue("results", "--sort", "macro_f1", "-o", "id").out.split() == [low, high, bad]
    read = json.loads(desk.queue("results", "--json").out)["results"]
    assert [(r["place"], r["value"], r["state"]) for r in read] == [
        *((1, 0.8, "finished"), (2, 0.5, "finished"), (None, None, "failed"))
    ]
    rows = list(csv.DictReader(io.StringIO(desk.queue("results", "-o", "csv").out)))
    assert rows[0]["id"] == high and rows[0]["metric"] == "accuracy"
    answer = desk.queue("results", "--sort", "nonsense")
    assert answer.code == 2 and "--sort accuracy" in answer.err


def test_show_has_cause_remedy_history_and_last_lines(desk: Desk) -> None:
    run_id = desk.submit("optim.lr=0.1")
    claimed = claim(desk.door)
    lines(desk.door, claimed, *[f"line {number}" for number in range(20)])
    save(desk.door, claimed)
    fail(desk.door, claimed, Cause.DIVERGED, "the loss is no number since step 12")
    page = desk.queue("show", run_id).out
    assert "x FAILED (diverged)" in page and "the loss is no number since step 12" in page
    assert f"publisher retry {run_id} optim.lr=0.01" in page
    assert "optim.lr=0.1 train.epochs=3" in page and "given: optim.lr=0.1" in page
    assert "submitted by ana" in page and "claimed by v100:0 (attempt 1)" in page
    assert "line 19" in page and "line 11\n" not in page
    record = json.loads(desk.queue("show", run_id, "--json").out)
    assert record["cause"] == "diverged" and record["config"]["optim"]["lr"] == 0.1
    assert [event["kind"] for event in record["events"]] == [
        *("submitted", "claimed", "checkpoint", "failed")
    ]


def test_the_remedy_that_show_gives_can_be_typed(desk: Desk) -> None:
    for cause in (Cause.DIVERGED, Cause.CUDA_OOM, Cause.HOST_OOM, Cause.CODE, Cause.GPU_FAULT):
        run_id = desk.submit()
        fail(desk.door, claim(desk.door), cause)
        command = re.search(r"Try +publisher (.+?)   \(", desk.queue("show", run_id).out)
        assert command and desk.publisher(*command[1].split()).code == 0
        desk.queue("cancel", "@last")


def test_logs_are_printed_cut_and_searched(desk: Desk) -> None:
    run_id = desk.submit()
    lines(desk.door, claim(desk.door), "one", "two\x1b[31m red", " 3%|bar\r50%|bar\r100%|done")
    assert desk.queue("logs", run_id).out == "one\ntwo red\n100%|done\n"
    assert desk.queue("logs", run_id, "-n", "1").out == "100%|done\n"
    assert desk.queue("logs", run_id, "--grep", "^t").out == "two red\n"


def test_logs_say_when_the_first_lines_are_no_longer_here(desk: Desk) -> None:
    run_id = desk.submit()
    claimed = claim(desk.door)
    for number in (1, 2):
        lines(desk.door, claimed, *[f"line {i}" for i in range(1500)], number=number)
    answer = desk.queue("logs", run_id)
    assert f"1000 earlier lines are in runs/{run_id}/run.log" in answer.err
    assert answer.out.count("\n") == 2000
