"""`queue why`: a sentence for each worker, and something sensible for every state."""

import json
from dataclasses import replace
from typing import Any

import pytest
from support.desk import Desk, claim_when_there, fail, finish, save
from support.runs import a_worker as card_of
from support.servers import ON_ONE_SERVER
from test_people_render import CAP, DRAIN, HOLD_ALL, NOW, QUEUED, RUNNING, SEEN, a_row, a_worker

from publisher.desk.text import plain
from publisher.pages.reasons import reason, reason_lines, reasons_of
from queue_worker.queue import Control, Row, Share, WorkerView
from schemas.run import Run, State

FIRST = a_row("7f3k2n", "vit-s", State.QUEUED, user="bo")
LARGE = a_row("7f3k2p", "vit-l", State.QUEUED, user="bo", memory_mb=40_000)
BUSY = a_worker("0", run="7f3k2q")
TRAINS = "trains 7f3k2q resnet18-lr1e-3 of ana, 14/20, done in 18m"
GPU_HOLD = Control(kind="hold", scope="worker:v100:0", by="trainq", reason="it crashes", at=NOW)


@pytest.mark.parametrize(
    ("changes", "worker", "seen", "answer", "sentence"),
    [
        ({}, a_worker("0"), {}, "takes", "is free and takes it now"),
        ({}, BUSY, {}, "busy", f"{TRAINS}; this one is next"),
        ({}, BUSY, {"line": [FIRST]}, "busy", f"{TRAINS}; then 7f3k2n goes first"),
        ({}, a_worker("0"), {"line": [FIRST]}, "behind", "is free, but 7f3k2n goes first"),
        (
            {},
            a_worker("0", offer_mb=16_384),
            {"line": [LARGE]},
            "takes",
            "is free and takes it now",
        ),
        (
            {},
            a_worker("0"),
            {"line": [FIRST] * 5},
            "behind",
            "is free, but 7f3k2n, 7f3k2n, 7f3k2n and 2 more go first",
        ),
        (
            {},
            a_worker("0"),
            {"line": [FIRST] * 5, "ahead": {"7f3k2r": 9000}},
            "behind",
            "is free, but 7f3k2n, 7f3k2n, 7f3k2n and at least 2 more go first",
        ),
        (
            {"memory_mb": 12_288},
            a_worker("0", offer_mb=8192, shared_with="GPU 0: bo's lab.py"),
            {},
            "unfit",
            "cannot take it: needs 12 GiB, it offers 8 GiB (GPU 0: bo's lab.py)",
        ),
        ({"gpus": 2}, BUSY, {}, "unfit", "cannot take it: needs 2 GPUs, it holds 1"),
        ({"needs_host": "a100"}, BUSY, {}, "unfit", "cannot take it: needs a100"),
        (
            {"checkpoint_step": 70, "runs_root": "other"},
            BUSY,
            {},
            "unfit",
            "cannot take it: its checkpoint (step 70) is on another host's disk",
        ),
        (
            {},
            BUSY,
            {"controls": [DRAIN]},
            "closed",
            "takes nothing new: drains, by bo: new fan",
        ),
        (
            {},
            BUSY,
            {"controls": [GPU_HOLD]},
            "closed",
            "takes nothing new: is held, by trainq: it crashes",
        ),
        (
            {},
            a_worker("0", busy_with="GPU 0: bo's lab.py uses 9 GiB"),
            {},
            "shared",
            "takes nothing just now: GPU 0: bo's lab.py uses 9 GiB",
        ),
        (
            {},
            a_worker("0"),
            {"controls": [CAP], "running": [RUNNING]},
            "behind",
            "is free, but ana runs 1, the cap is 1",
        ),
        ({}, BUSY, {"controls": [HOLD_ALL]}, "busy", TRAINS),
    ],
)
def test_every_worker_says_why_it_does_not_start_the_run(
    changes: dict[str, Any], worker: WorkerView, seen: dict[str, Any], answer: str, sentence: str
) -> None:
    there = replace(SEEN, **{"running": [RUNNING], "workers": [worker], **seen})
    told = reason(QUEUED.model_copy(update=changes), worker, there)
    assert (told.answer, told.sentence) == (answer, sentence)


def a_waiting_run(**fields: Any) -> Run:
    shared = QUEUED.model_dump(include=set(Row.model_fields) & set(Run.model_fields))
    return Run(**{**shared, "config": {}, **fields})


def test_a_worker_with_another_source_says_so() -> None:
    worker = a_worker("0")
    worker = worker.model_copy(update={"card": worker.card.model_copy(update={"code": "bbb"})})
    told = reason(a_waiting_run(code="aaa"), worker, SEEN)
    assert told.sentence == "is free and takes it now (its trainer is bbb, submitted with aaa)"


def test_who_used_much_is_told_how_far_back_that_puts_them() -> None:
    people = [Share(user="ana", used_s=7200, running=1, pending=1, oldest_s=9)]
    seen = replace(SEEN, workers=[BUSY], running=[RUNNING], line=[FIRST], ahead={"7f3k2r": 1})
    told = reasons_of(a_waiting_run(), seen, people, 86400)
    assert told.notes == ["ana used 2h00m of GPU time lately: that far back stand these runs"]
    assert reasons_of(a_waiting_run(), replace(seen, line=[]), people, 86400).notes == []


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_reason_fits_the_terminal_and_no_id_is_cut(width: int) -> None:
    workers = [a_worker(f"{gpu}-of-a-host-with-a-long-name", run="7f3k2q") for gpu in range(3)]
    seen = replace(SEEN, workers=workers, running=[RUNNING], line=[FIRST, LARGE])
    lines = [plain(line) for line in reason_lines(reasons_of(a_waiting_run(), seen, [], 1), width)]
    assert max(len(line) for line in lines) <= width
    assert sum("7f3k2n" in line for line in lines) == 3


# ---- at the door ---------------------------------------------------------------------------------


@ON_ONE_SERVER
def test_a_run_without_a_worker_names_those_that_fell_silent(desk: Desk) -> None:
    run_id = desk.submit()
    answer = desk.queue("why", run_id)
    assert answer.code == 0 and "no worker is alive" in answer.out
    assert f"queue wait {run_id}" in answer.err


@ON_ONE_SERVER
def test_where_a_breaker_has_paused_the_worker_the_next_command_lets_it_go_on(desk: Desk) -> None:
    run_id = desk.submit()
    desk.door.announce(card_of("v100:0"))
    desk.door.set_control("hold", "worker:v100:0", by="trainq", reason="the last 3 attempts")
    assert desk.queue("why", run_id).err == "Next: worker resume v100:0\n"
    assert "once it is mended: worker resume v100:0\n" in desk.queue("list").err
    desk.door.announce(card_of("v100:1"))
    assert "queue wait" in desk.queue("why", run_id).err, "another one will take it"
    desk.door.set_control("hold", "worker:v100:0", by="bo", reason="a fan")
    assert "worker resume" not in desk.queue("list").err, "that is for bo to say"


@ON_ONE_SERVER
def test_every_state_has_an_answer_and_a_next_command(desk: Desk) -> None:
    failed, done, running = (desk.submit() for _ in range(3))
    fail(desk.door, claim_when_there(desk), error="it broke")
    finish(desk.door, claim_when_there(desk))
    save(desk.door, claim_when_there(desk))
    waiting, held = desk.submit("--after", running), desk.submit("--hold")
    queued, gone = desk.submit(), desk.submit()
    desk.queue("cancel", gone, "--reason", "wrong split")
    desk.door.announce(card_of("v100:1"))
    for run_id, said, command in (
        (failed, "it broke", f"publisher retry {failed}"),
        (done, "it has finished on v100:0", f"queue show {done}"),
        (running, "starting", f"queue logs {running} -f"),
        (waiting, f"{running} is running", f"queue why {running}"),
        (held, "held by ana", f"queue release {held}"),
        (queued, "is free and takes it now", f"queue wait {queued}"),
        (gone, 'by ana: "wrong split"', f"publisher retry {gone}"),
    ):
        answer = desk.queue("why", run_id)
        assert said in answer.out and command in answer.err, answer


@ON_ONE_SERVER
def test_why_as_json_names_the_answer_of_each_worker_and_who_goes_first(desk: Desk) -> None:
    first, second = desk.submit(), desk.submit()
    desk.door.announce(card_of("v100:1"))
    read = json.loads(desk.queue("why", second, "--json").out)
    assert read["schema_version"] == 1 and read["ahead"] == 1
    sentence = f"is free, but {first} goes first"
    worker = {"lane": "v100:1", "answer": "behind", "sentence": sentence, "first": [first]}
    assert read["workers"] == [worker]
