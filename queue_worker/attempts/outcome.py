"""How an attempt ends: exit code, signal, result file and wishes become one Ending. Pure.

Knows no clock, no disk and no Redis: `daemon` gathers the facts, the door writes the ending.
"""

import signal
from dataclasses import dataclass

from pydantic import ValidationError

from queue_worker.door.records import Ending, Verdict
from schemas.events import ExitCode
from schemas.result import Result
from schemas.run import Best, Cause, Progress, Run, State, Wish

ERROR_LIMIT = 500  # characters of the one line that people read

BY_EXIT_CODE = {
    ExitCode.CODE: Cause.CODE,
    ExitCode.CONFIG: Cause.CONFIG,
    ExitCode.DATA: Cause.DATA,
    ExitCode.CUDA_OOM: Cause.CUDA_OOM,
    ExitCode.DIVERGED: Cause.DIVERGED,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known once the trainer is gone."""

    code: int  # as subprocess has it: negative is a signal
    result: Result | None = None
    result_fault: str = ""  # why there is no result, in words
    wish: Wish | None = None
    wish_by: str = ""
    wish_reason: str = ""
    leaving: bool = False  # the worker itself was asked to go
    stalled: bool = False
    killed: bool = False  # by us, because it did not leave in time
    stuck: bool = False  # in the kernel: not even SIGKILL ended it
    imported: bool = True  # it came so far as to wait for its order
    stepped: bool = False  # it did a step of its own
    saved_step: int = 0  # of its last checkpoint, or of the one that it began from
    oom_kills: int = 0  # by which the cgroup's counter rose during the attempt
    last_line: str = ""  # of its log
    shared_with: str = ""  # who else computed on its GPUs when it ended
    progress: Progress | None = None
    best: Best | None = None
    micro_batch: int = 0  # images at a time in this attempt; 0 when it did not get to say


def judge(run: Run, facts: Facts) -> Ending:
    """The one move out of RUNNING that these facts ask for; the door counts the crashes."""
    ending = _decide(run, facts)
    seen = {"progress": facts.progress, "best": ending.best or facts.best}
    # gathering has no steps: whatever ends it, the host is not to blame
    began = facts.stepped or ending.state is State.FINISHED or run.kind == "gather"
    return measured(ending, facts.result).model_copy(
        update={"error": one_line(ending.error), "began": began, **seen}
    )


def _decide(run: Run, facts: Facts) -> Ending:
    if facts.code == ExitCode.FINISHED and facts.result and not facts.result.exit_code:
        return finished(facts.result)  # also when a wish came too late to matter
    if facts.wish is Wish.CANCEL:
        return Ending(
            state=State.CANCELLED, cause=Cause.CANCELLED, by=facts.wish_by, error=_late(facts)
        )
    if facts.code >= 0 and facts.code != ExitCode.SAVED:
        return _own_fault(run, facts)
    if facts.stuck and not facts.wish and not facts.leaving:
        error = "the trainer hangs in the kernel, not even SIGKILL ended it: the host or its GPU"
        return Ending(state=State.QUEUED, cause=Cause.GPU_FAULT, crashed=True, error=error)
    if facts.stalled:
        return _stalled(run)
    if facts.wish is Wish.TIMEOUT:
        return Ending(state=State.FAILED, cause=Cause.TIMEOUT, error=_out_of_time(run, facts))
    if facts.leaving or facts.wish is Wish.DRAIN:
        return Ending(state=State.QUEUED, cause=Cause.DRAINED, error=_drained(facts))
    if facts.code < 0 and facts.oom_kills > 0:
        how = "the host ran out of memory and the kernel ended the trainer"
        return _out_of_memory(run, f"{how}; fewer data.workers or smaller images need less")
    return crashed(_how_it_died(facts))


def measured(ending: Ending, result: Result | None) -> Ending:
    """With what the trainer found out on its way, however that ended."""
    facts = result.facts if result else {}
    peak, data = facts.get("peak_mb"), facts.get("data")
    return ending.model_copy(
        update={
            "peak_mb": round(peak) if isinstance(peak, int | float) and peak > 0 else 0,
            "data_fingerprint": data if isinstance(data, str) else "",
        }
    )


def finished(result: Result) -> Ending:
    """A finished run with the trainer's own numbers, and with what they lack."""
    whole = result.metrics.get("n") == result.metrics.get("of")
    return Ending(
        state=State.FINISHED,
        error="" if whole else str(result.facts.get("text", "")),
        best=result.best,
        result=result.told(),
        result_attempt=result.token,
    )


def _own_fault(run: Run, facts: Facts) -> Ending:
    """An orderly exit that is no success: final, unless the host or its GPU is to blame."""
    cause = _cause(facts)
    error = _words(facts)
    if not facts.imported and facts.result is None:
        return crashed(f"the trainer cannot start on this host: {error}")
    if cause is Cause.HOST_OOM:
        return _out_of_memory(run, error)
    if cause in (Cause.GPU_FAULT, Cause.HOST_LOST):
        return Ending(state=State.QUEUED, cause=cause, crashed=True, error=error)
    if cause is Cause.CUDA_OOM and (smaller := _halved(run, facts)):
        return Ending(
            state=State.QUEUED,
            cause=cause,
            micro_batch=smaller,
            error=f"out of GPU memory{_beside(facts)}; next time {smaller} images at once with "
            "more accumulation: the effective batch stays, but BatchNorm statistics change",
        )
    if cause is Cause.CUDA_OOM:
        error += _beside(facts)
    advice = {"try_this": facts.result.try_this} if facts.result and facts.result.try_this else {}
    return Ending(state=State.FAILED, cause=cause, error=error, result=advice)


def _beside(facts: Facts) -> str:
    """Who else may have wanted the memory."""
    return f", beside {facts.shared_with}" if facts.shared_with else ""


def _cause(facts: Facts) -> Cause:
    if facts.result and facts.result.cause:
        return facts.result.cause
    if facts.code in BY_EXIT_CODE:
        return BY_EXIT_CODE[ExitCode(facts.code)]
    return Cause.CODE


def _words(facts: Facts) -> str:
    if facts.code == ExitCode.FINISHED:
        return (
            f"the trainer said it finished, but {facts.result_fault or 'its result says otherwise'}"
        )
    if facts.result and facts.result.error:
        return facts.result.error
    return facts.last_line or f"the trainer ended with exit code {facts.code}"


def _halved(run: Run, facts: Facts) -> int:
    """The next smaller micro-batch; 0 when this was the second try or one image is too much."""
    data, loop = run.config.get("data", {}), run.config.get("train", {})
    batch, accumulate = data.get("batch_size", 0), loop.get("accumulate", 1)
    configured = batch // max(accumulate, run.gpus)
    if 0 < run.micro_batch < configured:
        return 0
    used = facts.micro_batch or configured
    return next((size for size in range(used // 2, 0, -1) if batch % size == 0), 0)


def _stalled(run: Run) -> Ending:
    """A hang is resumed once; its stacks are in the log."""
    state = State.FAILED if run.stalls else State.QUEUED
    again = "again " if run.stalls else ""
    error = f"nothing moved {again}for the stall limit; the stacks of all threads are in the log"
    return Ending(state=state, cause=Cause.STALLED, stalled=True, error=error)


def _out_of_memory(run: Run, error: str) -> Ending:
    """The host may have been full of something else, so once is forgiven."""
    state = State.FAILED if run.crashes else State.QUEUED
    return Ending(state=state, cause=Cause.HOST_OOM, crashed=True, error=error)


def crashed(how: str) -> Ending:
    """Not the run's own fault: back at its old place, until the door finds it crashes too often."""
    return Ending(state=State.QUEUED, cause=Cause.HOST_LOST, crashed=True, error=how)


def _how_it_died(facts: Facts) -> str:
    if facts.code == ExitCode.SAVED:
        return "the trainer left after a checkpoint although nobody had asked"
    number = -facts.code
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = " (often a full /dev/shm)" if number == signal.SIGBUS else ""
    return f"the trainer was ended by {name}{hint}"


def _out_of_time(run: Run, facts: Facts) -> str:
    """What a time limit has ended, and how to go on."""
    step = facts.progress.step if facts.progress else 0
    reached = f"time limit of {brief(run.time_limit_s)} reached at step {step}"
    more = f"publisher retry {run.id} --time-limit {brief(2 * run.time_limit_s)}"
    if not facts.saved_step:
        return f"{reached}, before any checkpoint; {more} begins anew"
    kept = "the checkpoint" if facts.saved_step == step else f"the checkpoint of {facts.saved_step}"
    return f"{reached}; {kept} is kept: {more} goes on"


def _drained(facts: Facts) -> str:
    """Who wanted the worker, unless it simply left."""
    who = f"drained by {facts.wish_by}" if facts.wish is Wish.DRAIN and facts.wish_by else ""
    why = f": {facts.wish_reason}" if who and facts.wish_reason else ""
    return "; ".join(part for part in (f"{who}{why}", _late(facts)) if part)


def _late(facts: Facts) -> str:
    """What a person should know about a leave-taking that went wrong."""
    if facts.killed:
        return "it did not leave in time and was ended; steps since its last checkpoint are lost"
    return ""


def one_line(text: str) -> str:
    """A message that fits one line of a table or of a chat."""
    line = " ".join(text.split())
    return line if len(line) <= ERROR_LIMIT else line[: ERROR_LIMIT - 1] + "…"


def read_result(raw: bytes | None, token: str) -> tuple[Result | None, str]:
    """The trainer's last word, or why it cannot be believed."""
    if raw is None:
        return None, "it left no result.json"
    try:
        result = Result.model_validate_json(raw)
    except ValidationError as error:
        return None, f"its result.json is not valid ({error.errors()[0]['msg']})"
    if result.token != token:
        return None, f"its result.json belongs to another attempt ({one_line(result.token)})"
    return result, ""


def told(run: Run, ending: Ending | None, verdict: Verdict | None) -> str:
    """The end of an attempt as a line of the worker's log; `run` is the record afterwards."""
    if verdict is Verdict.LOST or ending is None:
        return f"lost {run.id}: the queue has given it to another attempt or forgotten it"
    if verdict is None:
        return f"lost {run.id}: its end could not be written; its lease will run out"
    if run.state is State.FINISHED:
        best = f" {run.best.metric} {run.best.value:.4g}" if run.best else ""
        return f"done {run.id}{best} in {spell((run.ended_at or 0) - (run.started_at or 0))}"
    if run.state is State.CANCELLED:
        return f"cancelled {run.id} by {run.ended_by}"
    if run.state is State.FAILED:
        return f"failed {run.id} ({run.cause}): {run.error}"
    why = f": {ending.error}" if ending.error else ""
    return f"put back {run.id} ({ending.cause}){why}"


def failure(ending: Ending | None, verdict: Verdict | None) -> str:
    """What RQ's records say of an attempt that did not finish; empty when it did."""
    if verdict in (Verdict.DONE, Verdict.ALREADY) and ending:
        return "" if ending.state is State.FINISHED else f"{ending.cause}: {ending.error}"
    return "the attempt was lost: another one has the run"


def spell(seconds: float) -> str:
    """`42s`, `18m29s`, `5h07m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def brief(seconds: float) -> str:
    """A limit as people type it: `45s`, `30m`, `8h`, `1h30m`."""
    whole = max(1, round(seconds))
    units = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in units if number)
