"""Batches and what steers many runs at once: a line that opens, selectors, questions, receipts."""

import json
import re
from typing import Any

import pytest
from support.desk import Desk, fail, finish
from support.runs import a_run, a_worker, claim
from support.servers import ON_ONE_SERVER

from queue_worker.queue import BatchCard, Ending
from schemas.run import Parent, State, new_id, new_nonce

pytestmark = ON_ONE_SERVER


def a_batch(desk: Desk, number: int = 3, user: str = "ana", **card: Any) -> tuple[str, list[str]]:
    """A sweep over learning rates; its id and those of its runs, first to be claimed first."""
    batch = BatchCard(id=new_id(), name="lr-sweep", user=user, kind="sweep", total=number, **card)
    runs = [
        a_run(user=user, batch=batch.id, config={"model": {"name": "vit"}, "optim": {"lr": n}})
        for n in range(number)
    ]
    return batch.id, [receipt.id for receipt in desk.door.submit(runs, batch)]


# ---- the list ------------------------------------------------------------------------------------


def test_a_batch_is_one_line_that_opens(desk: Desk) -> None:
    batch, runs = a_batch(desk)
    alone = desk.submit()
    finish(desk.door, claim(desk.door), value=0.75)
    claim(desk.door)
    answer = desk.queue("list")
    head, *rest = answer.out.splitlines()[1:]
    assert head.split()[:7] == [batch, "lr-sweep", "x3", ">", "running", "1/3", "acc"]
    assert "1 running, 1 queued" in head and "ana  " in head and "ana:" not in head
    assert "ana: 1 running, " in desk.queue("list", COLUMNS="80").out  # that has no room for OWNER
    assert rest[0].startswith(alone) and "2 ahead" not in rest[0]
    assert f"queue list -b {batch}" in answer.err
    opened = desk.queue("list", "-b", "lr-sweep", "-o", "id").out.split()
    assert sorted(opened) == sorted(runs)
    assert desk.queue("list", "-b", batch).out.count("\n") > 4


def test_a_large_batch_opens_as_a_screenful_and_hides_no_other(desk: Desk) -> None:
    (large, _), (small, _) = a_batch(desk, 301), a_batch(desk, 2, "bo")
    assert [line.split()[0] for line in desk.queue("list").out.splitlines()[1:3]] == [large, small]
    answer = desk.queue("list", "-b", large)
    assert answer.out.count(". queued") == 20
    assert answer.err == f"281 runs not shown: queue list -b {large} --all\n"
    assert desk.queue("list", "-b", large, "--all").out.count(". queued") == 301


def test_a_list_as_json_has_runs_batches_and_controls(desk: Desk) -> None:
    batch, runs = a_batch(desk, max_parallel=2)
    desk.queue("hold", "-b", batch, "--reason", "wrong split")
    read = json.loads(desk.queue("list", "--json").out)
    assert [run["id"] for run in read["runs"]] == runs
    assert read["batches"][0]["id"] == batch and read["batches"][0]["counts"] == {"queued": 3}
    assert read["controls"][0]["scope"] == f"batch:{batch}"
    assert read["runs"][0]["why"] == "its batch is held by ana: wrong split"


def test_a_batch_of_which_nothing_can_start_says_why_in_its_one_line(desk: Desk) -> None:
    desk.door.announce(a_worker())
    desk.publisher("submit", str(desk.config), "--folds", "3", "--name", "folds", "--on", "nohost")
    line = desk.queue("list").out.splitlines()[1]
    assert line.endswith("needs nohost, which has no worker; 3 queued, 1 waiting")


def test_a_page_of_a_batch_shows_the_ends_of_a_long_axis(desk: Desk) -> None:
    desk.publisher("submit", str(desk.config), "--seeds", "40", "--name", "many", "--yes")
    assert "  Axes     seed: 42, 43 ... 81 (40 values)" in desk.queue("show", "many").out


def test_the_time_of_a_batch_that_has_ended_stands_still(desk: Desk) -> None:
    batch, runs = a_batch(desk, 2)
    desk.queue("cancel", *runs, "--yes")
    with desk.server.client() as client:
        client.hset(f"trainq:batchcard:{batch}", "submitted_at", 1_000_000)
        for run_id in runs:
            client.hset(f"trainq:run:{run_id}", "ended_at", 1_000_000 + 3600)
    line = desk.queue("list", "--all").out.splitlines()[1]
    assert " 1h00m " in line


def test_a_batch_that_has_ended_is_no_longer_shown_as_held(desk: Desk) -> None:
    batch, runs = a_batch(desk, 1)
    desk.queue("hold", "-b", batch)
    desk.queue("cancel", *runs)
    assert "held" not in desk.queue("list", "--all").out.splitlines()[1]


@pytest.mark.parametrize("columns", ["40", "60"])
def test_a_narrow_list_puts_the_reason_below_and_stays_within_the_terminal(
    desk: Desk, columns: str
) -> None:
    desk.submit("--name", "a-name-that-is-long-enough-to-be-cut")
    a_batch(desk)
    first, *lines = desk.queue("list", COLUMNS=columns).out.splitlines()
    assert "WHY" not in first
    assert "  no worker is alive" in lines
    assert any(line.startswith("  ") and "3 queued" in line for line in lines)
    assert max(len(line) for line in [first, *lines]) <= int(columns)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_a_list_with_everything_in_it_fits_the_terminal(desk: Desk, columns: str) -> None:
    a_batch(desk, 12)
    desk.door.submit(
        [a_run(priority=7, gpus=2, memory_mb=12000, name="a-name-that-is-long-enough-to-be-cut")]
    )
    first = desk.submit()
    desk.door.submit([a_run(after=(Parent(id=first),))])
    desk.queue("hold", "--user", "bo", "--reason", "a reason that goes on " * 3)
    shown = desk.queue("list", COLUMNS=columns).out.splitlines()
    assert max(len(line) for line in shown if "held by" not in line) <= int(columns)
    assert ("PRIO" in shown[0]) == ("MEMORY" in shown[0]) == (columns == "120")


def test_a_waiting_run_names_the_parent_that_it_waits_for(desk: Desk) -> None:
    parent, done = desk.submit(), desk.submit()
    child = desk.door.submit([a_run(after=(Parent(id=parent), Parent(id=done)))])[0].id
    claim(desk.door)
    assert f"waits for {parent} (running), {done} (queued)" in desk.queue("list").out
    desk.queue("cancel", done)
    assert desk.door.get(child).state is State.SKIPPED


# ---- verbs that hit many -------------------------------------------------------------------------


def test_a_held_batch_starts_nothing_and_says_by_whom(desk: Desk) -> None:
    batch, _ = a_batch(desk)
    claim(desk.door)
    answer = desk.queue("hold", "-b", "lr-sweep", "--reason", "wrong split")
    said = "held, 2 pending runs will not start; what runs goes on"
    assert answer.out == f"batch {batch} lr-sweep: {said}\n"
    assert answer.err == f"Let go: queue release -b {batch}\n"
    assert desk.door.claim(a_worker(), new_nonce()) is None
    assert "held by ana: wrong split; 1 running, 2 queued" in desk.queue("list").out
    assert "already held so" in desk.queue("hold", "-b", batch, "--reason", "wrong split").out
    assert desk.queue("release", "-b", batch).out == f"batch {batch} lr-sweep: released\n"
    assert "was not held" in desk.queue("release", "-b", batch).out
    claim(desk.door)


def test_a_batch_that_was_submitted_held_is_let_go_by_the_command_that_its_receipt_shows(
    desk: Desk,
) -> None:
    answer = desk.publisher("submit", str(desk.config), "--seeds", "3", "--hold", "--name", "late")
    (hint,) = re.findall(r"Let go: queue (.*)", answer.err)
    let_go = desk.queue(*hint.split())
    assert let_go.code == 0
    assert let_go.out.count("released, queued") == 3
    assert desk.door.counts()[State.HELD] == 0


def test_a_run_of_a_held_batch_that_somebody_holds_by_itself_stays_held(desk: Desk) -> None:
    batch, (first, *_) = a_batch(desk)
    desk.queue("hold", "-b", batch)
    desk.queue("hold", first, "--reason", "its label is wrong")
    answer = desk.queue("release", "-b", batch)
    said = f"released; 1 run held one by one: queue release -b {batch}"
    assert answer.out == f"batch {batch} lr-sweep: {said}\n"
    assert desk.door.get(first).state is State.HELD
    assert "released, queued" in desk.queue("release", "-b", batch).out


def test_a_person_a_worker_and_everything_can_be_held(desk: Desk) -> None:
    run_id = desk.submit()
    desk.door.announce(a_worker())
    for flags, reason in (
        (("--user", "ana"), "runs of ana are held by ana: busy"),
        (("--worker", "v100:0"), "v100:0 is held, by ana: busy"),
        (("--all",), "everything is held by ana: busy"),
    ):
        assert desk.queue("hold", *flags, "--reason", "busy", "--yes").code == 0
        assert desk.door.claim(a_worker(), new_nonce()) is None
        listed = json.loads(desk.queue("list", "--json").out)["runs"]
        assert [run["why"] for run in listed] == [reason]
        assert "released" in desk.queue("release", *flags).out
    assert claim(desk.door).run.id == run_id


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("hold", "--user", "nobody"), 3, "nobody called 'nobody' has runs"),
        (("hold", "--worker", "a100:0"), 3, "there is no worker 'a100:0'"),
        (("hold", "-b", "nonsense"), 3, "there is no batch 'nonsense'"),
        (("hold",), 2, ""),
        (("hold", "--reason", "x"), 2, "nothing was named"),
        (("cancel", "--yes"), 2, "no run was named"),
        (("hold", "@last", "--all"), 2, "not both"),
        (("move", "@last"), 2, "--priority"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    desk: Desk, words: tuple[str, ...], code: int, said: str
) -> None:
    run_id = desk.submit()
    answer = desk.queue(*words)
    assert (answer.code, said in answer.err) == (code, True)
    assert desk.door.get(run_id).state is State.QUEUED and desk.door.controls() == []


def test_a_verb_that_hits_many_or_other_people_asks_first(desk: Desk) -> None:
    mine, _ = a_batch(desk, 21)
    theirs, (run_id, *_) = a_batch(desk, 2, "bo")
    for words, said in (
        (("cancel", "-b", mine), "this would cancel 21 runs;"),
        (("cancel", "-b", theirs), "this would cancel 2 runs (2 of bo);"),
        (("move", "-b", theirs, "--priority", "-5"), "this would move 2 runs (2 of bo);"),
        (("hold", "-b", theirs), "2 pending runs;"),
        (("hold", "--all"), "this would hold everything: 23 pending runs;"),
    ):
        answer = desk.queue(*words)
        assert answer.code == 2 and said in answer.err and "--yes" in answer.err
    assert desk.door.counts()[State.QUEUED] == 23 and desk.door.controls() == []
    assert desk.queue("cancel", run_id).code == 0
    assert desk.queue("cancel", "-b", theirs, "-b", mine, "--yes").out.count(": cancelled") == 22
    assert "nothing of it is left" in desk.queue("cancel", "-b", mine).err


def test_a_cancelled_batch_ends_what_waits_before_what_runs(desk: Desk) -> None:
    batch, runs = a_batch(desk)
    claim(desk.door)
    told = [line.split()[0] for line in desk.queue("cancel", "-b", batch).out.splitlines()]
    assert told == [*runs[1:], runs[0]]


def test_a_moved_run_goes_first(desk: Desk) -> None:
    first, last = desk.submit(), desk.submit()
    said = f"{last} resnet10t: priority 0 -> 5, next\n"
    assert desk.queue("move", last, "--priority", "5").out == said
    assert "stands there already" in desk.queue("move", last, "--priority", "5").out
    assert desk.queue("list", "-o", "id").out.split() == [last, first]
    assert claim(desk.door).run.id == last
    answer = desk.queue("move", last, first, "--priority", "1")
    assert answer.code == 1 and f"{last} is running" in answer.err and first in answer.out


def test_waiting_for_a_batch_ends_as_its_runs_did(desk: Desk) -> None:
    batch, runs = a_batch(desk, 2)
    for _ in runs:
        finish(desk.door, claim(desk.door))
    answer = desk.queue("wait", "-b", batch)
    assert answer.code == 0 and answer.out.count("finished") == 2


# ---- edit ----------------------------------------------------------------------------------------


def test_an_edit_says_what_it_changed(desk: Desk) -> None:
    first, second = desk.submit(), desk.submit()
    edited = desk.publisher("edit", second, "--after", f"{first}:any", "--time-limit", "8h")
    assert edited.out == (
        f"{second} resnet10t: after none -> {first}:any; time limit none -> 8h00m, waiting\n"
    )
    assert desk.queue("list", "-s", "waiting", "-o", "id").out == f"{second}\n"
    freed = desk.publisher("edit", second, "--no-after", "--time-limit", "none", "--on", "a100")
    assert freed.out.endswith("on any host -> a100; time limit 8h00m -> none, 1 ahead\n")
    assert "No worker was seen on a100 yet\n" in freed.err
    desk.door.announce(a_worker("v1:0"))
    again = desk.publisher("edit", second, "--on", "v2")
    assert "No worker was seen on v2 yet, only on v1\n" in again.err
    assert "No worker" not in desk.publisher("edit", second, "--on", "v1:0").err
    desk.publisher("edit", second, "--on", "any", "--priority", "3")
    assert claim(desk.door).run.id == second
    assert desk.publisher("edit", second, "--priority", "1").code == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "nothing was said to change"),
        (("--after", "@last", "--no-after"), 2, "exclude each other"),
        (("--after", "@last"), 2, "would wait for itself"),
        (("--after", "zzzzzz"), 3, "there is no run 'zzzzzz'"),
        (("--after", "@last:late"), 2, "'late' is no end"),
        (("--time-limit", "soon"), 2, "--time-limit 'soon' is no time"),
        (("--on", "a|b"), 2, "--on 'a|b' is no host"),
    ],
)
def test_an_edit_that_makes_no_sense_changes_nothing(
    desk: Desk, words: tuple[str, ...], code: int, said: str
) -> None:
    run_id = desk.submit()
    before = desk.door.get(run_id)
    answer = desk.publisher("edit", run_id, *words)
    assert (answer.code, said in answer.err) == (code, True), answer.err
    assert desk.door.get(run_id) == before


# ---- shares and caps -----------------------------------------------------------------------------


def test_a_share_says_what_moves_a_person(desk: Desk) -> None:
    desk.submit()
    desk.door.submit([a_run(user="bo")])
    claim(desk.door)
    desk.queue("admin", "cap", "bo", "2", "--reason", "a deadline")
    answer = desk.queue("admin", "share", COLUMNS="80").out
    assert max(map(len, answer.splitlines())) <= 80
    assert "one hour back; it halves every 7 days" in answer
    assert re.search(r"^ana +0\.0 +1 +0 +nothing puts them back", answer, re.M)
    assert re.search(r"^bo +0\.0 +0 +1 +2 .*; cap", answer, re.M)
    read = json.loads(desk.queue("admin", "share", "--json").out)
    assert {person["user"]: person["cap"] for person in read["people"]} == {"ana": 0, "bo": 2}


def test_a_cap_keeps_a_persons_next_run_in_line(desk: Desk) -> None:
    desk.submit()
    desk.submit()
    assert desk.queue("admin", "cap", "ana", "1").out == "ana: at most 1 at a time; 0 running now\n"
    desk.door.announce(a_worker("v100:1"))
    claim(desk.door)
    assert desk.door.claim(a_worker("v100:1"), new_nonce()) is None
    assert "ana runs 1, the cap is 1" in desk.queue("list").out
    assert desk.queue("admin", "cap", "ana", "none").out == "ana: no cap any more (it was 1)\n"
    claim(desk.door, "v100:1")
    for wrong in ("0", "-1", "two", "99999"):
        assert desk.queue("admin", "cap", "--", "ana", wrong).code == 2


# ---- one run, one batch on a page ----------------------------------------------------------------


def test_a_page_tells_relations_needs_time_and_memory(desk: Desk) -> None:
    parent = desk.submit()
    child = desk.door.submit(
        [
            a_run(
                after=(Parent(id=parent, on="any"),),
                memory_mb=12288,
                gpus=2,
                time_limit_s=8 * 3600,
                needs_host="v100",
                preflight={"peak_mb": 11264},
            )
        ]
    )[0].id
    desk.queue("hold", "--user", "ana", "--reason", "a deadline")
    page = desk.queue("show", child).out
    assert f"Why      waits for {parent}:any (queued)" in page
    assert "Holds    runs of ana are held by ana: a deadline" in page
    assert f"Parents  {parent}:any queued" in page
    assert "2 GPUs   12 GiB of GPU memory   on v100   time limit 8h00m, used 0s" in page
    assert "Memory   predicted 11 GiB" in page
    assert f"Children {child} waiting" in desk.queue("show", parent).out
    record = json.loads(desk.queue("show", parent, "--json").out)
    assert record["children"] == {child: "waiting"}
    desk.queue("release", "--user", "ana")
    desk.queue("cancel", parent)
    claimed = claim(desk.door, gpus=2)
    desk.door.end(child, claimed.token, Ending(state=State.FINISHED, peak_mb=10240))
    assert "predicted 11 GiB   measured 10 GiB   (+10%)" in desk.queue("show", child).out


def test_a_batch_has_a_page(desk: Desk) -> None:
    batch, runs = a_batch(desk, 4, axes={"optim.lr": [0, 1e-3]}, max_parallel=3)
    finish(desk.door, claim(desk.door), value=0.75)
    fail(desk.door, claim(desk.door), error="no such file: a.jpg")
    desk.queue("hold", "-b", batch, "--reason", "look first")
    for word in (batch, batch[:5], "lr-sweep"):
        page = desk.queue("show", word, COLUMNS="80").out
        assert f"lr-sweep  {batch}   . QUEUED 2 of 4 ended" in page
        assert "Runs     2 queued, 1 failed, 1 finished" in page
        assert f"Held     batch:{batch} by ana: look first" in page
        assert "Axes     optim.lr: 0, 0.001" in page and "at most 3 at a time" in page
        assert f"acc 0.750 at epoch 2: {runs[0]}" in page and "no such file: a.jpg" in page
        assert max(map(len, page.splitlines())) <= 80
    read = json.loads(desk.queue("show", batch, "--json").out)
    assert read["kind"] == "sweep" and read["held"]["reason"] == "look first"
    assert sorted(run["id"] for run in read["runs"]) == sorted(runs)
    assert desk.queue("show", "nonsense").code == 3


# ---- results -------------------------------------------------------------------------------------


def a_kfold(desk: Desk, rates: tuple[float, ...] = (0.1, 0.2)) -> tuple[str, list[str]]:
    """Three folds for each learning rate, in one batch."""
    total = 3 * len(rates)
    batch = BatchCard(id=new_id(), name="kfold", user="ana", kind="folds", total=total)
    runs = [
        a_run(
            batch=batch.id,
            fold=fold,
            config={"optim": {"lr": rate}, "seed": 0, "data": {"split": {"fold": fold}}},
        )
        for rate in rates
        for fold in range(3)
    ]
    return batch.id, [receipt.id for receipt in desk.door.submit(runs, batch)]


def test_results_of_a_batch_have_mean_spread_and_what_is_missing(desk: Desk) -> None:
    batch, runs = a_kfold(desk)
    for value in (0.7, 0.8, 0.9, 0.95):
        finish(desk.door, claim(desk.door), value=value, macro_f1=1 - value)
    fail(desk.door, claim(desk.door), error="no such file")
    answer = desk.queue("results", "-b", "kfold")
    first, second, missing = answer.out.splitlines()[1:]
    assert first.split()[:5] == ["1", "acc", "0.950", "n", "="] and "1/3" in first
    assert missing == (f"missing: optim.lr=0.2: {runs[4]} fold 1 failed, {runs[5]} fold 2 queued")
    assert "acc 0.800  +-0.100  3/3  0.700..0.900" in second and "optim.lr=0.1" in second
    assert f"queue show {runs[4]}" in answer.err
    assert max(map(len, desk.queue("results", "-b", batch, COLUMNS="80").out.splitlines())) <= 80
    read = json.loads(desk.queue("results", "-b", batch, "--json").out)["experiments"]
    assert [(e["n"], e["of"], e["differs"], e["missing"]) for e in read] == [
        (1, 3, {"optim.lr": 0.2}, runs[4:]),
        (3, 3, {"optim.lr": 0.1}, []),
    ]
    assert read[0]["spread"] is None and round(read[1]["spread"], 6) == 0.1
    by_f1 = desk.queue("results", "-b", batch, "--sort", "macro_f1", "-o", "csv").out
    assert [row.split(",")[0:2] for row in by_f1.splitlines()[1:]] == [
        *(["1", "macro_f1"], ["2", "macro_f1"])
    ]
    assert desk.queue("results", "-b", batch, "--sort", "nonsense").code == 2


def test_a_retry_takes_the_place_of_what_it_retries(desk: Desk) -> None:
    batch, runs = a_kfold(desk, (0.1,))
    fail(desk.door, claim(desk.door))
    for _ in range(2):
        finish(desk.door, claim(desk.door))
    assert "2/3" in desk.queue("results", "-b", batch).out
    assert desk.door.get(runs[0]).state is State.FAILED
    old = desk.door.get(runs[0])
    assert "x failed" in desk.queue("list").out
    again = a_run(batch=batch, fold=0, config=old.config, retry_of=old.id)
    desk.door.submit([again])
    finish(desk.door, claim(desk.door))
    assert "3/3" in desk.queue("results", "-b", batch).out
    (line,) = (line for line in desk.queue("list").out.splitlines() if line.startswith(batch))
    assert "+ finished" in line and "1 failed (1 retried)" in line
    page = desk.queue("show", batch).out
    assert "1 failed (1 retried), 3 finished" in page and "retried: code: it broke" in page
    assert json.loads(desk.queue("show", batch, "--json").out)["retried"] == {"failed": 1}
