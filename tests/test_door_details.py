"""What only a broken script showed: `make mutants` lived on each of these until it was told."""

import json

import pytest
import redis
from support.runs import a_run, a_worker, claim, submit

from queue_worker.queue import BatchCard, Ending, Queue, Verdict
from schemas.events import EventKind
from schemas.run import Cause, Parent, State, Wish, new_nonce

PREFIX = "trainq:"
HALF_LIFE_US = 7 * 86400 * 1_000_000


@pytest.fixture
def queue(connection: redis.Redis) -> Queue:
    queue = Queue(connection, PREFIX)
    queue.reap()
    connection.delete(f"{PREFIX}reap:hold")
    return queue


def spoil(connection: redis.Redis, name: str) -> None:
    """Something of another type in its place."""
    connection.delete(PREFIX + name)
    connection.set(PREFIX + name, "garbage")


def score(connection: redis.Redis, index: str, member: str) -> float:
    found = connection.zscore(PREFIX + index, member)
    assert isinstance(found, float), f"{member} is not in {index}"
    return found


# ---- keys of the wrong type ----------------------------------------------------------------------


def test_leases_that_had_to_be_set_aside_are_as_long_as_new_ones(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    claim(queue)
    spoil(connection, "leases:2")
    queue.counts()
    assert score(connection, "leases:2", run_id) > queue.now() + 5
    assert queue.reap() == []


def test_a_use_of_the_wrong_type_does_not_stop_a_renewal(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    spoil(connection, "usage:ana")
    assert queue.renew(run_id, token).answer == "ok"


def test_a_use_of_the_wrong_type_does_not_stop_a_claim(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    spoil(connection, "usage:ana")
    assert [row.id for row in queue.list()] == [run_id]
    spoil(connection, "usage:ana")
    assert claim(queue).run.id == run_id


@pytest.mark.parametrize("half", [{"value": 5}, {"at": 5}, {"value": "much", "at": 5}])
def test_half_a_use_is_none(
    queue: Queue, connection: redis.Redis, half: dict[str, str | int]
) -> None:
    run_id = submit(queue)
    connection.hset(f"{PREFIX}usage:ana", mapping=half)
    assert claim(queue).run.id == run_id


def test_a_log_of_the_wrong_type_can_be_asked_for(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    connection.hset(f"{PREFIX}run:{run_id}", "log_next", 3)
    spoil(connection, f"log:{run_id}")
    assert queue.log(run_id) == ([], 3)


@pytest.mark.parametrize("step", ["begin", "retry", "settle"])
def test_a_notice_of_the_wrong_type_stops_no_sender(
    queue: Queue, connection: redis.Redis, step: str
) -> None:
    queue.cancel(submit(queue), by="ana")
    (event,) = queue.notices_open()
    spoil(connection, f"notice:{event.id}")
    if step == "begin":
        assert queue.notice_begin(event.id, "v100:0") == "send"
    if step == "retry":
        queue.notice_retry(event.id, "v100:0", 1)
    if step == "settle":
        queue.notice_settle(event.id, "file")
    assert len(queue.notices_open()) == (step != "settle")


def test_a_batch_card_of_the_wrong_type_is_written_anew(
    queue: Queue, connection: redis.Redis
) -> None:
    spoil(connection, "batchcard:b1")
    card = BatchCard(id="b1", name="b", user="ana", total=2)
    queue.submit([a_run(batch="b1"), a_run(batch="b1")], card)
    assert queue.batches()[0].card == card
    assert claim(queue).run.batch == "b1"


@pytest.mark.parametrize("kind", ["name", "user", "batch", "digest"])
def test_whom_a_spoilt_index_named_it_names_again(
    queue: Queue, connection: redis.Redis, kind: str
) -> None:
    first = submit(queue, **{kind: "one"})
    spoil(connection, f"{kind}:one")
    second = submit(queue, **{kind: "one"})
    members = connection.zrange(f"{PREFIX}{kind}:one", 0, -1)
    assert members == [first.encode(), second.encode()]


# ---- values that are none ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("after", "5"), ("after", "{"), ("after", '["x"]'), ("gpus", "-1"), ("gpus", "many")],
)
def test_a_record_that_a_script_could_stumble_over_is_set_aside(
    queue: Queue, connection: redis.Redis, name: str, value: str
) -> None:
    poisoned, sound = submit(queue), submit(queue)
    connection.hset(f"{PREFIX}run:{poisoned}", name, value)
    assert claim(queue).run.id == sound
    assert [run_id for run_id, _ in queue.quarantined()] == [poisoned]


@pytest.mark.parametrize("rubbish", ["{", "5", json.dumps({"by": "bo", "reason": "moving"})])
def test_a_drain_asks_to_leave_whatever_it_says_of_itself(
    queue: Queue, connection: redis.Redis, rubbish: str
) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    connection.hset(f"{PREFIX}controls", "drain:host:v100", rubbish)
    renewal = queue.renew(run_id, token)
    assert renewal.wish is Wish.DRAIN
    said = ("bo", "moving") if "moving" in rubbish else ("", "")
    assert (renewal.wish_by, renewal.wish_reason) == said


def test_only_a_running_row_has_a_lease(queue: Queue, connection: redis.Redis) -> None:
    waits, runs = submit(queue, name="running"), submit(queue, priority=1)
    claim(queue)
    connection.zadd(f"{PREFIX}leases:2", {waits: 1})
    leases = {row.id: row.lease_until for row in queue.list()}
    assert leases[waits] is None and leases[runs] is not None


# ---- lines and lanes -----------------------------------------------------------------------------


def test_of_two_that_are_equally_next_the_one_that_came_first_goes_first(
    queue: Queue, connection: redis.Redis
) -> None:
    """What one used weighs exactly as much as the other came later."""
    for ids in (("aaaaaa", "bbbbbb"), ("bbbbbb", "aaaaaa")):
        connection.flushall()
        early, late = ids
        submit(queue, id=early, user="ana")
        submit(queue, id=late, user="bo")
        usage = {"value": 10**9, "at": queue.now() + 10**6}
        connection.hset(f"{PREFIX}usage:ana", mapping=usage)
        connection.zadd(f"{PREFIX}lane:ana|0|1|||", {early: 1000})
        connection.zadd(f"{PREFIX}lane:bo|0|1|||", {late: 1000 + HALF_LIFE_US})
        assert [row.id for row in queue.list()] == [early, late]
        assert claim(queue).run.id == early


def test_a_run_that_stands_in_two_lanes_is_claimed_from_both(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue, memory_mb=8192)
    connection.zadd(f"{PREFIX}lane:ana|0|1|||", {run_id: 1})
    connection.sadd(f"{PREFIX}lanes:2", "ana|0|1|||")
    assert claim(queue).run.id == run_id
    assert not connection.exists(f"{PREFIX}lane:ana|0|1|||", f"{PREFIX}lane:ana|8|1|||")
    assert not connection.exists(f"{PREFIX}lanes:2")


def test_an_edit_takes_a_run_out_of_its_old_lane(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    queue.edit(run_id, by="ana", needs_host="v100")
    assert connection.smembers(f"{PREFIX}lanes:2") == {b"ana|0|1|v100||"}
    queue.edit(run_id, by="ana", after=[Parent(id=submit(queue))])
    assert queue.counts()[State.QUEUED] == 1


def test_parents_of_parents_that_meet_again_and_again_are_looked_at_once(queue: Queue) -> None:
    above: tuple[Parent, ...] = ()
    for _ in range(30):
        runs = [a_run(after=above) for _ in range(2)]
        queue.submit(runs)
        above = tuple(Parent(id=run.id) for run in runs)
    run_id = submit(queue)
    assert queue.edit(run_id, by="ana", after=above).state is State.WAITING


def test_a_worker_speaks_for_its_runs_root_alone(queue: Queue, connection: redis.Redis) -> None:
    queue.announce(a_worker(runs_root="root-a"))
    queue.announce(a_worker("box:0", runs_root=""))
    assert connection.zrange(f"{PREFIX}roots", 0, -1) == [b"root-a"]


def test_a_claim_that_is_repeated_after_its_record_is_gone_is_none(
    queue: Queue, connection: redis.Redis
) -> None:
    submit(queue)
    card, nonce = a_worker(), new_nonce()
    claimed = queue.claim(card, nonce)
    assert claimed
    connection.delete(f"{PREFIX}run:{claimed.run.id}")
    assert queue.claim(card, nonce) is None


# ---- attempts ------------------------------------------------------------------------------------


def test_a_failure_that_was_a_crash_counts_as_one(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    ending = Ending(state=State.FAILED, cause=Cause.HOST_OOM, crashed=True, stalled=True)
    assert queue.end(run_id, token, ending) is Verdict.DONE
    run = queue.get(run_id)
    assert (run.crashes, run.stalls) == (1, 1)


def test_who_starts_over_says_with_which_attempt(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    first = claim(queue)
    queue.checkpoint(run_id, first.token, "attempts/a", 5)
    queue.end(run_id, first.token, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    connection.zadd(f"{PREFIX}roots", {"root-a": 1})
    queue.reap()
    assert queue.claim(a_worker("box:0", runs_root="root-b"), new_nonce())
    started = [e for e in queue.events(run_id=run_id) if e.kind is EventKind.STARTED_OVER]
    assert [event.attempt for event in started] == [2]


def test_a_worker_that_lives_again_after_a_boot_does_not_keep_what_it_ran_before(
    queue: Queue,
) -> None:
    run_id = submit(queue)
    claim(queue)
    queue.announce(a_worker(boot_id="boot-2"))
    assert queue.reap("v100:1", "boot-2", "v100") == [run_id]


def test_a_gap_in_which_nobody_reaped_is_no_silence_of_a_root(
    queue: Queue, connection: redis.Redis
) -> None:
    now = queue.now()
    connection.zadd(f"{PREFIX}roots", {"root-a": now - 100, "root-b": now - 20})
    connection.set(f"{PREFIX}reap:last", now - 50)
    queue.reap()
    assert score(connection, "roots", "root-a") == pytest.approx(now - 50, abs=20)
    assert score(connection, "roots", "root-b") == pytest.approx(now, abs=9)


def test_a_lease_from_a_clock_that_was_ahead_is_cut_to_its_own_length(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    claim(queue)
    connection.zadd(f"{PREFIX}leases:2", {run_id: queue.now() + 10_000})
    queue.reap()
    assert score(connection, "leases:2", run_id) == pytest.approx(queue.now() + 15, abs=9)


def test_time_is_charged_once_and_never_taken_back(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    now = queue.now()
    connection.hset(f"{PREFIX}run:{run_id}", mapping={"charged_at": now - 30, "ran_s": 10})
    queue.renew(run_id, token)
    assert queue.get(run_id).ran_s == pytest.approx(40, abs=15)
    connection.hset(f"{PREFIX}run:{run_id}", "charged_at", now + 1000)  # the clock was put back
    queue.renew(run_id, token)
    assert queue.get(run_id).ran_s == pytest.approx(40, abs=15)
    assert float(connection.hget(f"{PREFIX}run:{run_id}", "charged_at") or 0) > now + 999


# ---- breakers ------------------------------------------------------------------------------------


def before_the_first_step(queue: Queue, cause: Cause, batch: str) -> None:
    submit(queue, batch=batch)
    claimed = claim(queue)
    cancelled = cause is Cause.CANCELLED
    state = State.CANCELLED if cancelled else State.FAILED
    ending = Ending(state=state, cause=cause, error="no", by="ana", began=False)
    queue.end(claimed.run.id, claimed.token, ending)


@pytest.mark.parametrize("cause", [Cause.CANCELLED, Cause.TIMEOUT, Cause.CONFIG])
def test_ends_that_no_host_is_to_blame_for_pause_no_worker(queue: Queue, cause: Cause) -> None:
    for batch in ("b1", "b2", "b3"):
        before_the_first_step(queue, cause, batch)
    assert not [each for each in queue.controls() if each.scope.startswith("worker:")]


def test_a_worker_that_was_released_has_three_new_attempts(queue: Queue) -> None:
    for batch in ("b1", "b2", "b3"):
        before_the_first_step(queue, Cause.DATA, batch)
    assert queue.clear_control("hold", "worker:v100:0", by="ana")
    before_the_first_step(queue, Cause.DATA, "b4")
    assert not queue.controls()


def test_what_is_set_aside_is_told(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    connection.hset(f"{PREFIX}run:{run_id}", "state", "sleeping")
    assert queue.claim(a_worker(), new_nonce()) is None
    last = queue.events(run_id=run_id)[-1]
    assert (last.kind, last.text) == (EventKind.QUARANTINED, "no such state: sleeping")


def test_a_stall_that_is_put_back_counts_as_one_and_a_drain_as_none(queue: Queue) -> None:
    run_id = submit(queue)
    for cause, stalled in ((Cause.STALLED, True), (Cause.DRAINED, False)):
        ending = Ending(state=State.QUEUED, cause=cause, stalled=stalled)
        queue.end(run_id, claim(queue).token, ending)
    assert (queue.get(run_id).stalls, queue.get(run_id).crashes) == (1, 0)


def test_an_edit_of_something_else_keeps_what_was_foreseen(queue: Queue) -> None:
    run_id = submit(queue, memory_mb=4096, preflight={"peak_mb": 4000})
    after = queue.edit(run_id, by="ana", priority=2)
    assert (after.memory_mb, after.preflight) == (4096, {"peak_mb": 4000})
    before = queue.events()
    assert queue.edit(run_id, by="bo", priority=2) == after and queue.events() == before


@pytest.mark.parametrize(("by_hand", "kept"), [(True, 4096), (False, 0)])
def test_another_config_keeps_only_the_memory_that_a_person_has_named(
    queue: Queue, by_hand: bool, kept: int
) -> None:
    run_id = submit(queue, memory_mb=4096, preflight={"peak_mb": 4000, "by_hand": by_hand})
    after = queue.edit(run_id, by="ana", config={"model": {"name": "resnet34"}})
    assert (after.memory_mb, after.preflight) == (kept, {})


# ---- receipts ------------------------------------------------------------------------------------


def test_a_receipt_says_what_became_of_a_run_by_the_end_of_its_submit(queue: Queue) -> None:
    parent, before = submit(queue, priority=1), submit(queue)
    queue.end(parent, claim(queue).token, Ending(state=State.FINISHED))
    goes, waits, stays = (
        a_run(after=(Parent(id=parent),)),
        a_run(after=(Parent(id=before),)),
        a_run(held_by="ana"),
    )
    receipts = queue.submit([goes, waits, stays])
    assert [(receipt.state, receipt.ahead) for receipt in receipts] == [
        (State.QUEUED, 1),
        (State.WAITING, 0),
        (State.HELD, 0),
    ]


# ---- bells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3, 12])
def test_a_bell_rings_for_each_run_that_may_start_but_not_for_ever(
    queue: Queue, connection: redis.Redis, number: int
) -> None:
    queue.submit([a_run() for _ in range(number)] + [a_run(held_by="ana")])
    assert connection.llen(f"{PREFIX}bell") == min(number, 8)
