"""Several processes for one attempt, started and watched by torchrun's own launcher.

The trainer that took the order leads: it starts a rank for each device, passes on the wish to
leave, and ends as they ended. Rank 0 speaks to the worker itself, on the leader's pipe.
"""

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from schemas.events import ExitCode, Order
from schemas.result import Result
from schemas.run import Cause
from schemas.rundir import AttemptDir, RunDir, write_atomic
from trainer import machine
from trainer.attempt import execute
from trainer.crew import Ranks
from trainer.faults import Leave
from trainer.report import EventFile, EventPipe, Report, Sink

LOG = logging.getLogger(__name__)
LAST_WORDS_S = 5.0


class Relay(Leave):
    """A wish to leave that goes on to rank 0, through a pipe that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self._writer = os.pipe()

    def ask(self, reason: str) -> None:
        if not self.reason:
            with contextlib.suppress(OSError):
                os.write(self._writer, reason.encode()[:200] + b"\n")
        super().ask(reason)


def lead(order: Order, events: int, leave: Relay) -> ExitCode:
    """Start the ranks of an attempt and wait for their end; `events` is where rank 0 speaks."""
    attempt = RunDir(Path(order.run_dir)).attempt(order.token)
    signal.signal(signal.SIGUSR1, lambda *_: pass_on(signal.SIGUSR1))
    words = ["rank", *map(str, (os.getpid(), events, leave.reader)), order.model_dump_json()]
    failures: Mapping[int, ProcessFailure] = {}
    try:
        elastic_launch(launch(order.gpus), sys.executable)("-m", "trainer", *words)
    except ChildFailedError as error:
        failures = error.failures
    return settle(attempt, failures)


def launch(count: int) -> LaunchConfig:
    """torchrun on this host alone: no restarts, which are the queue's business."""
    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the ranks say themselves what it was
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // count)))
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle="SIGUSR2",  # SIGTERM is ours: the ranks save before they leave
        virtual_local_rank=torch.cuda.is_available(),
    )


def settle(attempt: AttemptDir, failures: Mapping[int, ProcessFailure]) -> ExitCode:
    """The attempt's result: rank 0's, or that of the rank whose end came first and ended all."""
    ends = [Result.model_validate_json(path.read_bytes()) for path in told(attempt)]
    struck = [end.exitcode for end in failures.values() if end.exitcode < -1]
    signals = [-code for code in struck if code != -signal.SIGTERM]  # that is how the others end
    if signals and all(end.cause is Cause.CODE for end in ends):
        os.kill(os.getpid(), signals[0])  # so it looks like what it is; the others only lost it
    for end in ends:
        write_atomic(attempt.result, end.model_dump_json(indent=1).encode())
        return ExitCode(end.exit_code)
    return ExitCode.CODE


def told(attempt: AttemptDir) -> list[Path]:
    """What the ranks said of their end, the first one first."""
    return sorted(attempt.path.glob("rank-*.json"), key=lambda path: path.stat().st_mtime_ns)


def pass_on(number: signal.Signals) -> None:
    """A signal for all ranks: they have sessions of their own."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    for pid in children.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), number)


# ---- in a rank -----------------------------------------------------------------------------------


def work(leader: int, events: int, wishes: int, order: Order) -> ExitCode:
    """One rank of an attempt, from its start to its end."""
    first = os.environ["RANK"] == "0"
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("trainer").setLevel(logging.INFO if first else logging.ERROR)
    leave, sinks, pipe = Leave(), list[Sink](), None
    if first:
        pipe = EventPipe(os.open(f"/proc/{leader}/fd/{events}", os.O_WRONLY))
        sinks = [EventFile(RunDir(Path(order.run_dir)).attempt(order.token).events), pipe]
        wish = Path(f"/proc/{leader}/fd/{wishes}")
        threading.Thread(target=listen, args=(wish, leave), daemon=True).start()
    code = execute(order, Report(sinks), leave, Ranks(machine.device()))
    if pipe:
        pipe.flush(LAST_WORDS_S)
    return code


def listen(wish: Path, leave: Leave) -> None:
    """Take the wish to leave, when it comes."""
    with wish.open() as words:
        leave.ask(words.readline().strip() or "the leader is gone")
