"""`trainer train`: a run without any queue, for people. Torch loads when training begins.

The app of the `trainer` command; `trainer preflight` has a room of its own.
"""

import logging
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from schemas.config import TrainConfig
from schemas.contradictions import learning
from schemas.errors import TrainqError, UsageError
from schemas.events import ExitCode, Order
from schemas.result import Result
from schemas.run import new_nonce
from schemas.rundir import RunDir, write_atomic
from schemas.settings import Settings, for_wandb
from schemas.source import load
from schemas.writing import dump
from trainer import imports
from trainer.answer import cooking, ensembling, exporting, handing_in, voting
from trainer.entry import data_commands, lr_find, preview
from trainer.entry.edge import INTERRUPTED, Edge
from trainer.foresight import preflight
from trainer.judge import folders, marking
from trainer.labels import doubting, pseudo
from trainer.look import commands as look_commands
from trainer.search import by_hand as searching

LOG = logging.getLogger(__name__)
NO_ID = r"[^\w.-]"  # what W&B takes in no id
EPILOG = (
    "Exit codes: 0 finished; 1 failed; 2 config; 3 data; 4 out of memory; 5 diverged; "
    "75 saved and left; 130 Ctrl-C."
)

app = typer.Typer(
    cls=Edge,
    no_args_is_help=True,
    epilog=EPILOG,
    rich_markup_mode=None,  # plain help, as of the other tools
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def trainer() -> None:
    """Train image classifiers with timm."""


@app.command(epilog=EPILOG)
def train(
    file: Annotated[Path, typer.Argument(help="A config, YAML or JSON.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key.path=value, after the file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder; goes on from what it holds.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA, else FILE's folder]")
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that share every batch, each on a GPU.")
    ] = 1,
) -> None:
    """Train one config here and now, without the queue.

    \b
    trainer train examples/sketch_small.yaml
    trainer train examples/sketch_small.yaml optim.lr=3e-4 train.epochs=5
    trainer train examples/sketch_small.yaml --out runs/first --data ~/data
    trainer train examples/sketch_small.yaml --gpus 2
    """
    try:
        settings = Settings.read(os.environ, Path(".env"))
        os.environ.update(for_wandb(os.environ, Path(".env")))
        config = load(file, overrides or ()).config
        root = data or (settings.data if "data" in settings.model_fields_set else file.parent)
        refuse_gpus(config, gpus)
        run_dir = RunDir(out or settings.runs / (config.name or file.stem))
        order = prepare(run_dir, config, root.resolve(), settings.cache.expanduser(), gpus)
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    run_here(order)


app.command(epilog=preflight.EPILOG)(preflight.preflight)
app.command(epilog=handing_in.EPILOG)(handing_in.predict)
app.command(epilog=marking.EPILOG)(marking.score)
app.command(epilog=ensembling.EPILOG)(ensembling.ensemble)
app.command(epilog=voting.EPILOG)(voting.vote)
app.command(epilog=cooking.EPILOG)(cooking.soup)
app.command(epilog=exporting.EPILOG)(exporting.export)
app.command(epilog=pseudo.EPILOG)(pseudo.pseudo)
app.command(epilog=doubting.EPILOG)(doubting.suspects)
app.command(epilog=preview.EPILOG)(preview.preview)
app.command(epilog=searching.EPILOG)(searching.search)
app.command("lr-find", epilog=lr_find.EPILOG)(lr_find.lr_find)
app.command(epilog=look_commands.EPILOG)(look_commands.report)
app.add_typer(data_commands.app, name="data")


def prepare(
    run_dir: RunDir, config: TrainConfig, data_root: Path, cache_root: Path, gpus: int
) -> Order:
    """A new attempt in the run's folder, which must be of the same config."""
    run_dir.path.mkdir(parents=True, exist_ok=True)
    if run_dir.config.exists():
        refuse_another(run_dir, config)
    else:
        write_atomic(run_dir.config, dump(config.canonical()))
    number = 1 + sum(1 for _ in run_dir.attempts.glob("*"))
    attempt = run_dir.make_attempt(f"{number}-{new_nonce()}")
    first = min(run_dir.attempts.glob("1-*")).name
    return Order(
        run=run_dir.path.name,
        shown_as=f"{re.sub(NO_ID, '-', run_dir.path.name)[:100]}-{first[2:]}",
        token=attempt.path.name,
        run_dir=str(run_dir.path.resolve()),
        attempt_dir=str(attempt.path.resolve()),
        data_root=str(data_root),
        cache_root=str(cache_root.absolute()),
        gpus=gpus,
    )


def refuse_another(run_dir: RunDir, config: TrainConfig) -> None:
    """A folder holds one experiment, and a finished one is not trained again."""
    if load(run_dir.config).config.digest() != config.digest():
        raise UsageError(
            f"{run_dir.path} holds a run of another config",
            where=str(run_dir.config),
            fix="another --out",
        )
    for result in run_dir.attempts.glob("*/result.json"):
        if folders.read(result).exit_code == ExitCode.FINISHED:
            raise UsageError(
                f"{run_dir.path} is finished", where=str(result.parent), fix="another --out"
            )


def refuse_gpus(config: TrainConfig, gpus: int) -> None:
    """A batch that they cannot share, or GPUs that are not here; torch is asked only for several"""
    for found in learning.of_the_gpus(config.data.batch_size, config.mix, gpus):
        raise UsageError(found.text, fix=found.help)
    if gpus > 1:
        from trainer.entry import ranks

        ranks.refuse(gpus)


def run_here(order: Order) -> NoReturn:
    """Train in this process, or lead several, talking to whoever sits at the terminal."""
    from trainer.checkpoint import newest
    from trainer.entry import ranks
    from trainer.entry.attempt import execute
    from trainer.entry.terminal import at_terminal
    from trainer.faults import Leave

    imports.done()
    run_dir = RunDir(Path(order.run_dir))
    attempt = run_dir.attempt(order.token)
    relay = ranks.Relay() if order.gpus > 1 else None
    leave, interrupted = relay or Leave(), False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            os._exit(INTERRUPTED)
        interrupted = True
        os.write(2, b"\nsaving at the next step; Ctrl-C again leaves without\n")
        leave.ask("Ctrl-C")

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, lambda *_: leave.ask("SIGTERM"))
    resume = next((str(folder) for folder in newest(run_dir)), "")
    order = order.model_copy(update={"resume": resume})
    if relay:
        code = ranks.lead(order, relay)
    else:
        with at_terminal(attempt) as report:
            code = execute(order, report, leave)
    if code == ExitCode.FINISHED:
        run_dir.drop_checkpoints()
        facts = Result.model_validate_json(attempt.result.read_bytes()).facts
        typer.echo(run_dir.path / facts["weights"])
    elif code == ExitCode.SAVED:
        typer.echo("the same command goes on from here", err=True)
    sys.stdout.flush()
    os._exit(INTERRUPTED if interrupted and code == ExitCode.SAVED else code)
