"""`trainer pseudo`: what runs say of images without answers, as rows that the next run learns from.

Torch loads when it is asked. The rows are `data.extra`, which trains and never validates.
"""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from schemas.components.sources import TestRows
from schemas.errors import TrainqError, UsageError, count
from schemas.rundir import write_atomic
from schemas.settings import Settings
from trainer.answer import handing_in

if TYPE_CHECKING:
    from trainer.answer.predict import Answered, Job
    from trainer.judge.scores import Labels, Numbers

EPILOG = "Exit codes: 0 written; 2 usage; 3 a run, or data, are not there; 130 Ctrl-C."
COLUMNS = ("image_path", "target", "confidence")


def pseudo(
    words: Annotated[
        list[str], typer.Argument(metavar="RUN... [key=value]", help="Folders of finished runs.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The table to write.")],
    at_least: Annotated[
        list[str] | None,
        typer.Option(metavar="[CLASS=]P", help="How sure a label must be.  [default: 0.9]"),
    ] = None,
    tta: Annotated[
        list[str] | None, typer.Option(help="More looks at each image: hflip, crops, scales.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA]")
    ] = None,
) -> None:
    """Label the test set where runs are sure, for the next run to learn from.

    Writes a table, beside it FILE.json with what it came from, and prints the piece of a config
    that learns from it. Such rows never validate. A class has a threshold of its own by number or
    name. Runs vote as in `trainer predict`.

    \b
    trainer pseudo runs/7f3k2q runs/7f3k2r -o data/sketch/pseudo.csv --at-least 0.8
    trainer pseudo runs/7f3k2q -o data/sketch/pseudo.csv --at-least 0.8 --at-least 3=0.95
    """
    try:
        settings = Settings.read(os.environ, Path(".env"))
        root = data or settings.data
        job, spec = handing_in.asked(
            words, tta or [], [], root, settings.cache.expanduser(), out.absolute()
        )
        lines = label(job, spec, out, at_least or ["0.9"])
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo("\n".join(lines))


def label(job: "Job", spec: Any, out: Path, said: Sequence[str]) -> list[str]:
    """Let the runs speak, keep what is sure, write; what to say of it."""
    from trainer.answer import panel
    from trainer.answer import predict as work

    handing_in.refuse_places(job, out, None)
    judges = panel.of(spec, work.voices(job.runs))
    least = thresholds(said, judges.classes)
    handing_in.warn(judges)
    with Console(stderr=True).status("reading") as status:
        done = work.answered(job, judges, status.update)
    kept = sure(done.answers, done.together, least)
    write_atomic(out, table(done, kept))
    numbers = Counter(judges.classes[label] for label in done.answers[kept].tolist())
    facts = {
        **work.note(job, judges),
        "weights_sha256": {run.name: digest(run.weights) for run in job.runs},
        "labels_seen_in": sorted({str(run.meta["data"]) for run in job.runs}),
        "at_least": dict(zip(judges.classes, least.tolist(), strict=True)),
        "images": len(done.answers),
        "kept": len(kept),
        "of_class": {name: numbers[name] for name in judges.classes},
    }
    work.write_note(out, facts)
    shutil.rmtree(job.work)
    none = [name for name in judges.classes if not numbers[name]]
    lines = [f"{out}: {len(kept)} of {count(len(done.answers), 'image')}"]
    lines += [f"no image of {', '.join(none[:5])}{' ...' if none[5:] else ''}"] if none else []
    if not len(kept):
        return [*lines, "nothing to learn from: a lower --at-least, or surer runs"]
    return [*lines, *piece(out, job.test, job.data_root, float(least.min()))]


def thresholds(said: Sequence[str], classes: Sequence[str]) -> "Numbers":
    """How sure a label of each class must be: `0.8` for all, `CLASS=0.95` for one."""
    import numpy as np

    least = np.full(len(classes), 0.9)
    for each in sorted(said, key=lambda text: "=" in text):  # what is said of all comes first
        name, _, number = each.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            what = f"--at-least {each}: {number!r} is no number from 0 to 1"
            raise UsageError(what, fix="--at-least 0.8, or CLASS=0.95")
        if not name:
            least[:] = value
        else:
            least[place_of(name, classes, each)] = value
    return least


def place_of(name: str, classes: Sequence[str], said: str) -> int:
    """A class by its name or its number."""
    if name in classes:
        return list(classes).index(name)
    if name.isascii() and name.isdigit() and int(name) < len(classes):
        return int(name)
    raise UsageError(
        f"--at-least {said}: there is no class {name!r}",
        fix=f"a number below {len(classes)}, or one of {', '.join(list(classes)[:3])} ...",
    )


def sure(answers: "Labels", together: Any, least: "Numbers") -> "Labels":
    """Which images are labelled surely enough."""
    import numpy as np

    return np.flatnonzero(together[np.arange(len(answers)), answers] >= least[answers])


def table(done: "Answered", kept: "Labels") -> bytes:
    """A row an image, as `data.extra` reads it."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for image in kept.tolist():
        target = int(done.answers[image])
        rows.writerow((done.images.names[image], target, f"{done.together[image, target]:.6f}"))
    return text.getvalue().encode()


def digest(weights: Path) -> str:
    from trainer import checkpoint

    return checkpoint.checksum(weights / checkpoint.WEIGHTS)


def piece(out: Path, test: TestRows, data_root: Path, least: float) -> list[str]:
    """What to write into a config; the table must lie below the data root."""
    below = out.resolve()
    facts: Mapping[str, str]
    if below.is_relative_to(data_root / test.root):
        where = below.relative_to(data_root / test.root).as_posix()
        facts = {"root": test.root, "csv": where, "images": test.images}
    else:
        inside = below.is_relative_to(data_root)
        where = below.relative_to(data_root).as_posix() if inside else out.name
        facts = {"csv": where, "images": f"{test.root}/{test.images}"}
    words = ", ".join(f"{key}: {value}" for key, value in facts.items())
    lines = [
        "data:",
        "  extra:",
        f"    - {{origin: pseudo-{least:g}, {words}, confidence: confidence}}",
    ]
    away = [] if below.is_relative_to(data_root) else [f"# copy {out} to {data_root} first"]
    return [*away, *lines]
