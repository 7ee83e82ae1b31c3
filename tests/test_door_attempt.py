"""An attempt: what its token may do, how it ends, and what people may do meanwhile."""

import pytest
import redis
from support.runs import a_worker, claim, submit

from queue_worker.queue import Ending, Queue, Report, TransitionRefused, Verdict
from schemas.errors import NotFound
from schemas.events import EventKind
from schemas.run import Best, Cause, Parent, Progress, State, Wish, new_nonce

FINISHED = Ending(state=State.FINISHED)
STALE = "1-00000000"


def kinds(queue: Queue, run_id: str) -> list[EventKind]:
    return [event.kind for event in queue.events(run_id=run_id)]


def test_a_stale_token_can_neither_renew_nor_report_nor_checkpoint_nor_end(queue: Queue) -> None:
    run_id = submit(queue)
    claim(queue)
    before = queue.get(run_id)
    assert queue.renew(run_id, STALE).answer == "lost"
    assert queue.report(run_id, STALE, Report(log=("no",), metrics=({"epoch": 1},))) is Verdict.LOST
    assert queue.checkpoint(run_id, STALE, "attempts/z", 9) is Verdict.LOST
    assert queue.end(run_id, STALE, FINISHED) is Verdict.LOST
    assert queue.get(run_id) == before
    assert queue.log(run_id) == ([], 0) and queue.metrics(run_id) == []


def test_the_token_of_an_attempt_that_was_taken_over_is_stale(queue: Queue) -> None:
    run_id = submit(queue)
    old = claim(queue)
    queue.reclaim(a_worker())
    new = claim(queue)
    assert new.run.attempt == 2
    assert queue.end(run_id, old.token, FINISHED) is Verdict.LOST
    assert queue.end(run_id, new.token, FINISHED) is Verdict.DONE


def test_an_end_that_is_repeated_is_one_end(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    answers = [queue.end(run_id, token, FINISHED) for _ in range(3)]
    assert answers == [Verdict.DONE, Verdict.ALREADY, Verdict.ALREADY]
    assert kinds(queue, run_id).count(EventKind.FINISHED) == 1
    assert len(queue.notices_open()) == 1


def test_an_end_carries_its_result(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    best = Best(metric="accuracy", value=0.9, epoch=4)
    ending = Ending(state=State.FINISHED, best=best, result={"accuracy": 0.9}, by="v100:0")
    queue.end(run_id, token, ending)
    run = queue.get(run_id)
    assert (run.state, run.best, run.result) == (State.FINISHED, best, {"accuracy": 0.9})
    assert run.result_attempt == token and run.token == "" and run.ended_at


def test_a_failure_carries_cause_and_one_line(queue: Queue) -> None:
    run_id = submit(queue)
    ending = Ending(state=State.FAILED, cause=Cause.CODE, error="a\nb")
    queue.end(run_id, claim(queue).token, ending)
    run = queue.get(run_id)
    assert (run.state, run.cause, run.error) == (State.FAILED, Cause.CODE, "a b")


def test_a_drained_attempt_is_queued_again_at_its_old_place(queue: Queue) -> None:
    first, second = submit(queue), submit(queue)
    token = claim(queue).token
    assert queue.end(first, token, Ending(state=State.QUEUED, cause=Cause.DRAINED)) is Verdict.DONE
    assert queue.end(first, token, Ending(state=State.QUEUED)) is Verdict.ALREADY
    assert [row.id for row in queue.list()] == [first, second]
    assert queue.get(first).crashes == 0
    assert claim(queue).run.attempt == 2


def test_an_attempt_that_ends_held_waits_for_a_person(queue: Queue) -> None:
    run_id = submit(queue)
    queue.end(run_id, claim(queue).token, Ending(state=State.HELD, error="three equal failures"))
    run = queue.get(run_id)
    assert run.held_reason == "three equal failures" and run.held_by == "trainq"
    assert queue.claim(a_worker(), new_nonce()) is None
    assert queue.release(run_id, by="ana").state is State.QUEUED


def test_an_end_that_is_no_move_out_of_running_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot end as waiting"):
        Ending(state=State.WAITING)
    with pytest.raises(ValueError, match="needs a cause"):
        Ending(state=State.FAILED)


def test_a_renewal_extends_the_lease(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    connection.zadd("trainq:leases:2", {run_id: queue.now() + 1})
    assert queue.renew(run_id, token).answer == "ok"
    assert queue.get(run_id).lease_until == pytest.approx(queue.now() + 15, abs=9)


def test_without_a_record_a_renewal_is_unknown(queue: Queue, connection: redis.Redis) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    connection.flushall()
    assert queue.renew(run_id, token).answer == "unknown"


def test_the_checkpoint_pointer_moves_once_and_never_back(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    assert queue.checkpoint(run_id, token, "attempts/a/step-5", 5) is Verdict.DONE
    assert queue.checkpoint(run_id, token, "attempts/a/step-9", 9) is Verdict.DONE
    assert queue.checkpoint(run_id, token, "attempts/a/step-5", 5) is Verdict.ALREADY
    run = queue.get(run_id)
    assert (run.checkpoint, run.checkpoint_step) == ("attempts/a/step-9", 9)
    assert run.runs_root == "root-a"


def test_the_next_attempt_may_point_to_an_earlier_step(queue: Queue) -> None:
    run_id = submit(queue)
    queue.checkpoint(run_id, claim(queue).token, "attempts/a/step-9", 9)
    queue.reclaim(a_worker())
    token = claim(queue).token
    assert queue.checkpoint(run_id, token, "attempts/b/step-7", 7) is Verdict.DONE


def test_a_report_stores_lines_metrics_progress_and_choices(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    report = Report(
        number=1,
        progress=Progress(step=3, steps=9),
        log=("one", "two"),
        metrics=({"epoch": 1, "loss": 0.5},),
        best=Best(metric="accuracy", value=0.4, epoch=1),
        precision="fp16",
        micro_batch=8,
    )
    assert queue.report(run_id, token, report) is Verdict.DONE
    run = queue.get(run_id)
    assert (run.progress, run.best, run.precision) == (report.progress, report.best, "fp16")
    assert run.micro_batch == 8
    assert queue.log(run_id) == (["one", "two"], 2)
    assert queue.metrics(run_id) == [{"epoch": 1, "loss": 0.5}]


def test_a_repeated_batch_of_lines_is_not_appended_twice(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    for number in (1, 1, 2, 1):
        queue.report(run_id, token, Report(number=number, log=(f"batch {number}",)))
    assert queue.log(run_id) == (["batch 1", "batch 2"], 2)


def test_the_next_attempt_counts_its_batches_anew(queue: Queue) -> None:
    run_id = submit(queue)
    queue.report(run_id, claim(queue).token, Report(number=7, log=("old",)))
    queue.reclaim(a_worker())
    queue.report(run_id, claim(queue).token, Report(number=1, log=("new",)))
    assert queue.log(run_id) == (["old", "new"], 2)


# ---- people -------------------------------------------------------------------------------------


def test_a_pending_run_is_cancelled_at_once_and_never_starts(queue: Queue) -> None:
    queued, held = submit(queue), submit(queue, held_by="ana")
    for run_id in (queued, held):
        run = queue.cancel(run_id, by="bo", reason="wrong split")
        assert (run.state, run.ended_by, run.error) == (State.CANCELLED, "bo", "wrong split")
    assert queue.claim(a_worker(), new_nonce()) is None
    assert len(queue.notices_open()) == 2


def test_cancel_of_a_running_run_is_a_wish_that_every_renewal_tells(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    run = queue.cancel(run_id, by="bo", reason="wrong split")
    assert (run.state, run.wish) == (State.RUNNING, Wish.CANCEL)
    renewal = queue.renew(run_id, token)
    assert (renewal.wish, renewal.wish_by, renewal.wish_reason) == (
        Wish.CANCEL,
        "bo",
        "wrong split",
    )
    queue.cancel(run_id, by="cy")
    assert queue.get(run_id).wish_by == "bo"
    assert kinds(queue, run_id).count(EventKind.CANCEL_ASKED) == 1


@pytest.mark.parametrize("state", [State.FINISHED, State.QUEUED, State.HELD, State.CANCELLED])
def test_an_acknowledged_cancel_wins_over_every_end_but_a_failure(
    queue: Queue, state: State
) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    queue.cancel(run_id, by="bo")
    queue.end(run_id, token, Ending(state=state, result={"accuracy": 0.5}, by="v100:0"))
    run = queue.get(run_id)
    assert (run.state, run.ended_by, run.cause) == (State.CANCELLED, "bo", Cause.CANCELLED)
    assert run.result == {"accuracy": 0.5}


def test_a_run_that_was_asked_to_cancel_is_not_put_back_when_its_worker_dies(queue: Queue) -> None:
    run_id = submit(queue)
    claim(queue)
    queue.cancel(run_id, by="bo")
    queue.reclaim(a_worker())
    assert queue.get(run_id).state is State.CANCELLED


def test_cancel_of_an_ended_run_changes_nothing(queue: Queue) -> None:
    run_id = submit(queue)
    queue.end(run_id, claim(queue).token, FINISHED)
    before = queue.get(run_id)
    assert queue.cancel(run_id, by="bo") == before


def test_hold_and_release_keep_the_place(queue: Queue) -> None:
    first, second = submit(queue), submit(queue)
    assert queue.hold(first, by="ana", reason="later").held_reason == "later"
    assert queue.hold(first, by="bo").held_by == "ana"
    assert queue.position(first) is None and queue.position(second) == 0
    released = queue.release(first, by="bo")
    assert (released.state, released.held_by) == (State.QUEUED, "")
    assert queue.position(first) == 0
    assert queue.release(first, by="bo").state is State.QUEUED


def test_a_run_that_waits_for_its_parents_goes_back_to_waiting(
    queue: Queue, connection: redis.Redis
) -> None:
    parent = submit(queue)
    run_id = submit(queue, after=(Parent(id=parent),))
    assert queue.hold(run_id, by="ana").state is State.HELD
    assert queue.release(run_id, by="ana").state is State.WAITING
    assert queue.hold(run_id, by="ana").state is State.HELD
    assert queue.release(run_id, by="ana").state is State.WAITING
    assert claim(queue).run.id == parent
    assert queue.claim(a_worker(), new_nonce()) is None


def test_a_running_run_cannot_be_held_nor_an_ended_one_released(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    with pytest.raises(TransitionRefused, match="is running"):
        queue.hold(run_id, by="ana")
    queue.end(run_id, token, FINISHED)
    with pytest.raises(TransitionRefused, match="is finished"):
        queue.release(run_id, by="ana")


def test_a_release_that_is_repeated_after_the_claim_is_no_mistake(queue: Queue) -> None:
    run_id = submit(queue, held_by="ana")
    queue.release(run_id, by="ana")
    claim(queue)
    assert queue.release(run_id, by="ana").state is State.RUNNING


def test_verbs_on_a_run_that_does_not_exist_say_so(queue: Queue) -> None:
    for verb in (queue.cancel, queue.hold, queue.release):
        with pytest.raises(NotFound, match="zzzzzz"):
            verb("zzzzzz", by="ana")
