"""`worker`: the daemon of one GPU. Only wires: settings, logging, the one error handler."""

import atexit
import gc
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from queue_worker import steer
from queue_worker.gpus.admission import Manners
from schemas.amounts import megabytes_of
from schemas.errors import EXIT_CODES, TrainqError, UsageError
from schemas.settings import Settings, for_wandb

AT_A_TAB = "_WORKER_COMPLETE"  # set where a shell asks what to offer

# Objects between two looks for garbage. Python's own 700, and a last look, are a fifth of what it
# costs to start and to end; a worker leaves hardly any, and lives long.
GARBAGE = 50_000

EXAMPLES = """\b
Examples:
  worker --gpu 0                take runs for GPU 0 until asked to leave
  worker --gpu 0,1              two GPUs, one run at a time (submit --gpus 2)
  worker --gpu 0 --wait-for-gpu --min-free-mem 12G     beside people's work
  worker --gpu cpu --burst      without a GPU, until nothing is left to take
  worker --gpu 0 --update       between runs follow newer code, fast-forward
  worker --gpu 1 --max-runs 1   one attempt, for Slurm or cron

Also: worker list, worker drain LANE|HOST, worker resume LANE|HOST; each has a --help.
"""

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog=f"{EXAMPLES}\n{EXIT_CODES}")
def worker(
    gpu: Annotated[
        str, typer.Option(help="A GPU by its number, several (0,1), or cpu (cpu:1, cpu:2 ...).")
    ],
    wait_for_gpu: Annotated[
        bool, typer.Option("--wait-for-gpu", help="Take nothing while others compute there.")
    ] = False,
    min_free_mem: Annotated[
        str, typer.Option(metavar="SIZE", help="... or while less than this is free, as in 12G.")
    ] = "",
    burst: Annotated[bool, typer.Option("--burst", help="Leave when nothing is to do.")] = False,
    max_runs: Annotated[int | None, typer.Option(min=1, help="Leave after so many runs.")] = None,
    warm: Annotated[
        bool,
        typer.Option(help="Keep the next trainer imported (0.7 GB), so that runs start at once."),
    ] = True,
    update: Annotated[
        bool, typer.Option("--update", help="Between runs follow the checkout's upstream branch.")
    ] = False,
    trainer_command: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Take runs from the queue and train them, one at a time.

    Ctrl-C or SIGTERM drains: the run saves a checkpoint and goes back to its place in the queue.
    """
    from queue_worker import start  # rq, redis and psutil are not needed for --help

    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.INFO, stream=sys.stderr
    )
    logging.getLogger("rq.worker").setLevel(logging.WARNING)  # it tells every success too
    settings = Settings.read(os.environ, Path(".env"))
    os.environ.update(for_wandb(os.environ, Path(".env")))  # trainers inherit them
    try:
        manners = _manners(wait_for_gpu, min_free_mem)
        if update and (burst or max_runs):
            raise UsageError("--update is for a worker that stays", fix="leave it out")
        options = start.Options(gpu, manners, burst, max_runs, warm, trainer_command, update)
        if start.run(options, settings):  # the same process, so that systemd keeps it
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except KeyboardInterrupt as error:  # before the worker has handlers of its own
        raise typer.Exit(130) from error


def _manners(wait: bool, min_free_mem: str) -> Manners:
    """How to behave beside others on the card."""
    if min_free_mem and not wait:
        raise UsageError(
            "--min-free-mem says what to wait for, and nothing waits",
            fix=f"--wait-for-gpu --min-free-mem {min_free_mem}",
        )
    return Manners(wait, megabytes_of(min_free_mem, "--min-free-mem"))


def main() -> None:
    """The console script."""
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)
    try:
        try:
            _run(sys.argv[1:])
        finally:
            sys.stdout.flush()  # a full disk is heard of here
    except TrainqError as error:
        _tell(error)
    except BrokenPipeError as error:  # whoever read it has enough
        _give_up_stdout()
        raise SystemExit(0) from error
    except OSError as error:  # a full disk, a folder that may not be written
        _tell(TrainqError(os.strerror(error.errno or 0).lower(), where=str(error.filename or "")))


def _run(words: list[str]) -> None:
    if AT_A_TAB in os.environ:
        whole()(prog_name="worker")
    elif words[:1] and words[0] in steer.VERBS:
        steer.app(prog_name="worker")
    else:
        app(words[1:] if words[:1] == ["run"] else words, prog_name="worker")


def whole() -> typer.Typer:
    """Taking runs and the verbs as one command, which is how a shell sees them."""
    whole = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    whole.callback(invoke_without_command=True)(worker)
    whole.command("run")(worker)
    whole.add_typer(steer.app)
    return whole


def _tell(error: TrainqError) -> NoReturn:
    print("\n".join(error.lines()), file=sys.stderr)
    _give_up_stdout()
    raise SystemExit(error.exit_code) from error


def _give_up_stdout() -> None:
    """Where nobody takes it, the interpreter's own last flush would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
