"""Claiming: who gets which run, once."""

import pickle
import threading

import pytest
import redis
from support.runs import a_run, a_worker, claim, submit
from support.servers import TestServer
from support.waiting import PATIENCE_S, wait_until

from queue_worker.queue import Claim, Ending, Queue, rq_queue_name
from schemas.events import EventKind
from schemas.run import State, new_nonce


def claim_all(queue: Queue) -> list[str]:
    """The ids in the order in which workers get them."""
    ids: list[str] = []
    while claimed := queue.claim(a_worker(f"v100:{len(ids)}"), new_nonce()):
        ids.append(claimed.run.id)
    return ids


def test_runs_are_claimed_by_priority_then_first_come(queue: Queue) -> None:
    low, first, second, high = (submit(queue, priority=p) for p in (-5, 0, 0, 9))
    assert claim_all(queue) == [high, first, second, low]


def test_order_holds_across_users_and_host_wishes(queue: Queue) -> None:
    ids = [submit(queue, user=user, needs_host=host) for user in "ab" for host in ("", "v100")]
    assert claim_all(queue) == ids


def test_the_list_shows_the_order_in_which_runs_are_claimed(queue: Queue) -> None:
    queue.submit([a_run(priority=p % 7, user=f"u{p % 3}") for p in range(60)])
    listed = [row.id for row in queue.list(states={State.QUEUED})]
    assert claim_all(queue) == listed


def test_the_same_nonce_gets_the_same_claim_again(queue: Queue) -> None:
    submit(queue)
    submit(queue)
    card, nonce = a_worker(), new_nonce()
    first, again = queue.claim(card, nonce), queue.claim(card, nonce)
    assert first and again
    assert (first.run.id, first.token, first.rq_job) == (again.run.id, again.token, again.rq_job)
    assert queue.counts()[State.RUNNING] == 1


def test_a_nonce_whose_claim_is_over_gets_nothing(queue: Queue) -> None:
    submit(queue)
    submit(queue)
    card, nonce = a_worker(), new_nonce()
    claimed = queue.claim(card, nonce)
    assert claimed
    queue.end(claimed.run.id, claimed.token, Ending(state=State.FINISHED))
    assert queue.claim(card, nonce) is None


def test_a_second_worker_gets_nothing_when_one_run_is_queued(queue: Queue) -> None:
    submit(queue)
    assert claim(queue, "v100:0").run.state is State.RUNNING
    assert queue.claim(a_worker("v100:1"), new_nonce()) is None


def test_twenty_threads_share_fifty_runs_without_taking_one_twice(
    queue: Queue, server: TestServer
) -> None:
    queue.submit([a_run() for _ in range(50)])
    taken: list[str] = []

    def take(number: int) -> None:
        with server.client() as client:
            mine = Queue(client, "trainq:")
            while claimed := mine.claim(a_worker(f"h:{number}"), new_nonce()):
                taken.append(claimed.run.id)

    threads = [threading.Thread(target=take, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 50


def test_a_run_with_a_host_wish_waits_for_that_host(queue: Queue) -> None:
    run_id = submit(queue, needs_host="v100")
    assert queue.claim(a_worker("box:cpu"), new_nonce()) is None
    assert claim(queue, "v100:3").run.id == run_id


def test_a_claim_carries_token_lease_and_worker(queue: Queue) -> None:
    submit(queue)
    claimed = claim(queue)
    run = claimed.run
    assert claimed.token == run.token and run.token.startswith("1-")
    assert run.worker == "v100:0" and run.started_at is not None
    assert run.lease_until == pytest.approx(queue.now() + 15, abs=9)


def test_nothing_is_claimed_while_rq_is_suspended(queue: Queue, connection: redis.Redis) -> None:
    submit(queue)
    connection.set("rq:suspended", 1)
    assert queue.claim(a_worker(), new_nonce()) is None
    connection.delete("rq:suspended")
    claim(queue)


def test_a_claim_is_an_rq_job_on_the_workers_lane(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    claimed = claim(queue)
    name = rq_queue_name("v100:0")
    assert claimed.rq_job == f"{run_id}-1"
    assert connection.lrange(f"rq:queue:{name}", 0, -1) == [f"{run_id}-1".encode()]
    assert connection.smembers("rq:queues") == {f"rq:queue:{name}".encode()}
    data = connection.hget(f"rq:job:{run_id}-1", "data")
    assert pickle.loads(data or b"") == ("trainq.attempt", None, (run_id, 1), {})
    assert connection.ttl(f"rq:job:{run_id}-1") > 86400


def test_rq_itself_reads_the_job_that_the_claim_wrote(
    queue: Queue, connection: redis.Redis
) -> None:
    rq = pytest.importorskip("rq")
    submit(queue)
    claimed = claim(queue)
    job = rq.job.Job.fetch(claimed.rq_job, connection=connection)  # as any tool would
    assert job.func_name == "trainq.attempt" and job.args == (claimed.run.id, 1)
    assert job.get_status() == "queued" and job.timeout == -1


def test_a_run_starts_even_if_rqs_keys_are_of_the_wrong_type(
    queue: Queue, connection: redis.Redis
) -> None:
    submit(queue)
    connection.set("rq:queues", "garbage")
    connection.set("rq:queue:v100:0", "garbage")
    claimed = claim(queue)
    assert claimed.rq_job is None and claimed.run.state is State.RUNNING


def test_the_bell_wakes_an_idle_worker(
    queue: Queue, connection: redis.Redis, server: TestServer
) -> None:
    heard: list[bool] = []

    def listen() -> None:
        with server.client() as client:
            heard.append(Queue(client, "trainq:").bell(PATIENCE_S))

    listener = threading.Thread(target=listen)
    listener.start()
    wait_until(lambda: connection.info("clients")["blocked_clients"], what="a listener")
    submit(queue)
    listener.join()
    assert heard == [True]


def test_the_bell_is_silent_when_nothing_happens(queue: Queue) -> None:
    assert queue.bell(0.01) is False


def test_a_run_with_a_checkpoint_goes_only_to_workers_of_its_runs_root(queue: Queue) -> None:
    put_back_with_checkpoint(queue)
    assert queue.claim(a_worker("far:0", runs_root="root-b"), new_nonce()) is None
    again = claim(queue, "v100:1", runs_root="root-a")
    assert again.run.checkpoint == "attempts/x/checkpoints/step-5" and again.run.attempt == 2


def test_after_resume_wait_any_worker_starts_it_from_step_0(
    connection: redis.Redis,
) -> None:
    queue = Queue(connection, "trainq:", resume_wait_s=600)
    run_id = put_back_with_checkpoint(queue)
    queue.reap()
    connection.delete("trainq:reap:hold")
    connection.zadd("trainq:roots", {"root-a": queue.now() - 601})
    run = claim(queue, "far:0", runs_root="root-b").run
    assert (run.id, run.checkpoint, run.checkpoint_step, run.runs_root) == (run_id, "", 0, "")
    assert EventKind.STARTED_OVER in [event.kind for event in queue.events(run_id=run_id)]


def test_a_root_is_not_given_up_for_time_in_which_redis_was_away(
    connection: redis.Redis,
) -> None:
    queue = Queue(connection, "trainq:", resume_wait_s=600)
    put_back_with_checkpoint(queue)
    before_outage = queue.now() - 1000
    connection.set("trainq:reap:last", before_outage)
    connection.zadd("trainq:roots", {"root-a": before_outage})
    far = a_worker("far:0", runs_root="root-b")
    assert queue.claim(far, new_nonce()) is None
    queue.reap()
    connection.delete("trainq:reap:hold")
    assert queue.claim(far, new_nonce()) is None


def put_back_with_checkpoint(queue: Queue) -> str:
    """A queued run whose checkpoint is on root-a."""
    run_id = submit(queue)
    claimed: Claim = claim(queue, runs_root="root-a")
    queue.checkpoint(run_id, claimed.token, "attempts/x/checkpoints/step-5", 5)
    queue.end(run_id, claimed.token, Ending(state=State.QUEUED, cause=None))
    return run_id
