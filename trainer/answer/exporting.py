"""`trainer export`: a run's best model for those who have timm and none of us."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import TrainqError, UsageError

EPILOG = "Exit codes: 0 written; 2 usage, or no model of timm; 3 the run is not there or damaged."


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new folder.")],
    backbone: Annotated[
        bool, typer.Option("--backbone", help="Without its head: features, num_classes=0.")
    ] = False,
) -> None:
    """Write the best weights as timm publishes its own: with their config and class names.

    \b
    trainer export runs/7f3k2q -o birds
    python -c "import timm; timm.create_model('local-dir:birds', pretrained=True)"
    """
    try:
        if out.exists():
            raise UsageError(f"{out} is there already", fix="another -o")
        from trainer.answer import finished, published

        told = published.write(finished.find(run), out, backbone=backbone)
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(told)
