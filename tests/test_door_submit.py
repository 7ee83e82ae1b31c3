"""Submitting: several at once or none, and never twice."""

import json

import pytest
from support.runs import a_run, claim, submit

from queue_worker.queue import IdTaken, Queue
from schemas.run import State, new_id


def test_a_submitted_run_is_queued_with_everything_that_was_said(queue: Queue) -> None:
    said = a_run(
        overrides=("seed=3",),
        notify="#ml",
        batch="sweep",
        priority=7,
        needs_host="v100",
        name="größe",
    )
    [receipt] = queue.submit([said])
    run = queue.get(receipt.id)
    assert (receipt.state, receipt.ahead, receipt.repeated) == (State.QUEUED, 0, False)
    for name in (
        "overrides",
        "notify",
        "batch",
        "priority",
        "needs_host",
        "name",
        "config",
        "user",
    ):
        assert getattr(run, name) == getattr(said, name)
    assert run.submitted_at == pytest.approx(queue.now(), abs=60)


def test_a_repeated_submit_queues_nothing_twice(queue: Queue) -> None:
    first, second = a_run(), a_run()
    queue.submit([first, second])
    again = queue.submit([first, second])
    assert [receipt.repeated for receipt in again] == [True, True]
    assert [receipt.ahead for receipt in again] == [0, 1]
    assert len(queue.list()) == len(queue.events()) == 2


def test_a_repeat_that_comes_late_tells_how_far_the_run_is(queue: Queue) -> None:
    said = a_run()
    queue.submit([said])
    claim(queue)
    [receipt] = queue.submit([said])
    assert receipt.state is State.RUNNING and receipt.repeated


def test_when_one_id_is_taken_none_of_the_batch_is_queued(queue: Queue) -> None:
    taken = submit(queue)
    with pytest.raises(IdTaken, match=taken):
        queue.submit([a_run(), a_run(id=taken), a_run()])
    assert [row.id for row in queue.list()] == [taken]


def test_one_id_twice_in_a_batch_is_refused(queue: Queue) -> None:
    run_id = new_id()
    with pytest.raises(IdTaken):
        queue.submit([a_run(id=run_id), a_run(id=run_id)])
    assert queue.list() == []


def test_a_run_may_be_submitted_into_held(queue: Queue) -> None:
    run_id = submit(queue, held_by="ana", held_reason="data not ready")
    run = queue.get(run_id)
    assert (run.state, run.held_by, run.held_reason) == (State.HELD, "ana", "data not ready")
    assert queue.release(run_id, by="bo").state is State.QUEUED


def test_a_receipt_counts_the_runs_that_come_before(queue: Queue) -> None:
    submit(queue)
    submit(queue, priority=-1)
    [receipt] = queue.submit([a_run()])
    assert receipt.ahead == 1
    assert queue.position(receipt.id) == 1


@pytest.mark.parametrize(
    "text", ["\udcff half a pair", "\x00 zero", "quote ' \" \\ <!channel>", "🦙"]
)
def test_any_text_survives_the_way_there_and_back(queue: Queue, text: str) -> None:
    expected = text.encode(errors="replace").decode()
    run_id = submit(queue, name=expected, config={"note": text})
    assert queue.get(run_id).config == {"note": expected}
    assert queue.list()[0].name == expected


def test_configs_that_share_their_parts_arrive_as_each_was_written(queue: Queue) -> None:
    shared = {"name": "größe", "rates": [0.1, -0.0]}
    configs: list[dict[str, object]] = [
        {"seed": 1, "model": shared, "data": {"size": 0.0}},
        {"model": shared, "seed": 1, "other": shared},
        {"seed": True, "model": {"name": "größe", "rates": [0.1, 0.0]}},
        {},
    ]
    for receipt, config in zip(
        queue.submit([a_run(config=c) for c in configs]), configs, strict=True
    ):
        assert json.dumps(queue.get(receipt.id).config) == json.dumps(config)


def test_what_all_of_a_batch_have_alike_and_what_each_has_of_its_own_arrive(queue: Queue) -> None:
    said = [a_run(name=f"cell-{number}", priority=3, notify="#ml") for number in range(3)]
    said.append(a_run(name="apart", priority=3, needs_host="v100"))
    runs = [queue.get(receipt.id) for receipt in queue.submit(said)]
    assert [run.name for run in runs] == ["cell-0", "cell-1", "cell-2", "apart"]
    assert [run.notify for run in runs] == ["#ml", "#ml", "#ml", ""]
    assert [run.needs_host for run in runs] == ["", "", "", "v100"]
    assert {run.priority for run in runs} == {3}
