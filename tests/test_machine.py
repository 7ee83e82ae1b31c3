"""Any order of anything: whoever does whatever, with old tokens and repeats, the door stays whole.

`TRAINQ_MACHINE_EXAMPLES` makes it look longer; `make mutants` breaks the scripts to see it look.
"""

import math
import os
from collections.abc import Collection, Sequence
from typing import Literal

import hypothesis.strategies as st
import pytest
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
from support.runs import a_run, a_worker
from support.servers import TestServer

from queue_worker.queue import (
    BatchCard,
    Ending,
    Queue,
    Report,
    Row,
    Submission,
    TransitionRefused,
    Verdict,
    WorkerCard,
)
from schemas.errors import UsageError
from schemas.events import END_EVENTS
from schemas.run import ENDED, PENDING, Cause, Parent, Run, State, Wish, new_id, new_nonce
from schemas.share import place, rank

PREFIX = "trainq:"
CRASH_LIMIT = 3
HALF_LIFE_S = 7 * 86400.0
SLACK_US = 5e6  # use decays, and is charged, between our look and the claim's
EXAMPLES = int(os.environ.get("TRAINQ_MACHINE_EXAMPLES", "50"))

ENDINGS = st.sampled_from(
    [
        Ending(state=State.FINISHED),
        Ending(state=State.FAILED, cause=Cause.CODE, error="step 1"),
        Ending(state=State.FAILED, cause=Cause.DATA, error="no images", began=False),
        Ending(state=State.CANCELLED, by="v100:0"),
        Ending(state=State.QUEUED, cause=Cause.DRAINED),
        Ending(state=State.QUEUED, cause=Cause.GPU_FAULT, crashed=True),
        Ending(state=State.HELD, error="three equal failures"),
    ]
)
CARDS = {
    "v100:0": a_worker("v100:0", runs_root="shared", offer_mb=8192),
    "v100:1": a_worker("v100:1", runs_root="shared"),
    "box:0,1": a_worker("box:0,1", runs_root="shared", gpus=2, offer_mb=40_000),
}
LANES = st.sampled_from(list(CARDS))
USERS = st.sampled_from(["ana", "bo"])
SCOPES = st.sampled_from(
    [
        ("hold", "all"),
        ("hold", "user:ana"),
        ("hold", "worker:v100:0"),
        ("drain", "worker:v100:1"),
        ("drain", "host:box"),
        ("cap", "user:bo"),
    ]
)
ENDS_OF_PARENTS = st.sampled_from(["ok", "any"])


def in_line(row: Row) -> tuple[int, int, int]:
    return row.seq, row.priority, row.shift


class Door(RuleBasedStateMachine):
    """Everything that people and workers may do."""

    connection: redis.Redis
    runs: Bundle[Submission] = Bundle("runs")
    tokens: Bundle[tuple[str, str]] = Bundle("tokens")  # (run id, token), live or long over
    batches: Bundle[BatchCard] = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.connection.flushall()
        self.queue = Queue(self.connection, PREFIX, crash_limit=CRASH_LIMIT)
        self.seen: dict[str, Run] = {}
        self.last_end: tuple[str, str, Ending] | None = None

    # ---- people

    @rule(
        target=runs,
        user=USERS,
        priority=st.integers(-2, 2),
        held=st.booleans(),
        host=st.sampled_from(["", "", "box", "v100:1"]),
        memory=st.sampled_from([0, 8192, 8193]),
        gpus=st.sampled_from([1, 1, 2]),
        parents=st.lists(runs, max_size=2),
        on=ENDS_OF_PARENTS,
    )
    def submits(
        self,
        user: str,
        priority: int,
        held: bool,
        host: str,
        memory: int,
        gpus: int,
        parents: Sequence[Submission],
        on: str,
    ) -> Submission:
        submission = a_run(
            user=user,
            priority=priority,
            held_by=user if held else "",
            needs_host=host,
            memory_mb=memory,
            gpus=gpus,
            after=wait_for({parent.id for parent in parents}, on),
        )
        (receipt,) = self.queue.submit([submission])
        assert not receipt.repeated
        if receipt.state is State.QUEUED:
            assert receipt.ahead == self.queue.position(submission.id)
        return submission

    @rule(target=batches, size=st.integers(2, 3), cap=st.integers(0, 1), on=ENDS_OF_PARENTS)
    def submits_a_batch(self, size: int, cap: int, on: str) -> BatchCard:
        card = BatchCard(id=new_id(), name="b", user="ana", total=size, max_parallel=cap)
        runs = [a_run(batch=card.id) for _ in range(size)]
        after = wait_for({run.id for run in runs[1:]}, on)
        runs[0] = runs[0].model_copy(update={"kind": "gather", "after": after})
        first = self.queue.submit(runs, card)
        again = self.queue.submit(runs, card)
        assert [r.state for r in first] == [State.WAITING, *[State.QUEUED] * (size - 1)]
        assert [r.id for r in again] == [r.id for r in first] and all(r.repeated for r in again)
        return card

    @rule(submission=runs)
    def repeats_a_submit(self, submission: Submission) -> None:
        before = self.queue.events()
        assert self.queue.submit([submission])[0].repeated
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
                assert self.queue.release(submission.id, by="ana").state is not State.HELD
            else:
                assert self.queue.hold(submission.id, by="ana").state is State.HELD
        except TransitionRefused:
            assert before in ENDED or (before is State.RUNNING and not release)

    @rule(submission=runs, priority=st.integers(-2, 2))
    def changes_a_priority(self, submission: Submission, priority: int) -> None:
        before = self.queue.get(submission.id)
        try:
            after = self.queue.edit(submission.id, by="bo", priority=priority)
        except TransitionRefused:
            assert before.state not in PENDING
        else:
            assert after == before.model_copy(update={"priority": priority, "shift": 0})

    @rule(submission=runs, to=st.sampled_from(["first", "last"]))
    def moves(self, submission: Submission, to: Literal["first", "last"]) -> None:
        before = self.queue.get(submission.id)
        try:
            after = self.queue.move(submission.id, by="bo", to=to)
        except TransitionRefused:
            assert before.state not in PENDING
            return
        assert after == before.model_copy(update={"shift": after.shift})
        if after.state is State.QUEUED:
            line = [row.id for row in self.queue.list(states={State.QUEUED})]
            assert line[0 if to == "first" else -1] == after.id

    @rule(submission=runs, other=runs)
    def moves_before(self, submission: Submission, other: Submission) -> None:
        before, target = self.queue.get(submission.id), self.queue.get(other.id)
        try:
            after = self.queue.move_before(submission.id, by="bo", other=other.id)
        except TransitionRefused:
            assert before.state not in PENDING or target.state not in PENDING
            return
        if submission.user == other.user and after != before:
            places = [place(run.seq, run.priority, run.shift) for run in (after, target)]
            assert places[0] < places[1]

    @rule(submission=runs, parents=st.lists(runs, max_size=2), on=ENDS_OF_PARENTS)
    def changes_parents(
        self, submission: Submission, parents: Sequence[Submission], on: str
    ) -> None:
        before = self.queue.get(submission.id)
        wanted = {parent.id for parent in parents}
        circle = submission.id in self.above(wanted)
        try:
            after = self.queue.edit(submission.id, by="bo", after=wait_for(wanted, on))
        except TransitionRefused:
            assert before.state not in PENDING
        except UsageError:
            assert circle
        else:
            assert not circle and {parent.id for parent in after.after} == wanted
            for parent in wanted:
                assert submission.id in self.queue.children(parent)
            for parent in {parent.id for parent in before.after} - wanted:
                assert submission.id not in self.queue.children(parent)

    def above(self, ids: Collection[str]) -> set[str]:
        """These runs and all that they wait for."""
        found: set[str] = set()
        todo = list(ids)
        while todo:
            run_id = todo.pop()
            if run_id not in found:
                found.add(run_id)
                todo += [parent.id for parent in self.queue.get(run_id).after]
        return found

    @rule(what=SCOPES, on=st.booleans())
    def sets_or_lifts_a_control(self, what: tuple[str, str], on: bool) -> None:
        kind, scope = what
        stood = scope in self.standing(kind)
        if on:
            assert self.queue.set_control(kind, scope, by="bo", value=1) or stood
        else:
            assert self.queue.clear_control(kind, scope, by="bo") == stood
        assert (scope in self.standing(kind)) == on

    @rule(card=batches, on=st.booleans())
    def holds_or_releases_a_batch(self, card: BatchCard, on: bool) -> None:
        self.sets_or_lifts_a_control(("hold", f"batch:{card.id}"), on)

    @rule(user=USERS, hours=st.integers(0, 400))
    def has_used_much(self, user: str, hours: int) -> None:
        used = {"value": hours * 3600, "at": self.queue.now()}
        self.connection.hset(f"{PREFIX}usage:{user}", mapping=used)

    def standing(self, kind: str) -> dict[str, int]:
        return {c.scope: c.value for c in self.queue.controls() if c.kind == kind}

    # ---- workers

    @rule(target=tokens, lane=LANES)
    def claims(self, lane: str) -> object:
        card, nonce = CARDS[lane], new_nonce()
        fitting = self.that_fit(card)
        claimed = self.queue.claim(card, nonce)
        again = self.queue.claim(card, nonce)
        if claimed is None:
            assert again is None and not fitting
            return multiple()
        assert again and again.token == claimed.token and again.run.id == claimed.run.id
        assert again.rq_job == claimed.rq_job
        self.went_first(claimed.run, fitting)
        return (claimed.run.id, claimed.token)

    def that_fit(self, card: WorkerCard) -> list[Row]:
        """The queued runs that this worker may take."""
        holds, drains, caps = (self.standing(kind) for kind in ("hold", "drain", "cap"))
        mine = {f"worker:{card.lane}", f"host:{card.host}"}
        if "all" in holds or mine & {*holds, *drains}:
            return []
        running = self.queue.list(states={State.RUNNING})
        limits = {view.card.id: view.card.max_parallel for view in self.queue.batches()}

        def fits(row: Row) -> bool:
            of_user = sum(other.user == row.user for other in running)
            of_batch = sum(other.batch == row.batch for other in running)
            return (
                row.gpus <= card.gpus
                and (not card.offer_mb or math.ceil(row.memory_mb / 1024) * 1024 <= card.offer_mb)
                and row.needs_host in {"", card.host, card.lane}
                and f"user:{row.user}" not in holds
                and of_user < (caps.get(f"user:{row.user}") or math.inf)
                and f"batch:{row.batch}" not in holds
                and of_batch < (limits.get(row.batch) or math.inf)
            )

        return [row for row in self.queue.list(states={State.QUEUED}) if fits(row)]

    def went_first(self, run: Run, fitting: Sequence[Row]) -> None:
        """Nobody was passed: not by one of the same person, nor by much by another."""
        used = {share.user: share.used_s for share in self.queue.share()}
        by_id = {row.id: row for row in fitting}
        mine = by_id[run.id]
        for row in fitting:
            if row.user == mine.user:
                assert place(*in_line(mine)) <= place(*in_line(row))
            ranks = [
                rank(each.seq, each.priority, used.get(each.user, 0), HALF_LIFE_S, each.shift)
                for each in (mine, row)
            ]
            assert ranks[0] <= ranks[1] + SLACK_US

    def is_live(self, run_id: str, token: str) -> bool:
        run = self.queue.get(run_id)
        return run.state is State.RUNNING and run.token == token

    @rule(attempt=tokens)
    def renews(self, attempt: tuple[str, str]) -> None:
        live, run = self.is_live(*attempt), self.queue.get(attempt[0])
        renewal = self.queue.renew(*attempt)
        assert renewal.answer == ("ok" if live else "lost")
        if not live:
            assert self.queue.get(attempt[0]) == run
            return
        assert self.connection.zscore(f"{PREFIX}leases:2", attempt[0]) > self.queue.now() + 14
        drains = self.standing("drain")
        host = run.worker.partition(":")[0]
        drained = f"worker:{run.worker}" in drains or f"host:{host}" in drains
        assert renewal.wish is (run.wish or (Wish.DRAIN if drained else None))

    @rule(attempt=tokens, step=st.integers(1, 9))
    def saves_and_reports(self, attempt: tuple[str, str], step: int) -> None:
        live, before = self.is_live(*attempt), self.queue.get(attempt[0])
        saved = self.queue.checkpoint(*attempt, f"attempts/{attempt[1]}/step-{step}", step)
        reported = self.queue.report(*attempt, Report(log=("line",)))
        assert (reported is Verdict.DONE) == live
        after = self.queue.get(attempt[0])
        if not live:
            assert saved is not Verdict.DONE and after == before
        elif before.checkpoint.startswith(f"attempts/{attempt[1]}/"):
            assert after.checkpoint_step == max(step, before.checkpoint_step)
        else:
            assert (after.checkpoint_step, after.runs_root) == (step, "shared")

    @rule(attempt=tokens, ending=ENDINGS)
    def ends(self, attempt: tuple[str, str], ending: Ending) -> None:
        live = self.is_live(*attempt)
        assert (self.queue.end(*attempt, ending) is Verdict.DONE) == live
        if live:
            self.last_end = (*attempt, ending)
            after = self.queue.get(attempt[0])
            assert after.ran_s > 0 and not after.token

    @rule(attempt=tokens)
    def ends_with_a_forged_token(self, attempt: tuple[str, str]) -> None:
        before = self.queue.get(attempt[0])
        number = attempt[1].partition("-")[0]
        forged = self.queue.end(attempt[0], f"{number}-{new_nonce()}", Ending(state=State.FINISHED))
        assert forged is Verdict.LOST and self.queue.get(attempt[0]) == before

    @rule()
    def repeats_the_last_end(self) -> None:
        if self.last_end:
            before = self.queue.events()
            assert self.queue.end(*self.last_end) is Verdict.ALREADY
            assert self.queue.events() == before

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
        assert set(self.queue.reclaim(CARDS[lane])) == mine

    @rule(lane=LANES)
    def crashes_again_and_again(self, lane: str) -> None:
        card = CARDS[lane]
        self.queue.reclaim(card)
        for _ in range(CRASH_LIMIT):
            if claimed := self.queue.claim(card, new_nonce()):
                assert self.queue.reclaim(card) == [claimed.run.id]
                crashed = self.queue.get(claimed.run.id)
                assert crashed.crashes == claimed.run.crashes + 1
                assert (crashed.state is State.FAILED) == (crashed.crashes == CRASH_LIMIT)

    @rule()
    def loses_its_connections(self) -> None:
        self.connection.connection_pool.disconnect()

    # ---- what always holds

    @invariant()
    def every_index_tells_what_the_records_tell(self) -> None:
        runs = {row.id: self.queue.get(row.id) for row in self.queue.list()}
        assert set(runs) >= set(self.seen)
        assert self.members("runs") == set(runs) and self.members("ids") == set(runs)
        by_state = {s: self.members(f"state:{s}") for s in State}
        lanes = {lane: self.members(f"lane:{lane}") for lane in self.names("lanes:2")}
        assert all(lanes.values()), "the set of lanes names only those that are not empty"
        in_lanes = sorted(run_id for members in lanes.values() for run_id in members)
        assert in_lanes == sorted(by_state[State.QUEUED])
        assert self.members("leases:2") == by_state[State.RUNNING]
        for state, members in by_state.items():
            assert members == {run.id for run in runs.values() if run.state is state}
        notices = {e.run for e in self.queue.notices_open(10_000) if e.kind in END_EVENTS}
        for run in runs.values():
            self.follows(self.seen.get(run.id), run)
            self.waits_rightly(run, runs)
            assert (run.id in notices) == (run.state in ENDED)
            lane = "|".join(lane_of(run))
            assert (run.id in lanes.get(lane, ())) == (run.state is State.QUEUED)
        self.seen = runs

    def waits_rightly(self, run: Run, runs: dict[str, Run]) -> None:
        """No run waits for what has been decided, and none goes before its parents allow it."""
        states = [(runs[parent.id].state, parent.on) for parent in run.after]
        hopeless = any(s in ENDED - {State.FINISHED} and on == "ok" for s, on in states)
        pending = any(s not in ENDED for s, _ in states)
        if run.state is State.WAITING:
            assert pending and not hopeless
        if run.state in {State.QUEUED, State.RUNNING}:
            assert not pending and not hopeless
        if run.state is State.SKIPPED:
            lost = runs[run.skipped_for].state
            assert hopeless and lost in ENDED - {State.FINISHED}

    def follows(self, before: Run | None, run: Run) -> None:
        """What may become of a run between two looks."""
        assert run.crashes <= CRASH_LIMIT
        history = self.queue.events(run_id=run.id)
        assert sum(event.kind in END_EVENTS for event in history) == (run.state in ENDED)
        assert history[0].kind == "submitted"
        assert sum(event.kind == "claimed" for event in history) == run.attempt
        if run.checkpoint:
            assert int(run.checkpoint.split("/")[1].split("-")[0]) <= run.attempt
        if before:
            assert run.attempt >= before.attempt and run.ran_s >= before.ran_s
            assert run.seq == before.seq
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


def wait_for(ids: Collection[str], on: str) -> tuple[Parent, ...]:
    return tuple(Parent.model_validate({"id": run_id, "on": on}) for run_id in sorted(ids))


def lane_of(run: Run) -> tuple[str, ...]:
    root = run.runs_root if run.checkpoint or run.start_from else ""
    gib = math.ceil(run.memory_mb / 1024)
    return (run.user, str(gib), str(run.gpus), run.needs_host, root, run.batch)


@pytest.mark.timeout(600)
def test_no_order_of_calls_breaks_the_door(server: TestServer) -> None:
    with server.client() as connection:
        machine = type("DoorOnThisServer", (Door,), {"connection": connection})
        rules = settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        run_state_machine_as_test(machine, settings=rules)
