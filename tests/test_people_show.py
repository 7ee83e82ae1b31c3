"""`queue show`: attempts, the best of the batch; and what every read as JSON promises."""

import csv
import gc
import io
import json

import psutil
import pytest
from support import reads
from support.desk import Desk, fail, finish, lines, save
from support.runs import a_worker, claim
from support.servers import ON_ONE_SERVER
from support.transcript import typed

from publisher.pages.attempts import Attempt, attempts_of
from publisher.pages.records import CSV_KEYS
from queue_worker.queue import Ending
from schemas.events import Event, EventKind
from schemas.run import Cause, State


def told(number: int, kind: EventKind, **fields: object) -> Event:
    return Event.model_validate({"id": f"{number}-0", "kind": kind, "at": number, **fields})


def test_a_timeline_of_attempts_comes_from_the_events() -> None:
    events = [
        told(1, EventKind.SUBMITTED, by="ana"),
        told(2, EventKind.CLAIMED, by="v100:0", attempt=1),
        told(5, EventKind.CHECKPOINT, by="v100:0", attempt=1, text="step 300"),
        told(7, EventKind.REQUEUED, cause=Cause.HOST_LOST, text="lease over", attempt=1),
        told(8, EventKind.MOVED, by="bo"),
        told(9, EventKind.CLAIMED, by="v100:1", attempt=2),
        told(11, EventKind.FAILED, cause=Cause.CODE, text="it broke", attempt=2),
    ]
    first, second = attempts_of(events)
    assert first == Attempt(1, "v100:0", 2, 7, "back in line: host_lost, lease over", "step 300")
    assert second == Attempt(2, "v100:1", 9, 11, "failed: code")
    assert attempts_of(events[:3])[0].how == "running"
    assert attempts_of(events[:1]) == []


@ON_ONE_SERVER
def test_a_page_has_a_line_for_each_attempt_when_there_are_several(desk: Desk) -> None:
    run_id = desk.submit()
    first = claim(desk.door)
    save(desk.door, first)
    assert "Attempts" not in desk.queue("show", run_id).out
    desk.door.end(run_id, first.token, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    claim(desk.door, "v100:1")
    shown = desk.queue("show", run_id).out
    assert "  Attempts 1  v100:0  " in shown and "back in line: drained" in shown
    assert "           2  v100:1  " in shown and "running" in shown


@ON_ONE_SERVER
def test_a_page_of_a_failed_run_names_what_it_was_tried_again_as(desk: Desk) -> None:
    run_id = desk.submit()
    fail(desk.door, claim(desk.door))
    assert "  Again" not in desk.queue("show", run_id).out
    again = desk.publisher("retry", run_id, "optim.lr=1e-5", "--print-id").out.strip()
    assert f"  Again    {again} resnet10t-r2 queued, the retry\n" in desk.queue("show", run_id).out
    read = json.loads(desk.queue("show", run_id, "--json").out)
    assert read["retries"] == {again: "queued"}


@ON_ONE_SERVER
def test_what_is_neither_run_nor_batch_leaves_no_connection_to_the_garbage_collector(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    process = psutil.Process()
    gc.collect()
    gc.disable()
    try:
        before = len(process.net_connections("unix"))
        assert typed("queue show nothing")[0] == 3
        assert len(process.net_connections("unix")) == before
    finally:
        gc.enable()


@ON_ONE_SERVER
def test_the_page_of_a_summary_leads_to_its_batch_which_has_the_same_name(desk: Desk) -> None:
    desk.publisher("submit", str(desk.config), "--folds", "3", "--name", "folds")
    (batch,) = desk.door.batches()
    said = desk.queue("show", "folds").err
    assert f"All of it: queue show {batch.card.id}" in said
    assert "0 of 4 ended" in desk.queue("show", batch.card.id).out


@ON_ONE_SERVER
def test_a_run_is_compared_with_the_best_of_its_batch(desk: Desk) -> None:
    desk.publisher("submit", str(desk.config), "-m", "optim.lr=1e-3,3e-4")
    worse, best = claim(desk.door), claim(desk.door, "v100:1")
    finish(desk.door, worse, 0.5)
    finish(desk.door, best, 0.75)
    shown = desk.queue("show", worse.run.id).out
    assert f"against {best.run.id}, the best of its batch (acc 0.750)" in shown
    assert "optim.lr 0.001 (there 0.0003)" in " ".join(shown.split())
    page = desk.queue("show", best.run.id)
    assert "the best of its batch (acc 0.750)" in page.out
    assert page.err == f"Next: queue results -b {best.run.batch}\n"
    read = json.loads(desk.queue("show", worse.run.id, "--json").out)
    assert read["best_of_batch"] == best.run.id
    assert read["differs_from_best"] == {"optim.lr": {"here": "0.001", "there": "0.0003"}}


@ON_ONE_SERVER
def test_every_read_as_json_keeps_its_keys_and_types(desk: Desk) -> None:
    desk.publisher("submit", str(desk.config), "--seeds", "3", "--again")
    failed, done, running = (claim(desk.door, f"v100:{gpu}") for gpu in range(3))
    fail(desk.door, failed)
    finish(desk.door, done)
    lines(desk.door, running, "a line")
    waiting = desk.submit("--after", f"{running.run.id}:any")
    desk.submit("--hold")
    desk.door.announce(a_worker("v100:5"))
    desk.door.set_control("hold", "user:bo", by="ana", reason="away")
    queued = desk.submit()
    listed = reads.List.model_validate_json(desk.queue("list", "--json").out)
    assert {row.state for row in listed.runs} == set(State) - {State.CANCELLED, State.SKIPPED}
    for row in listed.runs:
        reads.Why.model_validate_json(desk.queue("why", row.id, "--json").out)
        reads.Show.model_validate_json(desk.queue("show", row.id, "--json").out)
    why = reads.Why.model_validate_json(desk.queue("why", queued, "--json").out)
    assert {one.answer for one in why.workers} == {"busy", "takes"}
    assert reads.Why.model_validate_json(desk.queue("why", waiting, "--json").out).notes
    for line in desk.queue("list", "-o", "jsonl").out.splitlines():
        reads.Row.model_validate_json(line)
    header = next(csv.reader(io.StringIO(desk.queue("list", "-o", "csv").out)))
    assert tuple(header) == CSV_KEYS
