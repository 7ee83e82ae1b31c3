"""Staying with runs until they end, for their lines or their states, while Redis may blink."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from publisher.desk.clock import brief
from publisher.desk.console import out, talk, tell_now
from publisher.outlook.progress import done
from publisher.outlook.scene import scene_of
from publisher.outlook.standing import why
from schemas.errors import QueueUnreachable, RunWasCancelled, TrainqError, WaitTimedOut, count
from schemas.run import ENDED, PENDING, UNDONE, Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue, Row

POLL_S = 0.3
NAMED = 6  # runs that a sentence or a proposed command names
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def patiently(
    ask: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """An answer, however long Redis is away; said once when it goes and once when it is back."""
    away = False
    while True:
        try:
            answer = ask(*args, **kwargs)
        except QueueUnreachable as error:
            if not away:
                talk([f"{error.what}; the run goes on, waiting for Redis"])
            away = True
            time.sleep(POLL_S)
        else:
            if away:
                talk(["Redis is back"])
            return answer


def follow(queue: Queue, run_id: str, after: int, keep: Callable[[str], bool]) -> Run:
    """Print a run's lines as they come, across attempts, until it has ended and all are out."""
    said = ""
    try:
        while True:
            run = patiently(queue.get, run_id)  # before the lines: an end comes after the last one
            lines, after = patiently(queue.log, run_id, after)
            out(line for line in map(last_state_of_line, lines) if keep(line))
            if run.state in ENDED:
                talk([ending(run), f"Next: queue show {run_id}"])
                return run
            if (standing := where_it_stands(run)) != said:
                said = standing
                talk([_with_reason(queue, run, standing)])
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        talk([f"detached; the run goes on.  Cancel it: queue cancel {run_id}"])
        raise


def _with_reason(queue: Queue, run: Run, standing: str) -> str:
    """What a pending run waits for, and when it will start, where that is known."""
    reason = why(run, patiently(scene_of, queue, run)) if run.state in PENDING else ""
    return f"{standing}: {reason}" if reason else standing


def last_state_of_line(raw: str) -> str:
    """What a terminal would have left of a line that progress bars have rewritten."""
    return raw.rstrip("\r").rsplit("\r", 1)[-1]


def where_it_stands(run: Run) -> str:
    """One line whenever a followed run changes its place."""
    match run.state:
        case State.RUNNING:
            return f"{run.id} runs on {run.worker}, attempt {run.attempt}"
        case State.QUEUED if run.attempt:
            return f"{run.id} is back in the queue; goes on from step {run.checkpoint_step}"
        case State.QUEUED:
            return f"{run.id} is queued, waiting for its start (Ctrl-C leaves it there)"
        case State.HELD:
            return f"{run.id} is held (queue release {run.id})"
        case _:
            return f"{run.id} is {run.state}"


def until_ended(
    queue: Queue, ids: Sequence[str], *, limit_s: float | None = None, first: bool = False
) -> list[Row]:
    """The runs, once all of them (or the first) have ended; in the order asked for."""
    try:
        return _await(queue, ids, limit_s, first)
    except KeyboardInterrupt:
        tell_now("")
        talk([f"no longer waiting; the runs go on.  Wait again: {_waits_again(ids)}"])
        raise


def _await(queue: Queue, ids: Sequence[str], limit_s: float | None, first: bool) -> list[Row]:
    began = time.monotonic()
    runs: dict[str, Row] = {}
    while True:
        asked = [run_id for run_id in ids if run_id not in runs or runs[run_id].state not in ENDED]
        runs |= {row.id: row for row in patiently(queue.rows, asked)}  # one question for all
        for run_id in ids:
            if run_id not in runs:
                queue.get(run_id)  # says what is wrong with it
        ended = [runs[run_id] for run_id in ids if runs[run_id].state in ENDED]
        going = [runs[run_id] for run_id in ids if runs[run_id].state not in ENDED]
        if not going or (first and ended):
            tell_now("")
            return ended
        passed = time.monotonic() - began
        if limit_s is not None and passed >= limit_s:
            tell_now("")
            raise timed_out(going, limit_s)
        tell_now(waiting_line(ended, going, passed))
        time.sleep(POLL_S)


def _waits_again(ids: Sequence[str]) -> str:
    """The command that goes on waiting; of a large batch nobody wants all the ids."""
    return f"queue wait {' '.join(ids)}" if len(ids) <= NAMED else "the same command"


def waiting_line(ended: Sequence[Row], going: Sequence[Row], passed: float) -> str:
    """`1 of 3 ended after 42s; 7f3k2q 14/20, 7f3k2r queued`."""
    runs_first = sorted(going, key=lambda run: run.state is not State.RUNNING)
    standing = [f"{run.id} {done(run.progress) or run.state}" for run in runs_first]
    shown = ", ".join(standing[:3]) + (", ..." if len(standing) > 3 else "")
    return f"{len(ended)} of {len(ended) + len(going)} ended after {brief(passed)}; {shown}"


def timed_out(going: Sequence[Row], limit_s: float) -> WaitTimedOut:
    """The refusal to wait any longer."""
    more = f" and {len(going) - NAMED} more" if len(going) > NAMED else ""
    return WaitTimedOut(
        f"{count(len(going), 'run')} did not end within {brief(limit_s)}; nothing was changed",
        where=", ".join(f"{run.id} {run.state}" for run in going[:NAMED]) + more,
        fix=_waits_again([run.id for run in going]),
    )


def ending(run: Run | Row) -> str:
    """How a run ended, in one line."""
    best = f", best {run.best.metric} {run.best.value:.4g}" if run.best else ""
    error = f": {run.error}" if run.error and run.state is not State.CANCELLED else ""
    return f"{run.id} {run.name} {run.state}{best}{error}"


def verdict(runs: Sequence[Run | Row], *, told: bool = False) -> TrainqError | None:
    """What waiting for these ended runs comes to: failures weigh more than cancels. Where each end
    was told already, it only counts them."""
    failed = [run for run in runs if run.state in UNDONE]
    cancelled = [run for run in runs if run.state is State.CANCELLED]
    if failed:
        more = f"; and {count(len(failed) - 1, 'more run')}" if len(failed) > 1 else ""
        what = f"{count(len(failed), 'run')} failed" if told else ending(failed[0]) + more
        return TrainqError(what, fix=f"queue show {failed[0].id}")
    if cancelled:
        by = {run.id: run.wish_by or run.ended_by or "somebody" for run in cancelled}
        one, who = next(iter(by.items()))
        what = f"{one} was cancelled by {who}" + (
            f"; and {len(by) - 1} more" if len(by) > 1 else ""
        )
        return RunWasCancelled(what, fix=f"publisher retry {' '.join([*by][:NAMED])}")
    return None
