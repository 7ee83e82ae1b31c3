"""What a claim costs: the lanes there are, never the runs that wait in them. Counted, not timed."""

from typing import Any

import pytest
import redis
from support.runs import a_run, a_worker, submit

from publisher.plans.sending import distinct
from queue_worker.queue import BatchCard, Queue
from schemas.run import new_id, new_nonce

LANES = 10


def pending(queue: Queue, number: int, **fields: Any) -> None:
    """So many runs of ten people."""
    ids = distinct(number, new_id)  # of thousands drawn at random two may be alike
    for start in range(0, number, 500):
        some = enumerate(ids[start : start + 500])
        queue.submit([a_run(id=run_id, user=f"user{i % LANES}", **fields) for i, run_id in some])


def commands_of_a_claim(queue: Queue, connection: redis.Redis) -> int:
    """All that the server is asked to do while a worker of 16 GiB claims."""
    queue.set_control("hold", "worker:warm:0", by="ana")
    assert queue.claim(a_worker("warm:0"), new_nonce()) is None  # the script is loaded
    connection.config_resetstat()
    assert queue.claim(a_worker(offer_mb=16_000), new_nonce())
    stats: Any = connection.info("commandstats")
    return sum(int(each["calls"]) for each in stats.values())


@pytest.mark.parametrize("memory_mb", [0, 40_000], ids=["that-fit", "that-fit-nowhere"])
def test_a_claim_costs_the_same_whatever_stands_in_front(
    queue: Queue, connection: redis.Redis, memory_mb: int
) -> None:
    costs = []
    for number in (100, 3000):
        connection.flushall()
        pending(queue, number, memory_mb=memory_mb)
        submit(queue, user="zoe")
        costs.append(commands_of_a_claim(queue, connection))
    assert abs(costs[0] - costs[1]) <= 2


def test_a_claim_looks_at_each_of_many_batches_once(queue: Queue, connection: redis.Redis) -> None:
    """It asks only the first of them whether it may have one more run started."""
    costs = []
    for number in (10, 110):
        connection.flushall()
        for n in range(number):
            card = BatchCard(id=f"b{n}", name="b", user="ana", total=2)
            queue.submit([a_run(batch=card.id) for _ in range(2)], card)
        costs.append(commands_of_a_claim(queue, connection))
    assert costs[1] - costs[0] <= 101
