"""Several processes for one attempt, started and watched by torchrun's own launcher.

The trainer that took the order leads: it starts a rank for each device, passes on the wish to
leave, and ends as they ended. Rank 0 speaks for all: to the worker on the leader's pipe, or to
whoever sits at the terminal.
"""

import faulthandler
import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import torch
from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from schemas.errors import count as number
from schemas.events import ExitCode, Order
from schemas.result import Result
from schemas.run import Cause
from schemas.rundir import AttemptDir, RunDir, write_atomic
from trainer import machine
from trainer.crew import Ranks
from trainer.entry.attempt import execute, result_text
from trainer.entry.terminal import at_terminal
from trainer.faults import ConfigFault, Leave
from trainer.report import EventFile, EventPipe, Report

LOG = logging.getLogger(__name__)
LAST_WORDS_S = 5.0
TERMINAL = 0  # instead of a pipe to a worker


class Relay(Leave):
    """A wish to leave that goes on to rank 0, through a pipe that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self._writer = os.pipe()

    def ask(self, reason: str) -> None:
        if not self.reason:
            with suppress(OSError):
                os.write(self._writer, reason.encode()[:200] + b"\n")
        super().ask(reason)


def refuse(count: int) -> None:
    """More processes than GPUs would share one; without any GPU they are as many as one likes."""
    if torch.cuda.is_available() and torch.cuda.device_count() < count:
        here = number(torch.cuda.device_count(), "GPU")
        raise ConfigFault(f"{count} GPUs were asked for, here is {here}", fix="a smaller --gpus")


def lead(order: Order, leave: Relay, events: int = TERMINAL) -> ExitCode:
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
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # each rank advises on what `crew` needs
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        logs_specs=OurLog(),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle="SIGUSR2",  # SIGTERM is ours: the ranks save before they leave
        virtual_local_rank=torch.cuda.is_available(),
    )


class OurLog(LogsSpecs):
    """The ranks write where their leader writes, and nothing is left in a temporary folder."""

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        same = dict.fromkeys(envs, "")
        return LogsDest(same, same, error_files=dict.fromkeys(envs, os.devnull))

    @property
    def root_log_dir(self) -> str:
        return os.devnull


def settle(attempt: AttemptDir, failures: Mapping[int, ProcessFailure]) -> ExitCode:
    """The attempt ends as the rank whose end came first: with its result, or by its signal."""
    ends = {rank: Result.model_validate_json(path.read_bytes()) for rank, path in told(attempt)}
    own = {rank: end for rank, end in ends.items() if end.cause is not Cause.HOST_LOST}
    signals = [signal.Signals(-one.exitcode) for one in failures.values() if one.exitcode < 0]
    # torchrun ends the others by SIGTERM, so of two that one is not the reason
    signals.sort(key=lambda number: number == signal.SIGTERM)
    struck = signals and signals[0] != signal.SIGTERM
    if not own or (struck and all(end.cause is Cause.CODE for end in own.values())):
        mute = any(one.exitcode > 0 and rank not in ends for rank, one in failures.items())
        if signals and (struck or not mute):
            end_by(signals[0])  # so that it looks like what it is
    if not ends:
        return ExitCode.CODE
    rank, end = decisive(own or ends)
    if rank and end.cause:
        LOG.error("rank %s: %s", rank, end.error)
    write_atomic(attempt.result, result_text(end))
    return ExitCode(end.exit_code)


def decisive(ends: Mapping[int, Result]) -> tuple[int, Result]:
    """The first one; when rank 0 came to the same end it tells more."""
    rank, first = next(iter(ends.items()))
    alike = 0 in ends and ends[0].cause is first.cause
    return (0, ends[0]) if alike else (rank, first)


def told(attempt: AttemptDir) -> list[tuple[int, Path]]:
    """What the ranks said of their end, the first one first."""
    found = sorted(attempt.path.glob("rank-*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [(int(path.stem.removeprefix("rank-")), path) for path in found]


def end_by(number: signal.Signals) -> NoReturn:
    """End as a rank has ended, whatever we do with this signal otherwise."""
    LOG.error("a process of this run was ended by %s", number.name)
    logging.shutdown()
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def pass_on(number: signal.Signals) -> None:
    """A signal for all ranks: they have sessions of their own."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    for pid in children.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), number)


# ---- in a rank -----------------------------------------------------------------------------------


def work(leader: int, events: int, wishes: int, order: Order) -> ExitCode:
    """One rank of an attempt, from its start to its end."""
    rank, leave = os.environ["RANK"], Leave()
    faulthandler.register(signal.SIGUSR1, file=sys.stderr, all_threads=True)
    if rank == "0":
        wish = Path(f"/proc/{leader}/fd/{wishes}")
        threading.Thread(target=listen, args=(wish, leave), daemon=True).start()
        attempt = RunDir(Path(order.run_dir)).attempt(order.token)
        voice = at_terminal(attempt) if events == TERMINAL else on_pipe(attempt, leader, events)
    else:
        voice = silent(rank)
    with voice as report:
        return execute(order, report, leave, Ranks(machine.device()))


@contextmanager
def on_pipe(attempt: AttemptDir, leader: int, events: int) -> Iterator[Report]:
    """Rank 0 is heard by the worker, and its words are the run's log."""
    pipe = EventPipe(os.open(f"/proc/{leader}/fd/{events}", os.O_WRONLY))
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("trainer").setLevel(logging.INFO)
    yield Report([EventFile(attempt.events), pipe])
    pipe.flush(LAST_WORDS_S)


@contextmanager
def silent(rank: str) -> Iterator[Report]:
    """The others say only what nobody foresaw; a fault of theirs is told when it is the end."""
    os.dup2(2, 1)
    said = f"%(asctime)s rank {rank}: %(message)s"
    logging.basicConfig(format=said, datefmt="%H:%M:%S", stream=sys.stderr, level=logging.ERROR)
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: record.exc_info is not None)
    yield Report([])


def listen(wish: Path, leave: Leave) -> None:
    """Take the wish to leave, when it comes."""
    with wish.open() as words:
        leave.ask(words.readline().strip() or "the leader is gone")
