"""A trainer that waits, warm, for one order of its worker and then runs it.

Worker and trainer share a run folder, two pipes and an exit code. Standard library only until the
pipes are safe: the heavy imports come after them.
"""

import faulthandler
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from schemas.events import FENCED, ExitCode, Order, Warm
from schemas.rundir import RunDir
from trainer import imports
from trainer.faults import Leave
from trainer.report import EventFile, EventPipe, Report

LOG = logging.getLogger(__name__)
LAST_WORDS_S = 5.0  # for lines that a slow reader still has to take
LISTEN_S = 0.5  # how soon an idle trainer notices that it should go
# of the silence that sends us away, counted from the last beat: the rest is for the last save. The
# lease was renewed at most a fifth of itself before that beat, so it still holds: 0.6 * 1.25 < 0.8
GONE = 1.25


def attend() -> ExitCode:
    """Get warm, take one order, run it."""
    pipe = EventPipe(take_stdout())
    leave = Leave()
    signal.signal(signal.SIGTERM, lambda *_: leave.ask("SIGTERM"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the worker's to judge
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)

    import torch  # seconds: done before there is a run that waits for it

    from trainer import snapshot
    from trainer.entry import ranks
    from trainer.entry.attempt import execute

    imports.done()
    snapshot.take()  # what was imported now is what will run
    pipe(Warm(torch=torch.__version__, cuda=torch.version.cuda or ""))
    order = await_order(0, leave)
    if order is None:
        return ExitCode.SAVED
    attempt = RunDir(Path(order.run_dir)).attempt(order.token)
    take_log(attempt.log)
    os.environ.update(order.env)
    os.chdir(attempt.path)
    relay = ranks.Relay()
    if order.gpus > 1:
        single, leave = leave, relay
        if single.reason:  # asked after the change: a signal may come at any moment
            relay.ask(single.reason)
    if order.silence_s:
        watcher = threading.Thread(target=watch, args=(0, order.silence_s, leave), daemon=True)
        watcher.start()
    if order.gpus > 1:
        return ranks.lead(order, relay, pipe.descriptor)
    report = Report([EventFile(attempt.events), pipe])
    code = execute(order, report, leave)
    pipe.flush(LAST_WORDS_S)
    return code


def take_stdout() -> int:
    """Keep stdout for our lines alone; whatever else is printed goes where stderr goes."""
    private = os.dup(1)  # not inherited by programs that are executed
    os.dup2(2, 1)
    return private


def take_log(path: Path) -> None:
    """From here on everything that is printed, by whomever, is the run's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("trainer").setLevel(logging.INFO)


def await_order(descriptor: int, leave: Leave) -> Order | None:
    """The one line on stdin; None when the worker goes away or sends us away first."""
    line, end, beats = b"", b"", b""
    while not end:
        if leave.reason:
            return None
        if select.select([descriptor], [], [], LISTEN_S)[0]:
            words = os.read(descriptor, 65536)
            if not words:
                return None
            line, end, beats = (line + words).partition(b"\n")
    if fenced(beats):
        return None
    try:
        return Order.model_validate_json(line)
    except ValidationError as error:
        raise SystemExit(f"this is no order: {error}") from error


def watch(
    descriptor: int,
    silence_s: float,
    leave: Leave,
    leave_now: Callable[[int], None] = os._exit,
) -> None:
    """Without a worker we save and leave, and a little later we are gone in any case, before the
    lease is: nothing is written once another attempt may begin.
    """
    leave.ask(listen(descriptor, silence_s, leave, leave_now))
    time.sleep(max(0.0, leave.ours_until - time.monotonic()))
    leave_now(ExitCode.SAVED)


def listen(
    descriptor: int, silence_s: float, leave: Leave, leave_now: Callable[[int], None]
) -> str:
    """Take beats until they stop; why there are no more."""
    heard = time.monotonic()
    while True:
        leave.ours_until = heard + GONE * silence_s
        # what lies in the pipe is looked at before the clock: we may have been frozen ourselves
        if select.select([descriptor], [], [], silence_s / 20)[0]:
            words = os.read(descriptor, 4096)
            if not words:
                return "the worker is gone"
            if fenced(words):
                leave_now(ExitCode.SAVED)
            heard = time.monotonic()
        elif (silent := time.monotonic() - heard) > silence_s:
            return f"no beat for {silent:.1f} s"


def fenced(words: bytes) -> bool:
    """Whether the worker said that the lease is lost: nothing of ours counts any more."""
    return FENCED.strip() in words
