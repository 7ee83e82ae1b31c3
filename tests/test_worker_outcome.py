"""Exit code, signal, result and wishes become the one right ending."""

import signal
from typing import Any

import pytest

from queue_worker.attempts.attempt import Heard
from queue_worker.attempts.outcome import (
    Facts,
    brief,
    finished,
    judge,
    one_line,
    read_result,
    spell,
    told,
)
from queue_worker.door.records import Ending, Verdict
from schemas.result import Result
from schemas.run import Best, Cause, Progress, Run, State, Wish

TOKEN = "2-0123abcd"
CANCEL = {"wish": Wish.CANCEL, "wish_by": "bo"}
DRAIN = {"wish": Wish.DRAIN, "wish_by": "bo", "wish_reason": "new disk"}
STUCK = {"code": -9, "killed": True, "stuck": True}
TIMEOUT = {"wish": Wish.TIMEOUT}


def a_run(**fields: Any) -> Run:
    known = {"id": "7f3k2q", "name": "r", "user": "ana", "state": State.RUNNING, "token": TOKEN}
    config = {"data": {"batch_size": 32}, "train": {"accumulate": 1}}
    return Run(**{**known, "config": config, "submitted_at": 1.0, **fields})


def a_result(code: int = 0, **fields: Any) -> Result:
    return Result(token=TOKEN, exit_code=code, **fields)


@pytest.mark.parametrize(
    ("facts", "state", "cause"),
    [
        # not even SIGKILL ended it: the host is to blame, unless a person was first
        (
            {**STUCK, "stalled": True},
            State.QUEUED,
            Cause.GPU_FAULT,
        ),
        ({**STUCK, **CANCEL}, State.CANCELLED, Cause.CANCELLED),
        ({**STUCK, **DRAIN}, State.QUEUED, Cause.DRAINED),
        ({**STUCK, **TIMEOUT}, State.FAILED, Cause.TIMEOUT),
        # it ended by itself
        ({"code": 0, "result": a_result()}, State.FINISHED, None),
        ({"code": 0}, State.FAILED, Cause.CODE),
        ({"code": 0, "result": a_result(75)}, State.FAILED, Cause.CODE),
        ({"code": 1}, State.FAILED, Cause.CODE),
        ({"code": 2}, State.FAILED, Cause.CONFIG),
        ({"code": 3}, State.FAILED, Cause.DATA),
        ({"code": 5}, State.FAILED, Cause.DIVERGED),
        ({"code": 120}, State.FAILED, Cause.CODE),
        ({"code": 1, "result": a_result(1, cause=Cause.DATA)}, State.FAILED, Cause.DATA),
        ({"code": 1, "result": a_result(1, cause=Cause.GPU_FAULT)}, State.QUEUED, Cause.GPU_FAULT),
        ({"code": 4, "result": a_result(4, cause=Cause.HOST_OOM)}, State.QUEUED, Cause.HOST_OOM),
        # somebody wished it
        ({"code": 75, **CANCEL}, State.CANCELLED, Cause.CANCELLED),
        ({"code": -9, "killed": True, **CANCEL}, State.CANCELLED, Cause.CANCELLED),
        ({"code": 1, **CANCEL}, State.CANCELLED, Cause.CANCELLED),
        ({"code": 0, "result": a_result(), **CANCEL}, State.FINISHED, None),
        ({"code": 75, "leaving": True}, State.QUEUED, Cause.DRAINED),
        ({"code": -15, "leaving": True}, State.QUEUED, Cause.DRAINED),
        ({"code": -9, "killed": True, "leaving": True}, State.QUEUED, Cause.DRAINED),
        ({"code": 3, "leaving": True}, State.FAILED, Cause.DATA),
        ({"code": 75, "leaving": True, **CANCEL}, State.CANCELLED, Cause.CANCELLED),
        ({"code": 75, **DRAIN}, State.QUEUED, Cause.DRAINED),
        ({"code": 75, **TIMEOUT}, State.FAILED, Cause.TIMEOUT),
        ({"code": -9, "killed": True, **TIMEOUT}, State.FAILED, Cause.TIMEOUT),
        ({"code": 75, "leaving": True, **TIMEOUT}, State.FAILED, Cause.TIMEOUT),
        ({"code": 0, "result": a_result(), **TIMEOUT}, State.FINISHED, None),
        ({"code": 5, **TIMEOUT}, State.FAILED, Cause.DIVERGED),
        # something happened to it
        ({"code": 75}, State.QUEUED, Cause.HOST_LOST),
        ({"code": -9}, State.QUEUED, Cause.HOST_LOST),
        ({"code": -11}, State.QUEUED, Cause.HOST_LOST),
        ({"code": -9, "oom_kills": 1}, State.QUEUED, Cause.HOST_OOM),
        ({"code": -9, "killed": True, "stalled": True}, State.QUEUED, Cause.STALLED),
        ({"code": 75, "stalled": True}, State.QUEUED, Cause.STALLED),
        ({"code": 4}, State.QUEUED, Cause.CUDA_OOM),
    ],
)
def test_each_way_out_has_its_end(facts: dict[str, Any], state: State, cause: Cause | None) -> None:
    ending = judge(a_run(), Facts(**facts))
    assert (ending.state, ending.cause) == (state, cause)


@pytest.mark.parametrize(
    ("run", "facts", "cause"),
    [
        ({"stalls": 1}, {"code": -9, "stalled": True}, Cause.STALLED),
        ({"crashes": 1}, {"code": -9, "oom_kills": 1}, Cause.HOST_OOM),
        ({"micro_batch": 16}, {"code": 4, "micro_batch": 16}, Cause.CUDA_OOM),
        ({"config": {"data": {"batch_size": 1}}}, {"code": 4}, Cause.CUDA_OOM),
        ({"config": {}}, {"code": 4}, Cause.CUDA_OOM),
    ],
)
def test_what_was_forgiven_once_fails_the_second_time(
    run: dict[str, Any], facts: dict[str, Any], cause: Cause
) -> None:
    ending = judge(a_run(**run), Facts(**facts))
    assert (ending.state, ending.cause) == (State.FAILED, cause)


def test_who_shared_the_card_is_named_when_its_memory_was_too_small() -> None:
    bo = "GPU 0: bo's python lab.py (pid 4121, 20 GB)"
    first = judge(a_run(), Facts(code=4, shared_with=bo))
    assert first.error.startswith(f"out of GPU memory, beside {bo}; next time 16 images at once")
    last = judge(a_run(micro_batch=16), Facts(code=4, micro_batch=16, shared_with=bo))
    assert last.state is State.FAILED and last.error.endswith(f", beside {bo}")
    assert "beside" not in judge(a_run(), Facts(code=1, shared_with=bo)).error


@pytest.mark.parametrize(
    ("batch", "accumulate", "used", "smaller"),
    [(32, 1, 0, 16), (32, 2, 16, 8), (32, 1, 32, 16), (30, 1, 0, 15), (9, 1, 0, 3), (7, 1, 7, 1)],
)
def test_the_smaller_micro_batch_divides_the_batch(
    batch: int, accumulate: int, used: int, smaller: int
) -> None:
    config = {"data": {"batch_size": batch}, "train": {"accumulate": accumulate}}
    ending = judge(a_run(config=config), Facts(code=4, micro_batch=used))
    assert ending.micro_batch == smaller and "BatchNorm" in ending.error


def test_a_run_of_several_gpus_is_halved_though_it_was_resumed_before() -> None:
    """Each GPU takes its part of the batch, which is no smaller micro-batch."""
    again = a_run(gpus=2, micro_batch=16, config={"data": {"batch_size": 32}})
    ending = judge(again, Facts(code=4, micro_batch=16))
    assert (ending.state, ending.micro_batch) == (State.QUEUED, 8)


def test_a_trainer_that_lost_a_part_of_itself_goes_on_elsewhere() -> None:
    lost = a_result(1, cause=Cause.HOST_LOST)
    ending = judge(a_run(), Facts(code=1, result=lost))
    assert ending.state is State.QUEUED and ending.crashed


def test_only_what_is_not_the_runs_own_fault_counts_as_a_crash() -> None:
    assert judge(a_run(), Facts(code=-9)).crashed
    assert judge(a_run(), Facts(code=-9, stalled=True)).stalled
    drained = judge(a_run(), Facts(code=75, leaving=True))
    assert not drained.crashed and not drained.stalled


def test_a_crash_is_told_by_the_name_of_its_signal() -> None:
    assert "SIGSEGV" in judge(a_run(), Facts(code=-signal.SIGSEGV)).error
    assert "/dev/shm" in judge(a_run(), Facts(code=-signal.SIGBUS)).error
    assert "signal 99" in judge(a_run(), Facts(code=-99)).error


def test_a_failure_is_told_in_the_trainers_words_and_with_its_advice() -> None:
    result = a_result(5, error="loss is NaN at step 7", try_this="optim.lr=1e-4")
    ending = judge(a_run(), Facts(code=5, result=result))
    assert (ending.error, ending.result) == ("loss is NaN at step 7", {"try_this": "optim.lr=1e-4"})
    assert judge(a_run(), Facts(code=1, last_line="KeyError: 'x'")).error == "KeyError: 'x'"
    assert judge(a_run(), Facts(code=9)).error == "the trainer ended with exit code 9"


def test_a_finish_without_a_result_says_so() -> None:
    result, fault = read_result(None, TOKEN)
    ending = judge(a_run(), Facts(code=0, result=result, result_fault=fault))
    assert ending.error == "the trainer said it finished, but it left no result.json"


def test_a_result_of_another_attempt_or_of_nobody_is_not_believed() -> None:
    good = a_result().model_dump_json().encode()
    assert read_result(good, TOKEN) == (a_result(), "")
    assert "another attempt" in read_result(good, "3-0123abcd")[1]
    assert "not valid" in read_result(b"{", TOKEN)[1]


def test_the_killed_are_told_what_they_lost() -> None:
    assert "are lost" in judge(a_run(), Facts(code=-9, killed=True, **CANCEL)).error
    assert judge(a_run(), Facts(code=75, **CANCEL)).error == ""


def test_an_ending_carries_the_last_that_was_seen() -> None:
    best, progress = Best(metric="accuracy", value=0.5, epoch=2), Progress(step=9)
    ending = judge(a_run(), Facts(code=-9, best=best, progress=progress))
    assert (ending.best, ending.progress) == (best, progress)
    final = Best(metric="accuracy", value=0.9, epoch=3)
    ending = judge(a_run(), Facts(code=0, result=a_result(best=final), best=best))
    assert ending.best == final


@pytest.mark.parametrize(
    ("facts", "rest"),
    [
        ({"saved_step": 40}, "; the checkpoint is kept: {} goes on"),
        ({"saved_step": 30, "killed": True}, "; the checkpoint of 30 is kept: {} goes on"),
        ({}, ", before any checkpoint; {} begins anew"),
    ],
)
def test_a_time_limit_says_where_it_stopped_and_how_to_go_on(
    facts: dict[str, Any], rest: str
) -> None:
    run = a_run(time_limit_s=8 * 3600)
    ending = judge(run, Facts(code=75, progress=Progress(step=40), **TIMEOUT, **facts))
    more = "publisher retry 7f3k2q --time-limit 16h"
    assert ending.error == f"time limit of 8h reached at step 40{rest.format(more)}"


def test_a_drain_says_who_wanted_the_worker() -> None:
    assert judge(a_run(), Facts(code=75, **DRAIN)).error == "drained by bo: new disk"
    assert judge(a_run(), Facts(code=75, leaving=True)).error == ""


def test_what_counts_as_begun_is_a_step_of_its_own_or_a_finish() -> None:
    assert not judge(a_run(), Facts(code=-9)).began
    assert judge(a_run(), Facts(code=-9, stepped=True)).began
    assert judge(a_run(), Facts(code=0, result=a_result())).began
    heard = Heard(progress=Progress(step=40))
    assert heard.beyond(39) and not heard.beyond(40)


def test_what_was_measured_is_kept_however_it_ended() -> None:
    facts = {"data": "abc", "peak_mb": 812.4, "split": "s", "weights": "best"}
    failed = judge(a_run(), Facts(code=5, result=a_result(5, facts=facts)))
    assert (failed.peak_mb, failed.data_fingerprint) == (812, "abc")
    done = judge(a_run(), Facts(code=0, result=a_result(facts=facts, metrics={"loss": 1.0})))
    assert done.result == {"loss": 1.0, "split": "s", "weights": "best"} and done.peak_mb == 812


def test_a_gather_over_fewer_folds_says_so_in_its_one_line() -> None:
    facts = {"text": "accuracy 0.5, 4 of 5 folds, missing 3 (failed)"}
    fewer = judge(a_run(), Facts(code=0, result=a_result(facts=facts, metrics={"n": 4, "of": 5})))
    assert (fewer.state, fewer.error) == (State.FINISHED, facts["text"])
    every = a_result(facts={"text": "accuracy 0.5, 5 folds"}, metrics={"n": 5, "of": 5})
    assert judge(a_run(), Facts(code=0, result=every)).error == ""


def test_limits_are_told_as_people_type_them() -> None:
    texts = [brief(s) for s in (0.2, 45, 1800, 28800, 5400, 3601)]
    assert texts == ["1s", "45s", "30m", "8h", "1h30m", "1h1s"]


def test_the_end_is_told_in_one_line() -> None:
    done = a_run(state=State.FINISHED, token="", started_at=10.0, ended_at=1119.0)
    assert told(done, finished(a_result()), Verdict.DONE) == "done 7f3k2q in 18m29s"
    failed = a_run(state=State.FAILED, token="", ended_at=2.0, cause="data", error="no such file")
    ending = Ending(state=State.FAILED, cause=Cause.DATA)
    assert told(failed, ending, Verdict.DONE) == "failed 7f3k2q (data): no such file"
    cancelled = a_run(state=State.CANCELLED, token="", ended_at=2.0, ended_by="bo")
    assert told(cancelled, ending, Verdict.ALREADY) == "cancelled 7f3k2q by bo"
    back = Ending(state=State.QUEUED, cause=Cause.DRAINED)
    assert told(a_run(), back, Verdict.DONE) == "put back 7f3k2q (drained)"
    assert "another attempt" in told(a_run(), back, Verdict.LOST)
    assert "could not be written" in told(a_run(), back, None)


def test_durations_and_errors_stay_short() -> None:
    assert [spell(s) for s in (0.4, 59, 61, 3600 * 5 + 7 * 60)] == ["0s", "59s", "1m01s", "5h07m"]
    assert one_line("a\n  b\tc") == "a b c"
    assert len(one_line("x" * 10_000)) == 500
