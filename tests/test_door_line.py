"""Who is next: priority, waiting, and what a person has used lately."""

from itertools import pairwise

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from support.runs import a_run, a_worker, claim, submit
from support.servers import TestServer

from queue_worker.queue import Ending, Queue, TransitionRefused
from schemas.run import SCHEMA, Cause, State, new_nonce
from schemas.share import AGEING_S, decayed, place, rank

HALF_LIFE_S = 7 * 86400.0
FINISHED = Ending(state=State.FINISHED)


def has_used(connection: redis.Redis, user: str, seconds: float, at: float) -> None:
    connection.hset(f"trainq:usage:{user}", mapping={"value": seconds, "at": at})
    connection.zadd("trainq:users", {user: at})


def order(queue: Queue) -> list[str]:
    return [row.id for row in queue.list(states={State.QUEUED})]


def test_who_used_less_goes_first_until_the_other_has_waited_as_long(
    queue: Queue, connection: redis.Redis
) -> None:
    heavy = submit(queue, user="ana")
    light = submit(queue, user="bo")
    has_used(connection, "ana", 3600, queue.now())
    assert order(queue) == [light, heavy]
    connection.zincrby("trainq:lane:ana|0|1|||", -3601e6, heavy)  # as if submitted an hour before
    assert order(queue) == [heavy, light]
    assert claim(queue).run.id == heavy


def test_no_use_puts_anybody_back_by_more_than_a_half_life(
    queue: Queue, connection: redis.Redis
) -> None:
    heavy = submit(queue, user="ana")
    light = submit(queue, user="bo")
    has_used(connection, "ana", 1e9, queue.now())
    connection.zincrby("trainq:lane:ana|0|1|||", -(HALF_LIFE_S + 1) * 1e6, heavy)
    assert order(queue) == [heavy, light]


def test_a_point_of_priority_is_worth_a_day_of_waiting(
    queue: Queue, connection: redis.Redis
) -> None:
    urgent, old = submit(queue, priority=1), submit(queue, user="bo")
    connection.zincrby("trainq:lane:bo|0|1|||", -(AGEING_S - 50) * 1e6, old)
    assert order(queue) == [urgent, old]
    connection.zincrby("trainq:lane:bo|0|1|||", -100e6, old)
    assert order(queue) == [old, urgent]


def test_what_runs_is_charged_while_it_runs_for_each_of_its_gpus(queue: Queue) -> None:
    submit(queue, user="ana", gpus=2)
    claimed = claim(queue, gpus=2)
    queue.renew(claimed.run.id, claimed.token)
    used = {share.user: share for share in queue.share()}["ana"]
    ran = queue.get(claimed.run.id).ran_s
    assert ran > 0 and used.used_s == pytest.approx(2 * ran, rel=1e-3)
    assert (used.running, used.pending) == (1, 0)


def test_an_end_charges_the_rest_and_a_lost_attempt_only_up_to_its_lease(
    queue: Queue, connection: redis.Redis
) -> None:
    done, lost = submit(queue), submit(queue)
    first, _ = claim(queue), claim(queue, "v100:1")
    queue.end(done, first.token, FINISHED)
    ended = queue.get(done)
    assert ended.ran_s == pytest.approx((ended.ended_at or 0) - (ended.started_at or 0), abs=0.01)
    began = float(connection.hget(f"trainq:run:{lost}", "charged_at") or 0)
    connection.hset(f"trainq:run:{lost}", "charged_at", began - 100)
    connection.zadd("trainq:leases:2", {lost: began - 40})
    queue.reclaim(a_worker("v100:1"))
    assert queue.get(lost).ran_s == pytest.approx(60, abs=0.1)


def test_use_is_halved_every_half_life(queue: Queue, connection: redis.Redis) -> None:
    has_used(connection, "ana", 1000, queue.now() - 2 * HALF_LIFE_S)
    (share,) = queue.share()
    assert share.used_s == pytest.approx(250, rel=1e-3)
    assert decayed(1000, 2 * HALF_LIFE_S, HALF_LIFE_S) == 250


@settings(deadline=None)  # a machine that is busy is no fault of the claim
@given(
    people=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-3, 3), st.integers(0, 400_000)),
        min_size=1,
        max_size=8,
    ),
    used=st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**6), max_size=3),
)
def test_the_claim_and_its_description_in_python_agree(
    shared_server: TestServer, people: list[tuple[str, int, int]], used: dict[str, int]
) -> None:
    with shared_server.client() as client:
        client.flushall()
        queue = Queue(client, "trainq:")
        for user, seconds in used.items():
            has_used(client, user, seconds, queue.now())
        ids = [submit(queue, user=user, priority=priority) for user, priority, _ in people]
        ranks = {}
        for run_id, (user, priority, waited) in zip(ids, people, strict=True):
            client.zincrby(f"trainq:lane:{user}|0|1|||", -(waited * 1_000_000 + 500_000), run_id)
            seq = queue.get(run_id).seq - waited * 1_000_000 - 500_000
            ranks[run_id] = rank(seq, priority, used.get(user, 0), HALF_LIFE_S)
        found = order(queue)
        for one, other in pairwise(found):
            assert ranks[one] <= ranks[other] + 2e6  # use decays while this test runs
        assert [queue.position(run_id) for run_id in found] == list(range(len(found)))


def test_the_order_of_one_person_is_that_of_places(queue: Queue) -> None:
    queue.submit([a_run(priority=number % 3) for number in range(30)])
    rows = queue.list(states={State.QUEUED})
    assert rows == sorted(rows, key=lambda row: place(row.seq, row.priority))
    assert len({row.seq for row in rows}) == 30


def test_a_priority_that_changes_changes_the_place(queue: Queue) -> None:
    first, second = submit(queue), submit(queue)
    assert queue.edit(second, by="bo", priority=1).priority == 1
    assert queue.edit(second, by="bo", priority=1).priority == 1
    assert order(queue) == [second, first]
    told = [e for e in queue.events(run_id=second) if e.kind == "moved"]
    assert [(event.by, event.text) for event in told] == [("bo", "priority 1")]


def test_a_move_to_the_front_passes_everybody_whatever_they_have_used(
    queue: Queue, connection: redis.Redis
) -> None:
    light, mine = submit(queue, user="bo"), submit(queue)
    has_used(connection, "ana", 3600, queue.now())
    first = queue.move(mine, by="bo", to="first")
    assert order(queue) == [mine, light]
    has_used(connection, "ana", 1e9, queue.now())  # nor by what it uses later
    assert order(queue) == [mine, light]
    assert queue.move(mine, by="bo", to="first") == first  # a repeat
    moved = [event for event in queue.events(run_id=mine) if event.kind == "moved"]
    assert [(event.by, event.text) for event in moved] == [("bo", "first")]
    assert claim(queue).run.id == mine


def test_a_move_to_the_end_is_behind_who_waits_and_before_who_comes(queue: Queue) -> None:
    mine, old, urgent = submit(queue, priority=3), submit(queue, user="bo"), submit(queue)
    queue.edit(urgent, by="ana", priority=2)
    queue.move(mine, by="ana", to="last")
    assert order(queue) == [urgent, old, mine]
    later = submit(queue)
    assert order(queue) == [urgent, old, mine, later]
    assert queue.position(mine) == 2


def test_a_move_to_the_end_is_no_further_for_who_has_used_much(
    queue: Queue, connection: redis.Redis
) -> None:
    old, mine = submit(queue, user="bo"), submit(queue, priority=3)
    has_used(connection, "ana", 3600, queue.now())
    queue.move(mine, by="ana", to="last")
    later = submit(queue, user="bo")
    assert order(queue) == [old, mine, later]


def test_a_move_before_another_is_kept_by_a_requeue_and_ended_by_a_priority(queue: Queue) -> None:
    one, two, three = (submit(queue) for _ in range(3))
    queue.move_before(three, by="bo", other=two)
    assert order(queue) == [one, three, two]
    claim(queue)
    again = claim(queue)
    queue.end(again.run.id, again.token, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    assert order(queue) == [three, two]
    queue.edit(three, by="bo", priority=0)
    assert order(queue) == [two, three]


def test_a_held_run_is_moved_to_where_it_will_stand(queue: Queue) -> None:
    one, held = submit(queue), submit(queue, held_by="ana")
    queue.move(held, by="ana", to="first")
    assert queue.get(held).state is State.HELD
    queue.release(held, by="ana")
    assert order(queue) == [held, one]


def test_nothing_goes_before_a_run_that_is_not_in_line(queue: Queue) -> None:
    running, other = submit(queue), submit(queue)
    claim(queue)
    with pytest.raises(TransitionRefused, match=running):
        queue.move_before(other, by="ana", other=running)
    with pytest.raises(TransitionRefused, match="running"):
        queue.move(running, by="ana", to="first")


def test_records_of_the_first_version_are_taken_over_in_place(
    queue: Queue, connection: redis.Redis
) -> None:
    ids = [submit(queue, priority=priority) for priority in (0, 5)]
    for number, run_id in enumerate(ids, start=1):  # as version 1 wrote them
        connection.hset(f"trainq:run:{run_id}", mapping={"seq": number, "schema_number": 1})
        connection.hdel(f"trainq:run:{run_id}", "gpus", "memory_mb", "time_limit_s", "kind")
    connection.delete("trainq:lane:ana|0|1|||", "trainq:lanes:2", "trainq:seq:2")
    connection.sadd("trainq:lanes", "ana|0|1||")
    connection.zadd("trainq:lane:ana|0|1||", {ids[0]: 1000 * 2**40 + 1, ids[1]: 995 * 2**40 + 2})
    newest = submit(queue)
    assert order(queue) == [ids[1], ids[0], newest]
    claimed = claim(queue).run
    assert (claimed.id, claimed.schema_number, claimed.gpus) == (ids[1], SCHEMA, 1)
    assert connection.keys("trainq:lane:*") == [b"trainq:lane:ana|0|1|||"]


def test_an_older_worker_leaves_what_a_newer_client_wrote(
    queue: Queue, connection: redis.Redis
) -> None:
    newer = submit(queue)
    connection.hset(
        f"trainq:run:{newer}", mapping={"schema_number": SCHEMA + 1, "charm": "strange"}
    )
    assert queue.claim(a_worker(), new_nonce()) is None
    assert queue.get(newer).state is State.QUEUED
    assert connection.hget(f"trainq:run:{newer}", "charm") == b"strange"


def test_runs_of_one_submit_stand_far_enough_apart_for_others_between_them(queue: Queue) -> None:
    one, two, three = (receipt.id for receipt in queue.submit([a_run() for _ in range(3)]))
    for _ in range(2):
        queue.move_before(three, by="bo", other=two)
        assert order(queue) == [one, three, two]
    last = submit(queue)
    queue.move_before(last, by="bo", other=two)
    assert order(queue) == [one, three, last, two]
