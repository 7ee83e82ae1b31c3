"""Time limits, drains, breakers, gather runs: a worker does as decided, and says so."""

import socket

from support.waiting import wait_until
from support.workers import Site

from schemas.run import Cause, Parent, State
from schemas.run import new_id as new_batch

LANE = f"{socket.gethostname()}:cpu"


def test_a_time_limit_ends_a_run_with_a_checkpoint_and_the_way_to_go_on(site: Site) -> None:
    run_id = site.submit("steps=5000", time_limit_s=3600)
    site.worker("cpu", "--no-warm")
    site.at_step(run_id, 20)
    pass_time(site, run_id, 3600)
    run = site.ended(run_id)
    assert (run.state, run.cause) == (State.FAILED, Cause.TIMEOUT)
    last = site.steps(run_id)[-1]["step"]
    assert run.checkpoint_step == last >= 20
    assert run.error == (
        f"time limit of 1h reached at step {last}; the checkpoint is kept: "
        f"publisher retry {run_id} --time-limit 2h goes on"
    )


def pass_time(site: Site, run_id: str, seconds: float) -> None:
    """As if it had run for so much longer."""
    site.server.client().hincrbyfloat(f"trainq:run:{run_id}", "ran_s", seconds)


def test_the_limit_counts_all_attempts_together(site: Site) -> None:
    run_id = site.submit("steps=5000 gate=12 kill=30 first", time_limit_s=3600)
    site.worker("cpu", "--no-warm")
    site.at_gate(run_id, 12)
    pass_time(site, run_id, 1800)
    site.open_gate(run_id)
    site.at_step(run_id, 1, attempt=2)
    pass_time(site, run_id, 1800)
    run = site.ended(run_id)
    assert (run.cause, run.attempt) == (Cause.TIMEOUT, 2)


def test_a_drained_worker_puts_its_run_back_lives_on_and_takes_nothing_until_it_is_resumed(
    site: Site,
) -> None:
    run_id = site.submit("steps=60 gate=12")
    worker = site.worker("cpu", "--no-warm")
    site.at_gate(run_id, 12)
    site.queue.set_control("drain", f"worker:{LANE}", by="bo", reason="new disk")
    wait_until(lambda: site.queue.get(run_id).state is State.QUEUED, what="the drain")
    run = site.queue.get(run_id)
    assert run.checkpoint_step == site.steps(run_id)[-1]["step"]
    assert (run.crashes, run.cause) == (0, None)
    put_back = site.queue.events(run_id=run_id)[-1]
    assert (put_back.cause, put_back.text) == (Cause.DRAINED, "drained by bo: new disk")
    said = f"takes no runs: drained by bo (new disk); worker resume {LANE}"
    wait_until(lambda: said in worker.said(), what="the worker's word")
    other = site.submit("steps=2")
    site.open_gate(run_id)
    site.queue.clear_control("drain", f"worker:{LANE}", by="bo")
    assert site.ended(other).state is State.FINISHED
    assert (site.ended(run_id).attempt, worker.process.poll()) == (2, None)
    assert [row["step"] for row in site.steps(run_id)] == list(range(1, 61))
    wait_until(lambda: "takes runs again" in worker.said(), what="its word on the resume")
    assert worker.said().count("takes no runs") == 1


def test_a_worker_on_which_nothing_begins_is_paused_with_one_notice(site: Site) -> None:
    first, second = (site.submit("die", batch=new_batch()) for _ in range(2))
    worker = site.worker("cpu", "--no-warm")
    wait_until(lambda: "takes no runs: held by" in worker.said(), what="the breaker")
    states = {site.queue.get(run_id).state for run_id in (first, second)}
    assert State.QUEUED in states, "what is left waits for a sound worker"
    notices = site.folder / "notices.jsonl"
    wait_until(lambda: notices.exists() and "is paused" in notices.read_text(), what="the notice")
    assert notices.read_text().count(f"worker resume {LANE}") >= 1
    site.queue.clear_control("hold", f"worker:{LANE}", by="bo")
    wait_until(lambda: "takes runs again" in worker.said(), what="the release")


def test_a_gather_run_is_told_how_its_parents_ended(site: Site) -> None:
    split = {"split": {"kind": "kfold", "folds": 3}}
    folds = [
        site.submit(
            "code=3 at=2" if number == 1 else "steps=2", fold=number, config={"data": split}
        )
        for number in range(3)
    ]
    after = tuple(Parent(id=run_id, on="any") for run_id in folds)
    whole = site.submit(kind="gather", after=after)
    assert site.worker("cpu", "--burst").wait() == 0
    run = site.queue.get(whole)
    assert (run.state, run.result["text"]) == (
        State.FINISHED,
        "0: finished, 1: failed, 2: finished",
    )
    assert run.result["accuracy"] == 0.9
    assert site.queue.get(folds[0]).data_fingerprint == "d1"
