"""Two at the same moment: what must never happen does not."""

import threading
from concurrent.futures import ThreadPoolExecutor

from support.runs import a_worker, submit
from support.servers import TestServer

from queue_worker.queue import Claim, Ending, Queue, Verdict
from schemas.run import TRANSITIONS, Cause, State, Wish, new_nonce

PREFIX = "trainq:"


def test_in_a_thousand_races_a_cancelled_run_never_starts_and_never_finishes(
    server: TestServer,
) -> None:
    together = threading.Barrier(2)
    with server.client() as one, server.client() as two, ThreadPoolExecutor(1) as other:
        people, worker = Queue(one, PREFIX), Queue(two, PREFIX)

        def take() -> Claim | None:
            together.wait()
            return worker.claim(a_worker(), new_nonce())

        for _ in range(1000):
            run_id = submit(people)
            taking = other.submit(take)
            together.wait()
            answer = people.cancel(run_id, by="ana")
            claimed = taking.result()
            if answer.state is State.CANCELLED and claimed:  # cancelled and ended: nothing to do
                assert claimed.run.id != run_id
            if claimed:
                assert answer.wish is Wish.CANCEL
                worker.end(run_id, claimed.token, Ending(state=State.FINISHED))
            assert people.get(run_id).state is State.CANCELLED


def test_of_two_that_end_the_same_attempt_one_is_told_already(server: TestServer) -> None:
    together = threading.Barrier(2)
    with server.client() as one, server.client() as two, ThreadPoolExecutor(1) as other:
        queues = [Queue(one, PREFIX), Queue(two, PREFIX)]

        def end(queue: Queue, run_id: str, token: str) -> Verdict:
            together.wait()
            return queue.end(run_id, token, Ending(state=State.FINISHED))

        for _ in range(100):
            run_id = submit(queues[0])
            claimed = queues[0].claim(a_worker(), new_nonce())
            assert claimed
            theirs = other.submit(end, queues[1], run_id, claimed.token)
            ours = end(queues[0], run_id, claimed.token)
            assert {ours, theirs.result()} == {Verdict.DONE, Verdict.ALREADY}
        assert len(queues[0].notices_open()) == 100


def test_every_move_that_the_table_allows_out_of_running_can_be_made(server: TestServer) -> None:
    with server.client() as connection:
        queue = Queue(connection, PREFIX)
        for state in TRANSITIONS[State.RUNNING]:
            run_id = submit(queue, priority=9)
            claimed = queue.claim(a_worker(), new_nonce())
            assert claimed and claimed.run.id == run_id
            cause = Cause.CODE if state is State.FAILED else None
            queue.end(run_id, claimed.token, Ending(state=state, cause=cause))
            assert queue.get(run_id).state is state
            queue.cancel(run_id, by="ana")
