"""Two at the same moment, and any order of anything: what must never happen does not."""

import threading
from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from support.runs import a_run, a_worker, submit
from support.servers import TestServer

from queue_worker.queue import Claim, Ending, Queue, Report, Submission, TransitionRefused, Verdict
from schemas.events import END_EVENTS
from schemas.run import ENDED, TRANSITIONS, Cause, Run, State, Wish, new_nonce

PREFIX = "trainq:"
CRASH_LIMIT = 3


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


ENDINGS = st.sampled_from(
    [
        Ending(state=State.FINISHED),
        Ending(state=State.FAILED, cause=Cause.CODE),
        Ending(state=State.CANCELLED, by="v100:0"),
        Ending(state=State.QUEUED, cause=Cause.DRAINED),
        Ending(state=State.QUEUED, cause=Cause.GPU_FAULT, crashed=True),
        Ending(state=State.HELD, error="three equal failures"),
    ]
)
LANES = st.sampled_from(["v100:0", "v100:1", "box:cpu"])


class Door(RuleBasedStateMachine):
    """Anybody does anything at any time, with old tokens and repeats."""

    connection: redis.Redis
    runs: Bundle[Submission] = Bundle("runs")
    tokens: Bundle[tuple[str, str]] = Bundle("tokens")  # (run id, token), live or long over

    def __init__(self) -> None:
        super().__init__()
        self.connection.flushall()
        self.queue = Queue(self.connection, PREFIX, crash_limit=CRASH_LIMIT)
        self.seen: dict[str, Run] = {}
        self.last_end: tuple[str, str, Ending] | None = None
        self.ended_by: dict[str, str] = {}  # run id -> the token whose end was DONE

    @rule(
        target=runs,
        priority=st.integers(-2, 2),
        held=st.booleans(),
        host=st.sampled_from(["", "box"]),
    )
    def submits(self, priority: int, held: bool, host: str) -> Submission:
        submission = a_run(priority=priority, held_by="ana" if held else "", needs_host=host)
        assert not self.queue.submit([submission])[0].repeated
        return submission

    @rule(submission=runs)
    def repeats_a_submit(self, submission: Submission) -> None:
        assert self.queue.submit([submission])[0].repeated

    @rule(target=tokens, lane=LANES)
    def claims(self, lane: str) -> object:
        card, nonce = a_worker(lane, runs_root="shared"), new_nonce()
        queued = self.queue.list(states={State.QUEUED})
        fitting = [row.id for row in queued if row.needs_host in {"", card.host}]
        claimed = self.queue.claim(card, nonce)
        again = self.queue.claim(card, nonce)
        if claimed is None:
            assert again is None and not fitting
            return multiple()
        assert again and again.token == claimed.token and again.run.id == claimed.run.id
        assert claimed.run.id == fitting[0]
        return (claimed.run.id, claimed.token)

    def is_live(self, run_id: str, token: str) -> bool:
        run = self.queue.get(run_id)
        return run.state is State.RUNNING and run.token == token

    @rule(attempt=tokens)
    def renews(self, attempt: tuple[str, str]) -> None:
        live = self.is_live(*attempt)
        assert self.queue.renew(*attempt).answer == ("ok" if live else "lost")

    @rule(attempt=tokens, step=st.integers(1, 9))
    def saves_and_reports(self, attempt: tuple[str, str], step: int) -> None:
        live, before = self.is_live(*attempt), self.queue.get(attempt[0])
        saved = self.queue.checkpoint(*attempt, f"attempts/{attempt[1]}/step-{step}", step)
        reported = self.queue.report(*attempt, Report(log=("line",)))
        assert (reported is Verdict.DONE) == live
        if not live:
            assert saved is not Verdict.DONE
            assert self.queue.get(attempt[0]) == before

    @rule(attempt=tokens, ending=ENDINGS)
    def ends(self, attempt: tuple[str, str], ending: Ending) -> None:
        live = self.is_live(*attempt)
        assert (self.queue.end(*attempt, ending) is Verdict.DONE) == live
        if live:
            self.last_end = (*attempt, ending)

    @rule()
    def repeats_the_last_end(self) -> None:
        if self.last_end:
            before = self.queue.events()
            assert self.queue.end(*self.last_end) is Verdict.ALREADY
            assert self.queue.events() == before

    @rule(submission=runs)
    def cancels(self, submission: Submission) -> None:
        run = self.queue.cancel(submission.id, by="ana")
        assert run.state in ENDED or run.wish is Wish.CANCEL

    @rule(submission=runs, release=st.booleans())
    def holds_or_releases(self, submission: Submission, release: bool) -> None:
        before = self.queue.get(submission.id).state
        try:
            if release:
                self.queue.release(submission.id, by="ana")
            else:
                self.queue.hold(submission.id, by="ana")
        except TransitionRefused:
            assert before in ENDED or (before is State.RUNNING and not release)

    @rule(attempt=tokens)
    def goes_silent_and_is_reaped(self, attempt: tuple[str, str]) -> None:
        self.queue.reap()
        self.connection.set(f"{PREFIX}reap:hold", 0)
        if self.is_live(*attempt):
            self.connection.zadd(f"{PREFIX}leases:2", {attempt[0]: 1})
            assert self.queue.reap() == [attempt[0]]

    @rule(lane=LANES)
    def starts_a_worker_anew(self, lane: str) -> None:
        mine = {row.id for row in self.queue.list(states={State.RUNNING}) if row.worker == lane}
        assert set(self.queue.reclaim(a_worker(lane))) == mine

    @rule(lane=LANES)
    def crashes_until_the_limit(self, lane: str) -> None:
        card = a_worker(lane, runs_root="shared")
        self.queue.reclaim(card)
        first = self.queue.claim(card, new_nonce())
        if first is None:
            return
        for _ in range(first.run.crashes, CRASH_LIMIT):
            assert self.queue.reclaim(card) == [first.run.id]
            again = self.queue.claim(card, new_nonce())
        assert self.queue.get(first.run.id).state is State.FAILED
        assert again is None or again.run.id != first.run.id

    @rule()
    def loses_its_connections(self) -> None:
        self.connection.connection_pool.disconnect()

    @invariant()
    def every_index_tells_what_the_records_tell(self) -> None:
        runs = {row.id: self.queue.get(row.id) for row in self.queue.list()}
        assert set(runs) >= set(self.seen)
        by_state = {s: self.members(f"state:{s}") for s in State}
        lanes = {lane: self.members(f"lane:{lane}") for lane in self.names("lanes:2")}
        assert all(lanes.values()), "the set of lanes names only those that are not empty"
        in_lanes = sorted(run_id for members in lanes.values() for run_id in members)
        assert in_lanes == sorted(by_state[State.QUEUED])
        assert self.members("leases:2") == by_state[State.RUNNING]
        for state, members in by_state.items():
            assert members == {run.id for run in runs.values() if run.state is state}
        for run in runs.values():
            self.follows(self.seen.get(run.id), run)
        self.seen = runs

    def follows(self, before: Run | None, run: Run) -> None:
        """What may become of a run between two looks."""
        assert run.crashes <= CRASH_LIMIT
        ends = [event for event in self.queue.events(run_id=run.id) if event.kind in END_EVENTS]
        assert len(ends) == (run.state in ENDED)
        notices = {event.run for event in self.queue.notices_open(10_000)}
        assert (run.id in notices) == (run.state in ENDED)
        if run.checkpoint:
            assert int(run.checkpoint.split("/")[1].split("-")[0]) <= run.attempt
        if before:
            assert run.attempt >= before.attempt
            if run.token != before.token and run.token and before.token:
                assert run.attempt > before.attempt
            if before.state in ENDED:
                assert run == before
            if before.wish is Wish.CANCEL and run.state is not State.RUNNING:
                assert run.state in {State.CANCELLED, State.FAILED}

    def members(self, name: str) -> set[str]:
        return {member.decode() for member in self.connection.zrange(PREFIX + name, 0, -1)}

    def names(self, name: str) -> set[str]:
        return {member.decode() for member in self.connection.smembers(PREFIX + name)}


def test_no_order_of_calls_breaks_the_door(server: TestServer) -> None:
    with server.client() as connection:
        machine = type("DoorOnThisServer", (Door,), {"connection": connection})
        rules = settings(
            max_examples=60,
            stateful_step_count=25,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        run_state_machine_as_test(machine, settings=rules)


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
