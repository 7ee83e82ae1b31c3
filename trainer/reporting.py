"""`trainer report`: a run as one page to look at and to mail. Torch loads when it is asked."""

import csv
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import TrainqError, UsageError
from schemas.rundir import AttemptDir, RunDir, write_atomic
from schemas.settings import Settings
from schemas.source import load

if TYPE_CHECKING:
    from trainer.album import Story

EPILOG = "Exit codes: 0 written; 2 usage; 3 a run is not there."
FAILURES = 24


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The page.  [default: RUN/report.html]")
    ] = None,
    failures: Annotated[
        int, typer.Option(min=0, max=200, help="How many failures it shows.")
    ] = FAILURES,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA]")
    ] = None,
) -> None:
    """Write a run as one HTML page that carries everything in itself, small enough to mail.

    Scores with intervals, learning curves, calibration, confusion and confused pairs, classes, and
    the worst failures: the image as it is and as the model saw it, the truth, the five likeliest.
    A k-fold's gather run is told by what each fold said of images that it had not seen.

    \b
    trainer report runs/7f3k2q
    trainer report runs/7f3k2q -o best.html --failures 60
    """
    try:
        from trainer import album

        root = data or Settings.read(os.environ, Path(".env")).data
        story = told(run, failures, root.resolve())
        text = album.page(story).encode()
        page = out or run / "report.html"
        if not page.parent.is_dir():
            raise UsageError(f"{page.parent} is no folder", fix="another -o")
        write_atomic(page, text)
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo(f"{page}: {len(text) / 1024:,.0f} KB")
    if story.without and story.failures:
        typer.echo(f"no pictures: {story.without}", err=True)


def told(run: Path, most: int, data_root: Path) -> "Story":
    """All that the page tells."""
    from trainer import album, failures, marking, predictions
    from trainer.folders import facts_of, finished_attempt

    attempt, config = finished_attempt(run), load(RunDir(run.resolve()).config).config
    said = predictions.of_run(run)
    answers = marking.of_run(run)
    wrong, without = failures.pictured(
        failures.worst(said, most), config, len(said.classes), data_root
    )
    facts = facts_of(run)
    result = json.loads(attempt.result.read_text())
    best = result["best"]
    head = {
        "run": run.resolve().name,
        "model": config.model.name,
        "images": f"{config.data.img_size} px",
        "classes": f"{len(said.classes):,}",
        "attempt": attempt.path.name,
    }
    if "parameters" in facts:
        head["parameters"] = f"{facts['parameters']:,}"
    return album.Story(
        title=config.name or run.resolve().name,
        facts=head,
        answers=answers,
        marks=marking.marks(answers),
        rows=curve(attempt),
        best_epoch=best["epoch"] if best and best["epoch"] else None,
        failures=wrong,
        wrong=int((answers.guessed != answers.true).sum()),
        without=without,
        config=RunDir(run.resolve()).config.read_text(),
        notes=[str(facts["text"])] if "text" in facts else [],
    )


def curve(attempt: AttemptDir) -> list[dict[str, float]]:
    """The rows of metrics.csv; an empty cell was not measured in that epoch."""
    if not attempt.metrics.is_file():
        return []
    with attempt.metrics.open(newline="") as file:
        return [
            {name: float(cell) for name, cell in row.items() if cell}
            for row in csv.DictReader(file)
        ]
