"""What the door refuses leaves everything as it was, and what it takes keeps Redis busy shortly."""

from typing import Any

import pytest
import redis
from support.runs import a_run, claim, submit

from queue_worker.queue import BatchCard, Queue
from schemas.errors import NotFound, TrainqError, UsageError
from schemas.run import Parent, State, new_id


def a_card(total: int) -> BatchCard:
    return BatchCard(id=new_id(), name="sweep", user="ana", kind="sweep", total=total)


def calls(connection: redis.Redis, command: str) -> int:
    """How often scripts and clients have called this since the statistics were reset."""
    stats: Any = connection.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.mark.parametrize(
    "change",
    [
        {"priority": 5000},
        {"needs_host": "v100|0"},
        {"time_limit_s": -1.0},
        {"time_limit_s": float("nan")},
    ],
)
def test_an_edit_that_makes_no_sense_is_refused_and_the_run_keeps_its_place(
    queue: Queue, change: dict[str, Any]
) -> None:
    run_id = submit(queue, priority=2)
    before = queue.get(run_id)
    with pytest.raises(UsageError, match=next(iter(change))):
        queue.edit(run_id, by="ana", **change)
    assert queue.get(run_id) == before and queue.position(run_id) == 0
    assert claim(queue).run.id == run_id


@pytest.mark.parametrize("fields", [{"priority": "5000"}, {"needs_host": "a|b"}, {"after": "{"}])
def test_the_script_itself_checks_an_edit_before_it_writes(
    queue: Queue, connection: redis.Redis, fields: dict[str, str]
) -> None:
    run_id = submit(queue)
    answer = queue._scripts.run("edit", id=run_id, by="x", kind="edited", text="", fields=fields)
    assert answer[0] == b"broken"
    assert claim(queue).run.id == run_id


def test_a_late_run_of_a_large_batch_whose_parent_is_nowhere_queues_none(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_worker.door.asking.CHUNK", 10)
    card = a_card(25)
    runs = [a_run(batch=card.id) for _ in range(24)]
    runs.append(a_run(batch=card.id, after=(Parent(id="zzzzzz"),)))
    with pytest.raises(NotFound, match="nothing was queued"):
        queue.submit(runs, card)
    assert sum(queue.counts().values()) == 0 and queue.batches() == []


def test_parents_in_an_earlier_part_of_a_large_batch_are_found(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_worker.door.asking.CHUNK", 10)
    card = a_card(26)
    folds = [a_run(batch=card.id) for _ in range(25)]
    gather = a_run(batch=card.id, after=tuple(Parent(id=fold.id) for fold in folds))
    assert queue.submit([gather, *folds], card)[0].state is State.WAITING


def test_a_run_that_does_not_belong_to_the_batch_is_not_submitted_with_it(queue: Queue) -> None:
    with pytest.raises(ValueError, match="another batch"):
        queue.submit([a_run(batch="other")], a_card(1))


def test_receipts_of_a_large_batch_count_who_comes_before_without_asking_for_each(
    queue: Queue, connection: redis.Redis
) -> None:
    others = [a_run(user=f"user{i % 5}", batch=f"batch{i}") for i in range(100)]
    queue.submit(others)
    card = a_card(300)
    connection.config_resetstat()
    receipts = queue.submit([a_run(batch=card.id) for _ in range(300)], card)
    assert [receipt.ahead for receipt in receipts] == list(range(100, 400))
    assert calls(connection, "zcount") < 100 * 2 + 300 + 10  # not 300 for each of the lanes


def test_receipts_of_runs_that_are_placed_between_others_are_exact(queue: Queue) -> None:
    for priority in (3, 1, 2):
        submit(queue, priority=priority, batch=f"b{priority}")
    receipts = queue.submit([a_run(priority=p) for p in (0, 2, 5)])
    assert [receipt.ahead for receipt in receipts] == [5, 3, 0]
    assert [queue.position(receipt.id) for receipt in receipts] == [5, 3, 0]


def test_a_running_record_is_not_restored_for_nobody_would_ever_end_it(
    queue: Queue, connection: redis.Redis
) -> None:
    run = queue.get(submit(queue))
    claim(queue)
    running = queue.get(run.id)
    connection.flushall()
    with pytest.raises(TrainqError, match="lease"):
        queue.restore(running, by="ana")
    assert sum(queue.counts().values()) == 0
    assert queue.restore(run, by="ana") and claim(queue).run.id == run.id
