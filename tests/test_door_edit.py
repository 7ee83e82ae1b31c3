"""The door: configs are edited while a timed hold keeps their runs; old runs are pruned."""

from typing import Any

import pytest
import redis
from support.runs import CONFIG, a_run, a_worker, claim, submit
from support.servers import TestServer

from queue_worker.queue import BatchCard, Ending, Queue, TransitionRefused
from schemas.errors import NotFound
from schemas.run import Cause, Parent, State, new_nonce

OTHER: dict[str, Any] = {**CONFIG, "seed": 2}
FINISHED = Ending(state=State.FINISHED)
FAILED = Ending(state=State.FAILED, cause=Cause.CODE, error="it broke")


def keys(connection: redis.Redis) -> set[str]:
    return {key.decode() for key in connection.keys("trainq:*")}


def ended(queue: Queue, ending: Ending = FINISHED, **fields: Any) -> str:
    run_id = submit(queue, **fields)
    claimed = claim(queue)
    assert claimed.run.id == run_id
    queue.end(run_id, claimed.token, ending)
    for event in queue.notices_open():
        queue.notice_settle(event.id, "skipped")
    return run_id


# ---- the config of a run that waits --------------------------------------------------------------


def test_an_edited_config_is_what_the_worker_gets(queue: Queue) -> None:
    run_id = submit(queue, digest="old", name="uno", preflight={"peak_mb": 900}, memory_mb=900)
    run = queue.edit(
        run_id,
        by="ana",
        config=OTHER,
        digest="new",
        name="other",
        overrides=["seed=2"],
        memory_mb=500,
        preflight={},
        told="so",
    )
    assert (run.config, run.digest, run.name, run.overrides) == (OTHER, "new", "other", ("seed=2",))
    assert (run.preflight, run.memory_mb) == ({}, 500)
    assert queue.same("old", "new").keys() == {"new"}
    assert queue.resolve("other") == run_id
    with pytest.raises(NotFound):
        queue.resolve("uno")
    assert [e.text for e in queue.events(run_id=run_id) if e.kind == "edited"] == ["so"]
    assert claim(queue).run.config == OTHER


def test_a_run_that_has_begun_keeps_its_config(queue: Queue) -> None:
    run_id = submit(queue)
    queue.end(run_id, claim(queue).token, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    with pytest.raises(TransitionRefused, match="its checkpoint is of the config"):
        queue.edit(run_id, by="ana", config=OTHER)
    assert queue.edit(run_id, by="ana", priority=3).config == CONFIG


def lapse(connection: redis.Redis, *ids: str) -> None:
    """As if the time for an edit of these had run out."""
    connection.zadd("trainq:edits", dict.fromkeys(ids, 1), xx=True)


# ---- held for an edit ----------------------------------------------------------------------------


def test_a_run_that_is_edited_is_not_claimed_until_it_is_released(queue: Queue) -> None:
    run_id = submit(queue)
    held = queue.hold(run_id, by="ana", reason="being edited", for_s=900)
    assert (held.state, held.held_reason) == (State.HELD, "being edited")
    assert queue.claim(a_worker(), new_nonce()) is None
    assert queue.release(run_id, by="ana").state is State.QUEUED
    assert claim(queue).run.id == run_id


def test_an_edit_that_nobody_finishes_ends_by_itself_in_the_old_place(
    queue: Queue, connection: redis.Redis
) -> None:
    first, second, child = submit(queue), submit(queue), submit(queue)
    queue.edit(child, by="ana", after=[Parent(id=second)])
    for run_id in (first, child):
        queue.hold(run_id, by="ana", for_s=900)
    queue.reap()
    assert queue.get(first).state is State.HELD
    lapse(connection, first, child)
    queue.reap()
    assert (queue.get(first).held_by, queue.position(first)) == ("", 0)
    assert queue.get(child).state is State.WAITING
    assert [e.kind for e in queue.events(run_id=first)] == ["submitted", "held", "released"]


def test_a_persons_hold_outlasts_an_edit_whichever_comes_first(
    queue: Queue, connection: redis.Redis
) -> None:
    before, after = submit(queue), submit(queue)
    queue.hold(before, by="bo", reason="not yet")
    assert queue.hold(before, by="ana", for_s=900).held_by == "bo"
    queue.hold(after, by="ana", for_s=900)
    assert queue.hold(after, by="bo", reason="not yet").held_by == "bo"
    lapse(connection, before, after)
    queue.reap()
    assert [queue.get(run_id).state for run_id in (before, after)] == [State.HELD] * 2


def test_a_run_is_edited_by_one_person_at_a_time(queue: Queue) -> None:
    run_id = submit(queue)
    queue.hold(run_id, by="ana", for_s=900)
    with pytest.raises(TransitionRefused, match="is being edited by ana"):
        queue.hold(run_id, by="bo", for_s=900)
    assert queue.hold(run_id, by="ana", for_s=900).state is State.HELD


def test_what_was_cancelled_during_an_edit_stays_cancelled(
    queue: Queue, connection: redis.Redis
) -> None:
    run_id = submit(queue)
    queue.hold(run_id, by="ana", for_s=900)
    queue.cancel(run_id, by="bo")
    lapse(connection, run_id)
    queue.reap()
    assert queue.get(run_id).state is State.CANCELLED
    with pytest.raises(TransitionRefused, match="is cancelled"):
        queue.hold(run_id, by="ana", for_s=900)


# ---- pruning -------------------------------------------------------------------------------------


def test_a_pruned_run_leaves_nothing_behind(queue: Queue, connection: redis.Redis) -> None:
    claimed = queue.claim(a_worker(), new_nonce())
    assert claimed is None
    before = keys(connection)
    run_id = ended(queue, digest="d", batch="", retry_of="zzzzzz")
    assert queue.ended_before(queue.now()) == [run_id]
    assert queue.prune([run_id], queue.now(), by="ana") == {run_id: ""}
    left = {key for key in keys(connection) - before if ":rq:" not in key}
    assert left <= {
        f"trainq:{name}"
        for name in ("seq:2", "users", "events", "notices:seq", "reap:last", "reap:hold", "bell")
    } | {"trainq:usage:ana", "trainq:lanes:2", "trainq:leases:2"}
    assert [(e.kind, e.by, e.text) for e in queue.events()] == [("pruned", "ana", "1 ended runs")]


def test_a_dry_run_only_counts(queue: Queue) -> None:
    run_id = ended(queue)
    assert queue.prune([run_id], queue.now(), by="ana", dry_run=True) == {run_id: ""}
    assert queue.get(run_id).state is State.FINISHED


def test_what_is_not_old_or_has_not_ended_stays(queue: Queue) -> None:
    old = queue.now()
    run_id, waits = ended(queue), submit(queue)
    assert queue.ended_before(old) == []
    assert queue.prune([run_id, waits, "zzzzzz"], old, by="ana") == dict.fromkeys(
        (run_id, waits, "zzzzzz"), "it is not old"
    )


def test_a_parent_and_a_batch_that_are_still_needed_stay(queue: Queue) -> None:
    parent = ended(queue)
    child = submit(queue, after=(Parent(id=parent),), held_by="ana")
    card = BatchCard(id="sweep1", name="s", user="ana", total=2)
    runs = [a_run(batch="sweep1"), a_run(batch="sweep1", held_by="ana")]
    queue.submit(runs, card)
    queue.end(runs[0].id, claim(queue).token, FINISHED)
    for event in queue.notices_open():
        queue.notice_settle(event.id, "skipped")
    kept = queue.prune([parent, runs[0].id], queue.now(), by="ana")
    assert kept == {
        parent: f"{child} waits for it",
        runs[0].id: f"{runs[1].id} of its batch has not ended",
    }
    queue.cancel(runs[1].id, by="ana")
    told = queue.prune([runs[1].id], queue.now(), by="ana")
    assert told == {runs[1].id: "nobody was told of its end yet"}


def test_an_index_of_garbage_stops_no_prune(queue: Queue, connection: redis.Redis) -> None:
    run_id = ended(queue)
    connection.set(f"trainq:children:{run_id}", "what?")
    assert queue.prune([run_id], queue.now(), by="ana") == {run_id: ""}


def test_a_batch_goes_with_its_last_run(queue: Queue, connection: redis.Redis) -> None:
    card = BatchCard(id="sweep1", name="s", user="ana", total=2)
    runs = [a_run(batch="sweep1") for _ in range(2)]
    queue.submit(runs, card)
    for _ in runs:
        claimed = claim(queue)
        queue.end(claimed.run.id, claimed.token, FAILED)
    for event in queue.notices_open():
        queue.notice_settle(event.id, "skipped")
    queue.set_control("hold", "batch:sweep1", by="bo")
    queue.prune([runs[0].id], queue.now(), by="ana")
    assert [view.card.id for view in queue.batches("sweep1")] == ["sweep1"]
    queue.prune([runs[1].id], queue.now(), by="ana")
    assert (queue.batches("sweep1"), queue.batches(), queue.controls()) == ([], [], [])
    assert not connection.exists("trainq:batches", "trainq:batchcard:sweep1")


def test_many_runs_are_pruned_in_parts(queue: Queue, server: TestServer) -> None:
    runs = [a_run() for _ in range(500)]
    queue.submit(runs)
    for run in runs:
        queue.cancel(run.id, by="ana")
    for event in queue.notices_open(limit=1000):
        queue.notice_settle(event.id, "skipped")
    more = submit(queue)
    queue.cancel(more, by="ana")
    ids = queue.ended_before(queue.now())
    answers = queue.prune(ids, queue.now(), by="ana")
    assert len(answers) == 501 and [i for i, why in answers.items() if why] == [more]
    assert [row.id for row in queue.list()] == [more]
