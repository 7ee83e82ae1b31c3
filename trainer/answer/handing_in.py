"""`trainer predict`: from finished runs to a submission file. Torch loads when it is asked."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from schemas.components.predict import Predict
from schemas.errors import TrainqError, UsageError
from schemas.overrides import split_arguments
from schemas.rundir import RunDir
from schemas.settings import Settings
from schemas.source import load
from trainer.judge.folders import spread_out

if TYPE_CHECKING:
    from trainer.answer.panel import Panel
    from trainer.answer.predict import Job

EPILOG = "Exit codes: 0 written; 2 usage; 3 a run, or data, are not there; 130 Ctrl-C."


def predict(
    words: Annotated[
        list[str], typer.Argument(metavar="RUN... [key=value]", help="Folders of finished runs.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The submission file to write.")],
    tta: Annotated[
        list[str] | None, typer.Option(help="More looks at each image: hflip, crops, scales.")
    ] = None,
    vote: Annotated[
        str | None, typer.Option(help="Of several runs: soft, hard or rank.  [default: soft]")
    ] = None,
    probabilities: Annotated[
        Path | None, typer.Option(help="Also write image,S0,S1 ... as .csv or .parquet.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA]")
    ] = None,
) -> None:
    """Answer the test set with the best weights of runs; several runs vote.

    The answers go into the competition's own table (data.test): same columns, rows and order. How
    voices count stands in the first run's config and may be changed here (predict.*). Runs of the
    tasks mask, gender and age answer the 18 classes together. What an interrupted call has done is
    not done again.

    \b
    trainer predict runs/7f3k2q -o out.csv
    trainer predict runs/7f3k2q runs/7f3k2r -o out.csv --tta hflip --vote hard
    trainer predict runs/7f3k2q -o out.csv data.test.root=eval
    trainer predict runs/resnet runs/vit -o out.csv predict.search_weights=true
    trainer predict runs/mask runs/gender runs/age -o out.csv
    """
    try:
        if vote not in (None, "soft", "hard", "rank"):
            raise UsageError(f"--vote '{vote}' is no way to vote", fix="soft, hard or rank")
        settings = Settings.read(os.environ, Path(".env"))
        more = [f"predict.vote={vote}"] if vote else []
        job, spec = asked(
            words, tta or [], more, data or settings.data, settings.cache.expanduser(), out
        )
        answer(job, spec, out, probabilities)
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error


def asked(
    words: Sequence[str],
    tta: Sequence[str],
    more: Sequence[str],
    data: Path,
    cache: Path,
    out: Path,
) -> "tuple[Job, Predict]":
    """What the command line asks for."""
    from trainer.answer import finished, views
    from trainer.answer import predict as work

    given, overrides = split_arguments(words)
    if not given:
        raise UsageError("no run was given", fix="trainer predict runs/ID -o submission.csv")
    refuse_learnt(overrides)
    folders = spread_out([Path(folder) for folder in given])
    runs = [finished.find(folder) for folder in folders]
    changed = load(RunDir(runs[0].folder).config, [*overrides, *more]).config
    job = work.Job(
        runs=runs,
        views=views.views(tta or changed.predict.tta),
        test=work.test_of(changed.data, runs[0]),
        data_root=data.resolve(),
        cache_root=cache,
        work=out.with_name(f".{out.name}.parts"),
    )
    return job, changed.predict


def refuse_learnt(overrides: Sequence[str]) -> None:
    """What a run has learnt with stays as it is: another image size would be believed, not used."""
    for text in overrides:
        key = text.partition("=")[0].strip()
        if not f"{key}.".startswith(("predict.", "data.test.")):
            raise UsageError(
                f"{key} is as the run was trained, and stays so",
                fix="predict.KEY=value or data.test.KEY=value",
            )


def answer(job: "Job", spec: Predict, out: Path, table: Path | None) -> None:
    """Say what is missing or flatters, let every run speak, write."""
    from trainer.answer import panel, progress
    from trainer.answer import predict as work

    refuse_places(job, out, table)
    console = Console(stderr=True)
    judges = panel.of(spec, work.voices(job.runs))
    warn(judges)
    with progress.shown(console) as alive:
        work.hand_in(job, judges, out, alive, table)
    typer.echo(out)


def warn(judges: "Panel") -> None:
    """Whose voice is missing, and what was fitted to luck."""
    for lacking in judges.note["missing"]:
        typer.echo(f"incomplete: {lacking}", err=True)
    for doubt in judges.note["doubts"]:
        typer.echo(f"doubtful: {doubt}", err=True)


def refuse_places(job: "Job", out: Path, table: Path | None) -> None:
    """Where nothing can be written, or something would be lost; before anything is computed."""
    from trainer.judge import tables

    sample = job.data_root / job.test.root / job.test.csv
    for each in filter(None, (out, table)):
        if each.is_dir():
            raise UsageError(f"{each} is a folder", fix="name a file")
        if each.exists() and sample.exists() and each.samefile(sample):
            raise UsageError(f"{each} is the table of the test set", fix="another file")
    if table:
        if table.absolute() == out.absolute():
            raise UsageError("--probabilities and -o name one file", fix="two files")
        tables.refuse(table)
        table.parent.mkdir(parents=True, exist_ok=True)
