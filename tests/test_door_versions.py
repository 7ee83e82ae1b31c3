"""Teams are not updated all at once: version 1 and ours share one Redis and do each other no harm.

Version 1 sets aside whatever it cannot read in `lanes` and `leases`; it did so to every newer run.
"""

import pytest
import redis
from support.runs import a_worker, claim, submit

from queue_worker.queue import Queue
from schemas.run import SCHEMA, Parent, State, new_nonce

LANE = "ana|0|1||"  # as version 1 named it


def of_version_1(connection: redis.Redis, queue: Queue, run_id: str) -> None:
    """The queued run as a client of version 1 would have left it."""
    connection.hset(f"trainq:run:{run_id}", mapping={"seq": 1, "schema_number": 1})
    for name in connection.keys("trainq:lane:*"):
        connection.zrem(name, run_id)
    connection.sadd("trainq:lanes", LANE)
    connection.zadd(f"trainq:lane:{LANE}", {run_id: 1000 * 2**40 + 1})


def test_nothing_that_an_older_worker_walks_names_a_run_of_ours(
    queue: Queue, connection: redis.Redis
) -> None:
    submit(queue)
    claim(queue)
    submit(queue)
    assert connection.exists("trainq:lanes", "trainq:leases", "trainq:seq") == 0


def test_what_an_older_client_queues_is_taken_over_whenever_it_comes(
    queue: Queue, connection: redis.Redis
) -> None:
    submit(queue)
    claim(queue)
    late = submit(queue)
    of_version_1(connection, queue, late)
    assert [row.id for row in queue.list(states={State.QUEUED})] == [late]
    claimed = claim(queue, "v100:1").run
    assert (claimed.id, claimed.schema_number) == (late, SCHEMA)
    assert not connection.exists("trainq:lanes", f"trainq:lane:{LANE}")


def test_an_attempt_of_an_older_worker_goes_on_under_its_own_lease(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    lease = connection.zscore("trainq:leases:2", run_id)
    connection.delete("trainq:leases:2")
    connection.hset(f"trainq:run:{run_id}", "schema_number", 1)
    connection.zadd("trainq:leases", {run_id: lease})
    assert queue.cancel(run_id, by="bo").state is State.RUNNING  # asked, not cut off
    assert queue.get(run_id).lease_until == pytest.approx(lease, rel=0, abs=1e-3)
    assert queue.renew(run_id, token).wish is not None


def test_a_lost_attempt_of_an_older_worker_is_put_back_by_ours(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    claim(queue)
    connection.delete("trainq:leases:2")
    connection.zadd("trainq:leases", {run_id: queue.now() - 1})
    queue.reap()
    connection.delete("trainq:reap:hold")
    assert queue.reap() == [run_id]
    assert not connection.exists("trainq:leases")
    assert queue.claim(a_worker(), new_nonce())


@pytest.mark.parametrize(("end", "after"), [("finished", State.QUEUED), ("failed", State.SKIPPED)])
def test_who_waited_for_an_attempt_that_an_older_worker_ended_learns_of_it(
    queue: Queue, connection: redis.Redis, end: str, after: State
) -> None:
    parent = submit(queue)
    child = submit(queue, after=(Parent(id=parent),))
    claim(queue)
    ended = {"state": end, "ended_at": queue.now(), "token": "", "cause": "code"}
    connection.hset(f"trainq:run:{parent}", mapping=ended)
    connection.zrem("trainq:state:running", parent)
    connection.zadd(f"trainq:state:{end}", {parent: queue.now()})
    queue.reap()
    assert queue.get(child).state is after
    assert not connection.exists("trainq:leases:2")
