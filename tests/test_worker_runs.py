"""A worker takes runs, trains them in a real child process, and ends them as they ended."""

import json
import re
import signal
from pathlib import Path

from ruamel.yaml import YAML
from support.ledger import Ledger, ledger, usual
from support.waiting import wait_until
from support.workers import Site

from schemas import code
from schemas.events import EventKind
from schemas.run import Cause, State


def test_a_run_is_trained_to_its_end_and_a_burst_then_leaves(site: Site) -> None:
    run_id = site.submit("steps=12")
    worker = site.worker("cpu", "--burst")
    assert worker.wait() == 0, worker.said()
    run = site.queue.get(run_id)
    assert run.state is State.FINISHED and run.result["accuracy"] == 0.9
    assert run.best and run.best.value == 0.9 and run.progress.step == 12
    assert run.checkpoint_step == 10 and run.precision == "fp32"
    assert "step 12" in site.queue.log(run_id)[0]
    assert [row["accuracy"] for row in site.queue.metrics(run_id)] == [0.9]
    assert site.kinds(run_id).count("finished") == 1


def test_people_find_the_whole_story_at_the_top_of_the_run_folder(site: Site) -> None:
    run_id = site.submit("steps=8 kill=7 first")
    assert site.worker("cpu", "--burst").wait() == 0
    folder = site.runs / run_id
    log = (folder / "run.log").read_text()
    assert log.index("==== attempt 1-") < log.index("==== attempt 2-")
    assert "begin at step 5" in log
    result = json.loads((folder / "result.json").read_text())
    assert result["token"] == site.queue.get(run_id).result_attempt
    config = YAML(typ="safe").load(folder / "config.yaml")
    assert config == site.queue.get(run_id).config


def test_a_trainer_that_waits_is_the_one_that_runs(site: Site) -> None:
    worker = site.worker().ready()
    wait_until(worker.trainers, what="a warm trainer")
    (warm,) = worker.trainers()
    run_id = site.submit("steps=2 gate=1")
    site.at_gate(run_id, 1)
    assert worker.trainers() == [warm]
    site.open_gate(run_id)
    assert site.ended(run_id).state is State.FINISHED
    wait_until(lambda: not warm.is_running(), what="the end of the trainer")


def test_a_dead_warm_trainer_costs_nothing_but_time(site: Site) -> None:
    worker = site.worker().ready()
    wait_until(worker.trainers, what="a warm trainer")
    worker.trainers()[0].kill()
    assert site.ended(site.submit("steps=2")).attempt == 1


def test_without_warmth_no_trainer_waits(site: Site) -> None:
    worker = site.worker("cpu", "--no-warm").ready()
    assert site.ended(site.submit("steps=2")).state is State.FINISHED
    wait_until(lambda: "done" in worker.said(), what="the end")
    assert worker.trainers() == []


def test_max_runs_counts_attempts(site: Site) -> None:
    runs = [site.submit("steps=2") for _ in range(3)]
    worker = site.worker("cpu", "--max-runs", "2")
    assert worker.wait() == 0
    assert [site.queue.get(run).state for run in runs] == ["finished", "finished", "queued"]


def test_a_failure_of_the_run_itself_is_final(site: Site) -> None:
    crash, data = site.submit("crash=3"), site.submit("code=3 at=2")
    assert site.worker("cpu", "--burst").wait() == 0
    assert site.queue.get(crash).error == "RuntimeError: it was told to crash"
    assert (site.queue.get(crash).cause, site.queue.get(crash).attempt) == (Cause.CODE, 1)
    assert (site.queue.get(data).cause, site.queue.get(data).attempt) == (Cause.DATA, 1)


def test_gpu_memory_is_tried_once_more_with_half_the_images(site: Site) -> None:
    run_id = site.submit("code=4 at=2 first")
    assert site.worker("cpu", "--burst").wait() == 0
    run = site.queue.get(run_id)
    assert (run.state, run.attempt, run.micro_batch) == (State.FINISHED, 2, 16)


def test_a_trainer_that_cannot_start_says_why(site: Site) -> None:
    run_id = site.submit()
    site.worker("cpu", "--trainer-command", "python -m no_such_trainer")
    wait_until(lambda: site.queue.get(run_id).crashes, what="the first crash")
    put_back = next(e for e in site.queue.events(run_id=run_id) if e.kind is EventKind.REQUEUED)
    assert put_back.cause is Cause.HOST_LOST, "a broken host is not the run's fault"
    assert "No module named no_such_trainer" in put_back.text


def test_work_that_was_done_but_not_told_is_not_done_again(site: Site) -> None:
    run_id = site.submit("steps=6 gate=5")
    worker = site.worker()
    site.at_gate(run_id, 5)
    worker.send(signal.SIGSTOP)
    site.open_gate(run_id)
    token = site.queue.get(run_id).token
    result = site.runs / run_id / "attempts" / token / "result.json"
    wait_until(result.exists, what="the result")
    worker.process.kill()
    assert site.worker("cpu", "--burst").wait() == 0
    run = site.queue.get(run_id)
    assert (run.state, run.attempt, run.result_attempt) == (State.FINISHED, 2, token)
    assert len(site.steps(run_id)) == 6


def test_a_record_that_no_trainer_could_use_is_set_aside_and_the_next_run_goes_on(
    site: Site,
) -> None:
    poisoned, good = site.submit(), site.submit("steps=2")
    site.server.client().hset(f"trainq:run:{poisoned}", "start_from", "../../etc")
    worker = site.worker("cpu", "--burst")
    assert worker.wait() == 0, worker.said()
    assert site.queue.get(good).state is State.FINISHED
    held = site.queue.get(poisoned)
    assert held.state is State.HELD and "points out of" in held.held_reason


def test_a_run_says_which_source_it_ran_with_and_the_log_when_another_was_submitted(
    site: Site,
) -> None:
    run_id = site.submit("steps=2", code="0ther0ther12")
    worker = site.worker("cpu", "--burst")
    worker.wait()
    assert site.queue.get(run_id).ran_code == code.version()
    assert f"with trainer 0ther0ther12, here is {code.version()}" in worker.said()


def test_the_start_of_a_run_is_told_in_one_line(site: Site) -> None:
    run_id = site.submit("steps=2")
    worker = site.worker("cpu", "--burst")
    worker.wait()
    said = worker.said()
    assert f"start {run_id} run-{run_id} (ana)" in said
    assert f"done {run_id} accuracy 0.9 in" in said
    assert "Traceback" not in said


def test_lines_and_progress_reach_redis_within_two_seconds_at_the_default_lease(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, TRAINQ_LEASE_S="15")
    try:
        with ledger(site.server.client()) as told:
            site.worker()
            run_id = site.submit("steps=5000 step_s=0.02")
            sent = wait_until(
                lambda: found if len(found := reports(told)) > 4 else [], what="five reports"
            )
        _, _, newest = sent[-1]
        wait_until(lambda: f"step {newest}" in site.queue.log(run_id)[0], what="its last line")
        assert site.queue.get(run_id).progress.step >= newest
        done = {row["step"]: row["at"] for row in site.steps(run_id)}
        assert usual([at - done[oldest] for at, oldest, _ in sent]) < 2
    finally:
        site.close()


def reports(told: Ledger) -> list[tuple[float, int, int]]:
    """When each came by the server's clock; the first and the last step that its lines tell of."""
    sent = [each for each in told.calls() if each.name == "report"]
    steps = [[int(step) for step in re.findall(r'"step (\d+)"', each.text)] for each in sent]
    return [(each.at, min(of), max(of)) for each, of in zip(sent, steps, strict=True) if of]
