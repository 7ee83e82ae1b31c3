"""What fits a worker, and what people and breakers decide for more than one run."""

import pytest
import redis
from support.runs import a_run, a_worker, claim, submit

from queue_worker.queue import BatchCard, Ending, Queue
from schemas.run import Cause, Parent, State, Wish, new_id, new_nonce

FINISHED = Ending(state=State.FINISHED)
NO_STEP = Ending(state=State.FAILED, cause=Cause.CODE, error="no module named x", began=False)


def nothing_for(queue: Queue, lane: str = "v100:0", **card: object) -> bool:
    return queue.claim(a_worker(lane, **card), new_nonce()) is None


def a_batch(queue: Queue, size: int, **card: object) -> tuple[str, list[str]]:
    name = new_id()
    runs = [a_run(batch=name) for _ in range(size)]
    facts = {"id": name, "name": "sweep", "user": "ana", "total": size, **card}
    queue.submit(runs, BatchCard.model_validate(facts))
    return name, [run.id for run in runs]


def end(queue: Queue, ending: Ending, lane: str = "v100:0") -> str:
    claimed = claim(queue, lane)
    queue.end(claimed.run.id, claimed.token, ending)
    return claimed.run.id


# ---- what fits -----------------------------------------------------------------------------------


def test_a_worker_takes_only_what_fits_its_memory_now(queue: Queue) -> None:
    big, small = submit(queue, memory_mb=20_000), submit(queue, memory_mb=9_000)
    assert claim(queue, offer_mb=16_000).run.id == small
    assert nothing_for(queue, "v100:1", offer_mb=16_000)
    assert claim(queue, "v100:1", offer_mb=32_000).run.id == big


def test_a_worker_without_a_known_limit_takes_any_memory(queue: Queue) -> None:
    submit(queue, memory_mb=500_000)
    assert claim(queue, offer_mb=0)


def test_a_run_of_two_gpus_goes_to_a_worker_that_holds_them(queue: Queue) -> None:
    wide, narrow = submit(queue, gpus=2), submit(queue)
    assert claim(queue).run.id == narrow
    assert nothing_for(queue, "v100:1")
    assert claim(queue, "v100:2,3", gpus=2).run.id == wide


@pytest.mark.parametrize("wish", ["a100", "a100:1"])
def test_a_wish_for_a_host_or_one_of_its_workers_is_kept(queue: Queue, wish: str) -> None:
    submit(queue, needs_host=wish)
    assert nothing_for(queue, "v100:1")
    assert nothing_for(queue, "a100:0") is (wish == "a100:1")
    if wish == "a100:1":
        assert claim(queue, "a100:1")


# ---- holds, caps, drains -------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["all", "user:ana", "worker:v100:0"])
def test_what_is_held_starts_no_run_until_it_is_released(queue: Queue, scope: str) -> None:
    run_id = submit(queue)
    assert queue.set_control("hold", scope, by="bo", reason="exam week")
    assert not queue.set_control("hold", scope, by="bo", reason="exam week")
    assert nothing_for(queue)
    assert queue.get(run_id).state is State.QUEUED
    (control,) = queue.controls()
    assert (control.kind, control.scope, control.by, control.reason) == (
        "hold",
        scope,
        "bo",
        "exam week",
    )
    assert queue.clear_control("hold", scope, by="ana")
    assert not queue.clear_control("hold", scope, by="ana")
    assert claim(queue).run.id == run_id
    told = [(event.by, event.text) for event in queue.events() if event.kind == "control"]
    assert told == [("bo", f"hold {scope}: exam week"), ("ana", f"no hold {scope}")]


def test_a_hold_of_one_person_or_worker_leaves_the_others_alone(queue: Queue) -> None:
    mine, other = submit(queue), submit(queue, user="bo")
    queue.set_control("hold", "user:ana", by="bo")
    queue.set_control("hold", "worker:v100:0", by="bo")
    assert nothing_for(queue)
    assert claim(queue, "v100:1").run.id == other
    assert nothing_for(queue, "v100:2")
    assert queue.get(mine).state is State.QUEUED


def test_a_held_batch_waits_also_with_runs_that_are_put_back(queue: Queue) -> None:
    batch, ids = a_batch(queue, 2)
    first = claim(queue)
    queue.set_control("hold", f"batch:{batch}", by="ana")
    queue.end(first.run.id, first.token, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    assert nothing_for(queue)
    other = submit(queue)
    assert claim(queue).run.id == other
    queue.clear_control("hold", f"batch:{batch}", by="ana")
    assert claim(queue, "v100:1").run.id == ids[0]


def test_a_person_at_the_cap_gets_the_next_run_when_one_has_ended(queue: Queue) -> None:
    for _ in range(3):
        submit(queue)
    queue.set_control("cap", "user:ana", by="bo", value=2)
    first, _ = claim(queue, "v100:0"), claim(queue, "v100:1")
    assert nothing_for(queue, "v100:2")
    queue.end(first.run.id, first.token, FINISHED)
    assert claim(queue, "v100:2")


def test_no_more_runs_of_a_batch_at_once_than_it_says(queue: Queue) -> None:
    a_batch(queue, 3, max_parallel=1)
    first = claim(queue)
    assert nothing_for(queue, "v100:1")
    queue.end(first.run.id, first.token, FINISHED)
    assert claim(queue, "v100:1")


@pytest.mark.parametrize("scope", ["worker:v100:0", "host:v100"])
def test_a_drain_asks_what_runs_to_leave_and_takes_nothing_more(queue: Queue, scope: str) -> None:
    submit(queue)
    claimed = claim(queue)
    queue.set_control("drain", scope, by="bo", reason="new driver")
    renewal = queue.renew(claimed.run.id, claimed.token)
    assert (renewal.wish, renewal.wish_by, renewal.wish_reason) == (Wish.DRAIN, "bo", "new driver")
    queue.end(claimed.run.id, claimed.token, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    assert nothing_for(queue)
    queue.clear_control("drain", scope, by="bo")
    assert claim(queue).run.id == claimed.run.id


def test_a_run_at_its_time_limit_is_asked_to_leave_whatever_the_number_of_attempts(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue, time_limit_s=3600)
    claimed = claim(queue)
    assert queue.renew(run_id, claimed.token).wish is None
    connection.hset(f"trainq:run:{run_id}", "ran_s", "3600")
    assert queue.renew(run_id, claimed.token).wish is Wish.TIMEOUT
    queue.cancel(run_id, by="bo")
    assert queue.renew(run_id, claimed.token).wish is Wish.CANCEL


# ---- circuit breakers ----------------------------------------------------------------------------


def test_three_attempts_without_a_first_step_pause_a_worker_and_say_so_once(queue: Queue) -> None:
    for _ in range(4):
        submit(queue)
    for _ in range(3):
        end(queue, NO_STEP)
    assert nothing_for(queue)
    (control,) = queue.controls()
    assert (control.scope, control.by) == ("worker:v100:0", "trainq")
    assert [event.kind for event in queue.notices_open()].count("paused") == 1
    assert claim(queue, "v100:1")


def test_one_batch_alone_never_pauses_a_worker_but_is_held_itself(queue: Queue) -> None:
    batch, _ = a_batch(queue, 5)
    other = submit(queue)
    for _ in range(3):
        end(queue, NO_STEP)
    assert [control.scope for control in queue.controls()] == [f"batch:{batch}"]
    assert claim(queue).run.id == other


def test_failures_that_differ_hold_no_batch_and_numbers_make_no_difference(queue: Queue) -> None:
    def fails(text: str) -> Ending:
        return Ending(state=State.FAILED, cause=Cause.DIVERGED, error=text)

    a_batch(queue, 9)
    for text in ("a", "b", "a", "c"):
        end(queue, fails(text))
    assert queue.controls() == []
    for step in (3, 50):
        end(queue, fails(f"no number at step {step}"))
    assert queue.controls() == []
    end(queue, fails("no number at step 7"))
    assert len(queue.controls()) == 1


def test_an_attempt_that_reached_a_step_clears_the_worker_of_suspicion(queue: Queue) -> None:
    for _ in range(6):
        submit(queue)
    for ending in (NO_STEP, NO_STEP, FINISHED, NO_STEP, NO_STEP):
        end(queue, ending)
    assert queue.controls() == []


def test_failures_after_a_first_step_are_no_fault_of_the_worker(queue: Queue) -> None:
    for number in range(4):
        submit(queue)
        end(queue, Ending(state=State.FAILED, cause=Cause.DIVERGED, error=f"at step {number}"))
    assert queue.controls() == []


def test_a_gpu_fault_counts_also_after_many_steps(queue: Queue) -> None:
    fault = Ending(state=State.QUEUED, cause=Cause.GPU_FAULT, crashed=True, error="XID 79")
    for _ in range(3):
        submit(queue)
    for _ in range(3):
        end(queue, fault)
    # the same run came back each time: that may be its own doing
    assert queue.controls() == []
    queue.hold(queue.list(states={State.QUEUED})[0].id, by="ana")
    end(queue, fault)
    assert [control.scope for control in queue.controls()] == ["worker:v100:0"]


# ---- batches -------------------------------------------------------------------------------------


def test_a_batch_says_what_became_of_its_runs(queue: Queue) -> None:
    batch, _ = a_batch(queue, 3, kind="sweep", axes={"optim.lr": [1e-3, 3e-4, 1e-4]})
    end(queue, FINISHED)
    (view,) = queue.batches()
    assert (view.card.id, view.card.kind, view.open) == (batch, "sweep", True)
    assert view.counts == {State.FINISHED: 1, State.QUEUED: 2}
    assert queue.batches(batch) == [view]
    assert queue.batches("nobody") == []


def test_a_large_batch_is_queued_in_parts_and_starts_only_when_it_is_whole(
    queue: Queue, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_worker.door.asking.CHUNK", 10)
    card = BatchCard(id=new_id(), name="big", user="ana", kind="sweep", total=35)
    runs = [a_run(batch=card.id) for _ in range(35)]
    runs[25] = runs[25].model_copy(update={"config": {"much": "x" * 600_000}})
    connection.config_set("maxmemory", connection.info("memory")["used_memory"] + 500_000)
    try:
        with pytest.raises(Exception, match="memory"):
            queue.submit(runs, card)
    finally:
        connection.config_set("maxmemory", 0)
    assert 0 < queue.counts()[State.QUEUED] < 35
    assert not queue.batches()[0].open
    assert nothing_for(queue)
    receipts = queue.submit(runs, card)
    assert [receipt.id for receipt in receipts] == [run.id for run in runs]
    assert queue.batches()[0].open and queue.counts()[State.QUEUED] == 35
    assert all(receipt.repeated for receipt in queue.submit(runs, card))
    assert claim(queue).run.id == runs[0].id


def test_an_id_that_is_taken_by_a_late_run_of_a_large_batch_queues_none(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_worker.door.asking.CHUNK", 10)
    card = BatchCard(id=new_id(), name="big", user="ana", kind="sweep", total=25)
    runs = [a_run(batch=card.id) for _ in range(25)]
    taken = submit(queue, id=runs[24].id)
    with pytest.raises(Exception, match=taken):
        queue.submit(runs, card)
    assert queue.counts()[State.QUEUED] == 1 and queue.batches() == []


def test_runs_of_one_experiment_find_each_other(queue: Queue) -> None:
    first, second = submit(queue, digest="d1"), submit(queue, digest="d1")
    submit(queue, digest="d2")
    found = queue.same("d1", "d3")
    assert {digest: [run.id for run in runs] for digest, runs in found.items()} == {
        "d1": [second, first]
    }


def test_a_lost_record_is_restored_once_and_with_all_its_indexes(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue, priority=3, digest="d", batch="b1")
    end(queue, FINISHED)
    before = queue.get(run_id)
    connection.flushall()
    rows = [{"epoch": 1.0, "loss": 0.5}, {"epoch": 2.0, "loss": 0.25}]
    assert queue.restore(before, by="bo", metrics=rows, lines=["one", "two"])
    assert not queue.restore(before, by="bo")
    assert queue.get(run_id) == before
    assert (queue.metrics(run_id), queue.log(run_id)) == (rows, (["one", "two"], 2))
    assert [row.id for row in queue.list(states={State.FINISHED}, batch="b1")] == [run_id]
    assert [run.id for run in queue.same("d")["d"]] == [run_id]
    assert queue.notices_open() == []


def test_rubbish_among_the_controls_stops_nobody(queue: Queue, connection: redis.Redis) -> None:
    connection.hset("trainq:controls", mapping={"cap:user:ana": "{", "drain:worker:v100:1": "x"})
    run_id = submit(queue)
    assert queue.controls() == []
    claimed = claim(queue)
    assert claimed.run.id == run_id
    other = submit(queue)
    connection.hset("trainq:controls", "drain:worker:v100:0", "[")
    assert queue.renew(run_id, claimed.token).wish is Wish.DRAIN
    assert queue.get(other).state is State.QUEUED


# ---- what is told, rung and listed --------------------------------------------------------------


def test_who_departs_is_no_longer_listed_and_leaves_nothing(
    queue: Queue, connection: redis.Redis
) -> None:
    queue.announce(a_worker())
    queue.announce(a_worker("v100:1"))
    queue.depart("v100:0")
    assert [view.card.lane for view in queue.workers()] == ["v100:1"]
    assert connection.zrange("trainq:workers", 0, -1) == [b"v100:1"]
    assert not connection.exists("trainq:worker:v100:0")


def test_lifting_a_hold_wakes_those_who_wait_for_the_bell(queue: Queue) -> None:
    submit(queue)
    while queue.bell(0.01):
        pass
    queue.set_control("hold", "all", by="bo")
    assert not queue.bell(0.01)
    queue.clear_control("hold", "all", by="bo")
    assert queue.bell(0.01)


@pytest.mark.parametrize(
    "second", [{"by": "ana"}, {"reason": "other"}, {"value": 3}], ids=["by", "reason", "value"]
)
def test_a_control_that_says_something_else_replaces_the_first(
    queue: Queue, second: dict[str, object]
) -> None:
    first = {"by": "bo", "reason": "exam week", "value": 2}
    assert queue.set_control("cap", "user:ana", **first)  # type: ignore[arg-type]
    assert queue.set_control("cap", "user:ana", **{**first, **second})  # type: ignore[arg-type]
    (control,) = queue.controls()
    assert (control.by, control.reason, control.value) == tuple({**first, **second}.values())


def test_the_audit_log_has_holds_releases_and_checkpoints_with_who_and_why(queue: Queue) -> None:
    run_id = submit(queue)
    queue.hold(run_id, by="ana", reason="not yet")
    queue.release(run_id, by="bo")
    claimed = claim(queue)
    queue.checkpoint(run_id, claimed.token, "attempts/x", 5)
    told = [(e.kind, e.by, e.attempt, e.text) for e in queue.events(run_id=run_id)]
    assert told == [
        ("submitted", "ana", 0, ""),
        ("held", "ana", 0, "not yet"),
        ("released", "bo", 0, ""),
        ("claimed", "v100:0", 1, ""),
        ("checkpoint", "v100:0", 1, "attempts/x"),
    ]


def test_ends_and_requeues_name_the_attempt_that_they_end(queue: Queue) -> None:
    run_id = submit(queue)
    end(queue, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    end(queue, FINISHED)
    told = [(event.kind, event.attempt) for event in queue.events(run_id=run_id)]
    assert told[1:] == [("claimed", 1), ("requeued", 1), ("claimed", 2), ("finished", 2)]


def test_the_newest_batches_come_first_and_no_more_than_asked(queue: Queue) -> None:
    names = [a_batch(queue, 1)[0] for _ in range(3)]
    assert [view.card.id for view in queue.batches(limit=2)] == [names[2], names[1]]


def test_a_share_counts_what_is_queued_waiting_and_held_and_the_longest_wait(
    queue: Queue, connection: redis.Redis
) -> None:
    first = submit(queue)
    connection.hset(f"trainq:run:{first}", "submitted_at", queue.now() - 500)
    submit(queue, held_by="ana")
    for _ in range(2):
        submit(queue, after=(Parent(id=first),))
    submit(queue)
    claim(queue, "box:0", memory_mb=1)
    (share,) = queue.share()
    assert (share.user, share.running, share.pending) == ("ana", 1, 4)
    claim(queue, "box:1")
    assert queue.share()[0].oldest_s == 0
    late = submit(queue)
    connection.hset(f"trainq:run:{late}", "submitted_at", queue.now() - 50)
    assert queue.share()[0].oldest_s == pytest.approx(50, abs=20)


def test_a_restored_run_that_waited_goes_on_as_its_parents_say_and_is_told(
    queue: Queue, connection: redis.Redis
) -> None:
    parent = submit(queue)
    child = submit(queue, after=(Parent(id=parent),))
    end(queue, FINISHED)
    ready, done = queue.get(child), queue.get(parent)
    waiting = ready.model_copy(update={"state": State.WAITING})
    connection.flushall()
    assert queue.restore(done, by="bo") and queue.restore(waiting, by="bo")
    assert queue.get(child).state is State.QUEUED
    assert [(e.kind, e.by) for e in queue.events(run_id=child)] == [
        ("restored", "bo"),
        ("ready", "trainq"),
    ]
    assert queue.bell(0.01)
    assert claim(queue).run.id == child


def test_a_restored_run_that_may_start_wakes_a_worker(
    queue: Queue, connection: redis.Redis
) -> None:
    run = queue.get(submit(queue))
    connection.flushall()
    assert queue.restore(run, by="bo")
    assert [queue.bell(0.01), queue.bell(0.01)] == [True, False]


def test_only_as_many_bells_ring_as_runs_are_new(queue: Queue) -> None:
    queue.submit([a_run(), a_run(held_by="ana"), a_run()])
    rings = 0
    while queue.bell(0.01):
        rings += 1
    assert rings == 2
