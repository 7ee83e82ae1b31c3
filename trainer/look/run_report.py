"""`trainer report`, at work: reads a run, draws its page and its pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from schemas.errors import TrainqError
from schemas.rundir import write_atomic
from trainer.judge import marking
from trainer.look import (
    charts,
    doubted,
    drawing,
    learning,
    picked,
    raster,
    run_page,
    sight,
    subject,
)
from trainer.look.drawing import Cell, Strip
from trainer.look.marks import Chart
from trainer.look.picked import Answer
from trainer.look.pictures import photo_uri
from trainer.look.run_page import Judged, Views
from trainer.look.subject import Subject

LIMIT = 5_000_000  # bytes of a page: every mail takes it, though it grows by a third on its way
ROWS = 12  # of the sheet of worst images


@dataclass(frozen=True, slots=True)
class Made:
    """What a report has become."""

    page: Path
    note: str  # why it has no pictures


def make(folder: Path, out: Path, data_root: Path, most: int, doing: Callable[[str], None]) -> Made:
    """The page and the pictures of a run."""
    doing(f"reading {folder.name}")
    about = subject.of(folder)
    curves = learning.curves(about)
    judged = judge(about, most)
    out.mkdir(parents=True, exist_ok=True)
    views, note = Views({}, {}), ""
    if judged:
        doing(f"looking at images of {about.name}")
        try:
            views = looked(about, judged, data_root, out)
        except TrainqError as error:
            note = f"No pictures: {error}."
    doing(f"drawing {about.name}")
    for chart in [*curves, *scored(judged)]:
        write_atomic(out / f"{chart.name}.png", drawing.png(raster.picture(chart)))
    file = out / f"{about.name}.html"
    write_atomic(file, run_page.page(about, curves, judged, views, note))
    return Made(file, note)


def judge(about: Subject, most: int) -> Judged | None:
    """Its marks, where it has kept what it said."""
    if about.said is None:
        return None
    answers = marking.of_predictions(about.said)
    found = marking.marks(answers)
    chosen = picked.pick(about.said, found.matrix, found.each, most)
    return Judged(answers, found, chosen, doubted.found(about.said))


def scored(judged: Judged | None) -> Iterator[Chart]:
    if judged:
        yield charts.confusion(judged.marks.matrix, judged.answers.classes)
        if bins := judged.marks.calibration:
            yield charts.reliability(bins)


# ---- pictures ------------------------------------------------------------------------------------


def looked(about: Subject, judged: Judged, data_root: Path, out: Path) -> Views:
    """Every image that is shown, for the page; and the sheets of the worst and of classes."""
    assert about.said
    names, shown = about.said.classes, judged.names()
    config = about.folds[0].config if about.folds else about.config
    with sight.sight(config, names, data_root, shown) as eyes:
        given = {name: found for name in shown if (found := eyes.given(name))}
        worst = {a.name: found for a in judged.picked.worst if (found := eyes.seen(a.name))}
    if rows := list(failures(judged.picked.worst[:ROWS], given, worst, names)):
        write_sheet(out / "worst.png", f"{about.name}: worst images", rows)
    if rows := list(of_classes(judged, given, names)):
        write_sheet(out / "classes.png", f"{about.name}: worst and surest of each class", rows)
    return Views(
        {name: photo_uri(picture) for name, picture in given.items()},
        {name: photo_uri(picture) for name, picture in worst.items()},
    )


def write_sheet(path: Path, title: str, rows: Sequence[Strip]) -> None:
    write_atomic(path, drawing.png(drawing.sheet(title, rows)))


def failures(
    worst: Sequence[Answer],
    given: dict[str, Image.Image],
    seen: dict[str, Image.Image],
    names: Sequence[str],
) -> Iterator[Strip]:
    """A row an image: as it is, as it was seen; beside it the likeliest classes."""
    for row, answer in enumerate(a for a in worst if a.name in given and a.name in seen):
        likely = "\n".join(f"{chance:.2f} {names[label]}" for label, chance in answer.top)
        words = f"{names[answer.true]} is the truth\n{likely}"
        heads = ("as given", "as the model saw it") if not row else ()
        shown = [Cell(given[answer.name], answer.name), Cell(seen[answer.name])]
        yield Strip(words, shown, heads)


def of_classes(
    judged: Judged, given: dict[str, Image.Image], names: Sequence[str]
) -> Iterator[Strip]:
    """A row a class: mistakes first, in their own columns."""
    heads = [*("mistake",) * picked.HALF, *("right",) * picked.HALF]
    for row, one in enumerate(judged.picked.classes):
        cells = [cell(one.wrong, place, given, names) for place in range(picked.HALF)]
        cells += [cell(one.right, place, given, names) for place in range(picked.HALF)]
        yield Strip(names[one.label], cells, heads if not row else ())


def cell(
    answers: Sequence[Answer], place: int, given: dict[str, Image.Image], names: Sequence[str]
) -> Cell | None:
    if place >= len(answers) or answers[place].name not in given:
        return None
    answer = answers[place]
    return Cell(given[answer.name], f"{answer.sure:.2f} {names[answer.guessed]}")
