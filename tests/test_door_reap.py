"""Reaping: a lost attempt is put back, and nobody is put back only because Redis was away."""

import pytest
import redis
from support.runs import a_run, a_worker, claim, submit

from queue_worker.queue import BatchCard, Ending, Queue, Verdict
from schemas.events import EventKind
from schemas.run import SCHEMA, Cause, State, new_nonce

PREFIX = "trainq:"


@pytest.fixture
def queue(connection: redis.Redis) -> Queue:
    return Queue(connection, PREFIX, crash_limit=3)


@pytest.fixture
def reaping(queue: Queue, connection: redis.Redis) -> Queue:
    """A queue that has been reaped all the time, so that no outage is suspected."""
    queue.reap()
    connection.delete(f"{PREFIX}reap:hold")
    return queue


def expire(connection: redis.Redis, run_id: str) -> None:
    """As if the lease had run out a moment ago."""
    whole, _ = connection.time()
    connection.zadd(f"{PREFIX}leases:2", {run_id: whole - 1})


def test_an_expired_lease_is_put_back_at_its_old_place(
    reaping: Queue, connection: redis.Redis
) -> None:
    first, second = submit(reaping), submit(reaping)
    old = claim(reaping)
    expire(connection, first)
    assert reaping.reap("v100:1") == [first]
    assert [row.id for row in reaping.list()] == [first, second]
    new = claim(reaping, "v100:1")
    assert (new.run.id, new.run.attempt, new.run.crashes) == (first, 2, 1)
    assert new.run.started_at == old.run.started_at
    assert reaping.renew(first, old.token).answer == "lost"


def test_a_put_back_run_tells_who_put_it_back_and_why(
    reaping: Queue, connection: redis.Redis
) -> None:
    run_id = submit(reaping)
    claim(reaping)
    expire(connection, run_id)
    reaping.reap("v100:1")
    event = reaping.events(run_id=run_id)[-1]
    assert (event.kind, event.by, event.cause) == (EventKind.REQUEUED, "v100:1", Cause.HOST_LOST)
    assert event.text == "its worker fell silent" and event.attempt == 1


def test_a_reaper_with_a_shorter_lease_leaves_the_leases_of_others_as_long_as_they_are(
    reaping: Queue, connection: redis.Redis
) -> None:
    run_id = submit(reaping)
    claim(reaping)
    before = connection.zscore(f"{PREFIX}leases:2", run_id)
    Queue(connection, PREFIX, lease_s=1).reap("v100:1")
    assert connection.zscore(f"{PREFIX}leases:2", run_id) == before


def test_a_live_lease_is_left_alone(reaping: Queue) -> None:
    submit(reaping)
    claim(reaping)
    assert reaping.reap("v100:0") == []
    assert reaping.counts()[State.RUNNING] == 1


def test_a_lease_of_a_run_that_does_not_run_is_swept(
    reaping: Queue, connection: redis.Redis
) -> None:
    run_id = submit(reaping)
    expire(connection, run_id)
    assert reaping.reap() == []
    assert not connection.exists(f"{PREFIX}leases:2")
    assert reaping.get(run_id).state is State.QUEUED


def test_an_attempt_of_another_version_is_left_to_its_own_reapers(
    reaping: Queue, connection: redis.Redis
) -> None:
    run_id = submit(reaping)
    claim(reaping)
    connection.hset(f"{PREFIX}run:{run_id}", "schema_number", str(SCHEMA + 1))
    expire(connection, run_id)
    assert reaping.reap() == []
    assert reaping.get(run_id).state is State.RUNNING


def test_what_was_reaped_keeps_its_checkpoint(reaping: Queue, connection: redis.Redis) -> None:
    run_id = submit(reaping)
    reaping.checkpoint(run_id, claim(reaping).token, "attempts/a/step-5", 5)
    expire(connection, run_id)
    reaping.reap()
    assert reaping.get(run_id).checkpoint == "attempts/a/step-5"


def test_what_was_put_back_wakes_an_idle_worker(queue: Queue, connection: redis.Redis) -> None:
    submit(queue)
    claim(queue)
    connection.delete(f"{PREFIX}bell")
    queue.reclaim(a_worker())
    assert queue.bell(0.01)


# ---- the outage rule ----------------------------------------------------------------------------


def test_the_first_reap_of_all_holds_back(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    claim(queue)
    expire(connection, run_id)
    assert queue.reap() == []
    assert queue.get(run_id).state is State.RUNNING


def test_after_a_gap_between_reaps_nothing_expires_for_a_while(
    reaping: Queue, connection: redis.Redis
) -> None:
    run_id = submit(reaping)
    token = claim(reaping).token
    expire(connection, run_id)
    connection.set(f"{PREFIX}reap:last", reaping.now() - 60)
    before = reaping.now()
    assert reaping.reap() == []
    after = reaping.now()
    assert reaping.reap() == []
    assert reaping.renew(run_id, token).answer == "ok"
    held_back_until = float(connection.get(f"{PREFIX}reap:hold") or 0)
    assert before <= held_back_until - 1.2 * 15 <= after


def test_after_the_pause_whoever_stayed_silent_is_put_back(
    reaping: Queue, connection: redis.Redis
) -> None:
    run_id = submit(reaping)
    claim(reaping)
    expire(connection, run_id)
    connection.set(f"{PREFIX}reap:last", reaping.now() - 60)
    reaping.reap()
    connection.set(f"{PREFIX}reap:hold", reaping.now() - 0.1)
    assert reaping.reap() == [run_id]


def test_a_clock_that_was_put_back_delays_nobody_longer_than_a_lease(
    reaping: Queue, connection: redis.Redis
) -> None:
    run_id = submit(reaping)
    claim(reaping)
    tomorrow = reaping.now() + 86400
    connection.zadd(f"{PREFIX}leases:2", {run_id: tomorrow})
    connection.set(f"{PREFIX}reap:last", tomorrow)
    connection.set(f"{PREFIX}reap:hold", tomorrow)
    connection.zadd(f"{PREFIX}roots", {"root-a": tomorrow})
    assert reaping.reap() == []
    soon = reaping.now() + 1.2 * 15 + 1
    assert (reaping.get(run_id).lease_until or tomorrow) < soon
    for key in ("reap:last", "reap:hold"):
        assert float(connection.get(PREFIX + key) or tomorrow) < soon
    assert (connection.zscore(f"{PREFIX}roots", "root-a") or tomorrow) < soon


# ---- crashes ------------------------------------------------------------------------------------


def test_a_run_that_crashes_too_often_fails(reaping: Queue, connection: redis.Redis) -> None:
    run_id = submit(reaping)
    for _ in range(3):
        claim(reaping)
        expire(connection, run_id)
        assert reaping.reap() == [run_id]
    run = reaping.get(run_id)
    assert (run.state, run.cause, run.crashes) == (State.FAILED, Cause.HOST_LOST, 3)
    assert "crash 3, the limit" in run.error
    assert reaping.claim(a_worker(), new_nonce()) is None
    assert [event.kind for event in reaping.notices_open()] == [EventKind.FAILED]


def test_crashes_that_a_worker_reports_count_as_well(queue: Queue) -> None:
    run_id = submit(queue)
    ending = Ending(state=State.QUEUED, cause=Cause.GPU_FAULT, error="Xid 79", crashed=True)
    for _ in range(3):
        assert queue.end(run_id, claim(queue).token, ending) is Verdict.DONE
    run = queue.get(run_id)
    assert (run.state, run.cause) == (State.FAILED, Cause.GPU_FAULT)


def test_drains_and_stalls_are_no_crashes(queue: Queue) -> None:
    run_id = submit(queue)
    for _ in range(5):
        queue.end(run_id, claim(queue).token, Ending(state=State.QUEUED, stalled=True))
    run = queue.get(run_id)
    assert (run.state, run.crashes, run.stalls) == (State.QUEUED, 0, 5)


# ---- at a worker's start ------------------------------------------------------------------------


def test_a_worker_that_starts_anew_puts_its_own_attempt_back_at_once(queue: Queue) -> None:
    mine, other = submit(queue), submit(queue)
    claim(queue, "v100:0")
    claim(queue, "v100:1")
    assert queue.reclaim(a_worker("v100:0")) == [mine]
    assert queue.get(other).state is State.RUNNING


def silent(connection: redis.Redis, *lanes: str) -> None:
    """As if these workers had last been seen longer than a lease ago."""
    whole, _ = connection.time()
    connection.zadd(f"{PREFIX}workers", dict.fromkeys(lanes, whole - 16))


def test_after_a_reboot_every_attempt_of_the_host_is_put_back_at_once(
    queue: Queue, connection: redis.Redis
) -> None:
    mine, here, there = submit(queue), submit(queue), submit(queue)
    claim(queue, "v100:0", boot_id="before")
    claim(queue, "v100:1", boot_id="before")
    claim(queue, "box:0", boot_id="before")
    silent(connection, "v100:0", "v100:1", "box:0")
    assert set(queue.reclaim(a_worker("v100:0", boot_id="after"))) == {mine, here}
    assert queue.get(there).state is State.RUNNING


def test_any_reaper_of_the_host_notices_the_reboot(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    claim(queue, "v100:1", boot_id="before")
    silent(connection, "v100:1")
    assert queue.reap("v100:0", boot_id="before", host="v100") == []
    assert queue.reap("v100:0", boot_id="after", host="v100") == [run_id]


@pytest.mark.parametrize("lane", ["v100:0", "v100:1"])
def test_a_machine_of_the_same_name_takes_no_attempt_of_one_that_lives(
    queue: Queue, lane: str
) -> None:
    run_id = submit(queue)
    token = claim(queue, "v100:0", boot_id="one").token
    twin = a_worker(lane, boot_id="two")
    assert queue.reclaim(twin) == []
    assert queue.reap(twin.lane, twin.boot_id, twin.host) == []
    assert queue.renew(run_id, token).answer == "ok"


def test_rubbish_for_a_card_does_not_protect_an_attempt(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    claim(queue, "v100:1", boot_id="before")
    connection.hset(f"{PREFIX}worker:v100:1", "card", "{")
    assert queue.reap("v100:0", boot_id="after", host="v100") == [run_id]


def test_workers_are_listed_with_what_they_run(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    claim(queue, "v100:0")
    queue.announce(a_worker("box:cpu", doing=""))
    box, v100 = queue.workers()
    assert (box.card.lane, box.run, box.alive) == ("box:cpu", "", True)
    assert (v100.card.lane, v100.run) == ("v100:0", run_id)
    queue.depart("box:cpu")
    connection.zadd(f"{PREFIX}workers", {"v100:0": queue.now() - 60})
    [silent] = queue.workers()
    assert not silent.alive


def test_runs_of_a_batch_that_crash_to_their_limit_hold_what_is_left_of_it(queue: Queue) -> None:
    runs = [a_run(batch="b1") for _ in range(4)]
    queue.submit(runs, BatchCard(id="b1", name="b", user="ana", total=4))
    crash = Ending(state=State.QUEUED, cause=Cause.HOST_OOM, error="exit -9", crashed=True)
    for _ in range(3 * 3):
        claimed = claim(queue)
        queue.end(claimed.run.id, claimed.token, crash)
    assert queue.counts()[State.FAILED] == 3
    (control,) = queue.controls()
    assert (control.scope, control.by) == ("batch:b1", "trainq")
    assert "failed alike (host_oom): 1 more" in control.reason
