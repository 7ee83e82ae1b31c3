"""`trainer report`: how a run learnt, how good it is, and where it fails, on a page to mail."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from schemas.errors import TrainqError, UsageError
from schemas.rundir import RunDir
from schemas.settings import Settings

EPILOG = "Exit codes: 0 written; 2 usage; 3 a run is not there."


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for them.  [default: RUN/report]")
    ] = None,
    classes: Annotated[
        int, typer.Option(min=1, max=40, help="The worst classes get contact sheets.")
    ] = 20,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA]")
    ] = None,
) -> None:
    """Write a page a run: curves, scores, confusion, calibration, its worst images.

    One HTML file that needs no network, light enough to mail, and its charts and contact
    sheets as PNG files beside it. A k-fold's gather run shows its folds, and what each said of
    the images that it had not seen. A run that failed or goes on shows what there is. Several
    runs and --out: also compare.html, their scores, curves and configs beside each other.

    \b
    trainer report runs/7f3k2q
    trainer report runs/7f3k2q runs/9d2m4x -o reports
    """
    try:
        from trainer.look import comparison, run_report

        names = [folder.resolve().name for folder in runs]
        if out and len(set(names)) < len(names):
            raise UsageError("two runs have one name", fix="report them without --out")
        root = (data or Settings.read(os.environ, Path(".env")).data).resolve()
        console = Console(stderr=True)
        for folder, name in zip(runs, names, strict=True):
            place = out if out and len(runs) == 1 else out / name if out else RunDir(folder).report
            with console.status("reading") as status:
                made = run_report.make(folder, place, root, classes, status.update)
            if made.note:
                typer.echo(f"{made.note} Say where they are by --data.", err=True)
            typer.echo(made.page)
        if out and len(runs) > 1:
            typer.echo(comparison.make(runs, out))
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
