"""Runs that wait for others."""

import pytest
from support.runs import a_run, a_worker, claim, submit

from queue_worker.queue import Ending, Queue, TransitionRefused
from schemas.errors import NotFound, UsageError
from schemas.run import ENDED, Cause, Parent, State, new_id, new_nonce

FINISHED = Ending(state=State.FINISHED)
FAILED = Ending(state=State.FAILED, cause=Cause.CODE, error="no")


def after(*ids: str, on: str = "ok") -> tuple[Parent, ...]:
    return tuple(Parent.model_validate({"id": run_id, "on": on}) for run_id in ids)


def run_and_end(queue: Queue, ending: Ending) -> str:
    claimed = claim(queue)
    queue.end(claimed.run.id, claimed.token, ending)
    return claimed.run.id


def test_a_child_starts_when_the_last_of_its_parents_has_finished(queue: Queue) -> None:
    parents = [submit(queue), submit(queue)]
    child = submit(queue, after=after(*parents))
    assert run_and_end(queue, FINISHED) == parents[0]
    assert queue.get(child).state is State.WAITING
    assert run_and_end(queue, FINISHED) == parents[1]
    assert queue.get(child).state is State.QUEUED
    assert [event.kind for event in queue.events(run_id=child)] == ["submitted", "ready"]
    assert claim(queue).run.id == child


@pytest.mark.parametrize("ending", [FAILED, Ending(state=State.CANCELLED, by="bo")])
def test_a_parent_that_does_not_finish_skips_its_children_and_theirs(
    queue: Queue, ending: Ending
) -> None:
    parent = submit(queue)
    child = submit(queue, after=after(parent))
    grandchild = submit(queue, after=after(child))
    run_and_end(queue, ending)
    assert queue.get(child).state is State.SKIPPED
    assert queue.get(child).skipped_for == parent
    assert queue.get(child).error == f"parent {parent} is {ending.state}"
    assert queue.get(grandchild).skipped_for == child
    ends = [event.run for event in queue.events() if event.kind in ENDED]
    assert ends == [parent, child, grandchild]
    assert len(queue.notices_open()) == 3


def test_any_end_of_a_parent_will_do_for_a_child_that_says_so(queue: Queue) -> None:
    parent = submit(queue)
    child = submit(queue, after=after(parent, on="any"))
    run_and_end(queue, FAILED)
    assert queue.get(child).state is State.QUEUED


def test_a_cancelled_parent_that_was_pending_counts_like_any_other(queue: Queue) -> None:
    parent = submit(queue)
    child, patient = (
        submit(queue, after=after(parent)),
        submit(queue, after=after(parent, on="any")),
    )
    queue.cancel(parent, by="ana")
    assert queue.get(child).state is State.SKIPPED
    assert queue.get(patient).state is State.QUEUED


def test_a_parent_that_has_ended_counts_at_once(queue: Queue) -> None:
    good, bad = submit(queue), submit(queue)
    run_and_end(queue, FINISHED)
    run_and_end(queue, FAILED)
    assert queue.get(submit(queue, after=after(good))).state is State.QUEUED
    assert queue.get(submit(queue, after=after(bad))).state is State.SKIPPED
    assert queue.get(submit(queue, after=after(bad, on="any"))).state is State.QUEUED


def test_a_whole_tree_can_be_submitted_at_once_in_any_order(queue: Queue) -> None:
    folds = [a_run() for _ in range(3)]
    gather = a_run(kind="gather", after=after(*(fold.id for fold in folds), on="any"))
    receipts = queue.submit([gather, *folds])
    assert [receipt.id for receipt in receipts] == [gather.id, *(fold.id for fold in folds)]
    assert receipts[0].state is State.WAITING
    for _ in folds:
        run_and_end(queue, FINISHED)
    assert claim(queue).run.kind == "gather"


def test_a_circle_and_a_parent_that_is_nowhere_queue_nothing(queue: Queue) -> None:
    one, other = new_id(), new_id()
    with pytest.raises(UsageError, match="wait for each other"):
        queue.submit([a_run(id=one, after=after(other)), a_run(id=other, after=after(one))])
    with pytest.raises(NotFound, match="no run zzzzzz"):
        submit(queue, after=after("zzzzzz"))
    assert sum(queue.counts().values()) == 0


def test_parents_can_be_changed_while_a_run_is_pending_but_never_into_a_circle(
    queue: Queue,
) -> None:
    parent, child = submit(queue), submit(queue)
    assert queue.edit(child, by="ana", after=after(parent)).state is State.WAITING
    with pytest.raises(UsageError, match="wait for itself"):
        queue.edit(parent, by="ana", after=after(child))
    with pytest.raises(UsageError, match="wait for itself"):
        queue.edit(parent, by="ana", after=after(parent))
    with pytest.raises(NotFound):
        queue.edit(child, by="ana", after=after("zzzzzz"))
    assert queue.edit(child, by="ana", after=()).state is State.QUEUED
    assert queue.children(parent) == []
    assert claim(queue).run.id == parent
    with pytest.raises(TransitionRefused, match="is running"):
        queue.edit(parent, by="ana", priority=3)


def test_a_held_child_stays_held_and_then_goes_where_its_parents_say(queue: Queue) -> None:
    parent = submit(queue)
    child = submit(queue, after=after(parent), held_by="ana")
    run_and_end(queue, FINISHED)
    assert queue.get(child).state is State.HELD
    assert queue.release(child, by="ana").state is State.QUEUED
    orphan = submit(queue, after=after(submit(queue)), held_by="ana")
    queue.cancel(queue.get(orphan).after[0].id, by="ana")
    assert queue.release(orphan, by="ana").state is State.SKIPPED


def test_a_long_chain_is_skipped_to_its_end(queue: Queue) -> None:
    chain = [a_run()]
    for _ in range(300):
        chain.append(a_run(after=after(chain[-1].id)))
    queue.submit(chain)
    queue.cancel(chain[0].id, by="ana")
    assert queue.counts()[State.SKIPPED] == 300


def test_a_repeated_submit_of_children_changes_nothing(queue: Queue) -> None:
    parent = a_run()
    runs = [parent, a_run(after=after(parent.id))]
    queue.submit(runs)
    before = queue.events()
    assert all(receipt.repeated for receipt in queue.submit(runs))
    assert queue.events() == before
    assert queue.claim(a_worker(), new_nonce()) is not None
