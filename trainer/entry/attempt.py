"""The entry of an attempt: an order in, a result file and an exit code out, whatever happens."""

import logging
import signal
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from schemas.components.track import Track
from schemas.errors import ConfigError, TrainqError
from schemas.events import ExitCode, Order
from schemas.result import Result
from schemas.run import Cause
from schemas.rundir import RunDir, write_atomic
from schemas.source import load
from trainer import machine
from trainer.answer import gather
from trainer.crew import Crew, Solo, lost
from trainer.faults import Fault, Leave, Leaving
from trainer.report import Report
from trainer.run import run
from trainer.tracking.told import Ended

LOG = logging.getLogger(__name__)
LOADER_DIED = "DataLoader worker"  # as torch begins to say it
HOST_MEMORY = ("can't allocate memory", "not enough memory")  # torch says it in a RuntimeError


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended, in the worker's words."""

    code: ExitCode
    cause: Cause | None = None
    error: str = ""
    try_this: str = ""


def execute(order: Order, report: Report, leave: Leave, crew: Crew | None = None) -> ExitCode:
    """Run an order to its end and write down how it ended."""
    began, crew = time.monotonic(), crew or Solo()
    run_dir = RunDir(Path(order.run_dir))
    try:
        if order.kind == "gather":
            gather.run(order, report, leave)
        else:
            config = load(run_dir.config).config
            if crew.leads:
                report.tracking.begin(config, order, run_dir.attempt(order.token))
            run(config, order, report, leave, crew)
        end = End(ExitCode.FINISHED)
    except BaseException as raised:  # the one place where everything ends up, as data
        error = telling(raised)
        end = judge(error)
        say(error, end)
    progress = report.progress
    result = Result(
        token=order.token,
        exit_code=end.code,
        cause=end.cause,
        error=end.error,
        try_this=end.try_this,
        step=progress.step,
        epoch=progress.epoch,
        best=report.best,
        metrics=report.best_row(),
        seconds=round(time.monotonic() - began, 3),
        images_per_s=report.images_per_s,
        facts=report.facts | machine.peak(),
    )
    try:
        if crew.leads or end.cause:  # a helper has nothing to say of an end that is not its own
            write_atomic(crew.result(run_dir.attempt(order.token)), result_text(result))
    except OSError as error:
        LOG.error("could not write result.json: %s", error)
        if end.code == ExitCode.FINISHED:
            return ExitCode.SAVED  # nobody would believe a finish without a result
    report.tracking.end(farewell(result, report.tracking.track, run_dir))
    return end.code


def farewell(result: Result, track: Track, run_dir: RunDir) -> Ended:
    """The last that followers of a run hear."""
    weights = result.facts.get("weights") if track.weights else None
    path = str((run_dir.path / weights).absolute()) if weights else ""
    return Ended(code=result.exit_code, best=result.best, weights=path)


def result_text(result: Result) -> bytes:
    return result.model_dump_json(indent=1).encode()


def telling(error: BaseException) -> BaseException:
    """The error that says most. Torch tells of a dead loader process from a signal handler, at any
    moment: so also while the broken pipe that its death has caused is being handled here."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    except RuntimeError as death:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return death
    return machine.uncompiled(error) or error


def judge(error: BaseException) -> End:
    """What an exception means. Pure: the caller says and writes it."""
    text = one_line(error)
    if isinstance(error, Leaving):
        return End(ExitCode.SAVED, None, text)
    if isinstance(error, Fault):
        return End(ExitCode(error.exit_code), error.cause, text, error.fix)
    if isinstance(error, ConfigError):
        return End(ExitCode.CONFIG, Cause.CONFIG, f"{text}: {error.problems[0].message}")
    if isinstance(error, torch.OutOfMemoryError):
        return End(ExitCode.CUDA_OOM, Cause.CUDA_OOM, text, "twice the train.accumulate")
    if isinstance(error, MemoryError) or any(words in text for words in HOST_MEMORY):
        return End(ExitCode.CUDA_OOM, Cause.HOST_OOM, text, "twice the train.accumulate")
    if lost(error):
        told = f"lost contact with another process of this run: {text}"
        return End(ExitCode.CODE, Cause.HOST_LOST, told)
    if isinstance(error, torch.AcceleratorError) and "device-side assert" not in text:
        return End(ExitCode.CODE, Cause.GPU_FAULT, text)
    if isinstance(error, RuntimeError) and text.startswith(LOADER_DIED):
        return End(ExitCode.CODE, Cause.HOST_OOM, text, "data.workers=0, or more memory")
    if isinstance(error, ConnectionError | EOFError) and came_through(error, "dataloader.py"):
        told = f"{LOADER_DIED} died: {text}"
        return End(ExitCode.CODE, Cause.HOST_OOM, told, "data.workers=0, or more memory")
    return End(ExitCode.CODE, Cause.CODE, f"{type(error).__name__}: {text}{place(error)}")


def one_line(error: BaseException) -> str:
    """The message without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def place(error: BaseException) -> str:
    """Where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def came_through(error: BaseException, file: str) -> bool:
    """Whether it was raised below a file of this name."""
    return any(Path(f.filename).name == file for f in traceback.extract_tb(error.__traceback__))


def say(error: BaseException, end: End) -> None:
    """The log gets a line for what we foresaw and the whole traceback for what we did not."""
    if isinstance(error, Leaving):
        LOG.info("leaves: %s", error)
    elif isinstance(error, TrainqError):
        LOG.error("%s", "\n".join(error.lines()))
    elif end.cause is Cause.HOST_LOST:
        LOG.warning("%s", end.error)  # why is for that process to say
    else:
        LOG.error("%s", end.error, exc_info=error)
