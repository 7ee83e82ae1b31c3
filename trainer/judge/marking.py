"""`trainer score`: marks a file of answers against the truth, as a leaderboard would, or what a
run said of the images that it had not seen.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import TrainqError, UsageError, count
from trainer.judge.folders import result_of
from trainer.judge.sheets import Sheet, compare, read

if TYPE_CHECKING:
    from trainer.judge.predictions import Predictions, Probabilities
    from trainer.judge.scores import Calibration, Counts, Interval, Labels, PerClass

EPILOG = "Exit codes: 0 marked; 2 usage; 3 the files are unreadable or do not belong together."
SHOWN = 20  # classes; of more, those that went worst
PAIRS = 5  # of classes that are taken for each other
TOP = 5
NAME = 28  # letters of a class that a line has room for
WIDE = 80  # of a page
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, what would have been right, and whom each image shows."""

    true: "Labels"
    guessed: "Labels"
    groups: "Labels"
    classes: tuple[str, ...]
    drawn: str  # what an interval draws again, in words
    probabilities: "Probabilities | None" = None  # of a run; a file of answers has none
    lacks: str = ""  # of a k-fold whose folds did not all finish


@dataclass(frozen=True, slots=True)
class Task:
    """One of several answers that a class is at once."""

    words: tuple[str, ...]
    values: Mapping[str, float]
    each: "PerClass"


@dataclass(frozen=True, slots=True)
class Marks:
    """Everything that is said of them."""

    values: Mapping[str, float]
    likely: "Mapping[str, Interval]"
    matrix: "Counts"
    each: "PerClass"
    tasks: Mapping[str, "Task"]  # where a class is several answers at once
    calibration: "Calibration | None"


def score(
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="A CSV with the right answers, or a RUN.")
    ],
    answers: Annotated[
        Path | None, typer.Argument(metavar="ANSWERS", help="A CSV as it was handed in.")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="COLUMN", help="Of TRUTH: who an image is of.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, to stdout.")] = False,
) -> None:
    """Mark answers: accuracy, macro F1, every class, and how sure that is.

    A submission file is marked against a table of the truth, ImageID,ans or ID,image_path,target. A
    run's folder is marked by what its best weights said of its validation images, a k-fold by what
    each fold said of those it had not seen: then also top-5 and calibration. The interval
    draws images again, or whole people (of a file: --by), whose images are not independent.

    \b
    trainer score info.csv submission.csv
    trainer score gt.csv submission.csv --by person
    trainer score runs/7f3k2q
    """
    try:
        if truth.is_dir() and (answers or by):
            raise UsageError(f"{truth} is a run and is marked alone", fix=f"trainer score {truth}")
        if not truth.is_dir() and answers is None:
            raise UsageError(f"{truth} is no run's folder", fix="trainer score TRUTH ANSWERS")
        given = of_run(truth) if answers is None else of_files(read(truth, by), read(answers))
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    found = marks(given)
    typer.echo(record(given, found) if as_json else "\n".join(page(given, found)))


# ---- marking -------------------------------------------------------------------------------------


def of_files(right: Sheet, given: Sheet) -> Answers:
    """Two tables of the same images."""
    import numpy as np

    compare(right, given)
    names = list(right.answers)
    true = np.array([right.answers[name] for name in names])
    guessed = np.array([given.answers[name] for name in names])
    number = {group: place for place, group in enumerate(dict.fromkeys(right.groups.values()))}
    groups = np.array([number[right.groups[name]] for name in names])
    classes = tuple(map(str, range(int(max(true.max(), guessed.max())) + 1)))
    drawn = "images" if len(number) == len(names) else f"{len(number):,} groups"
    return Answers(true, guessed, groups, classes, drawn)


def of_run(folder: Path) -> Answers:
    """What a run said of its validation images."""
    from trainer.judge import predictions

    return replace(of_predictions(predictions.of_run(folder)), lacks=lacks(folder))


def lacks(folder: Path) -> str:
    """Of a k-fold's gather run: which folds it had to do without."""
    result = result_of(folder)
    whole = result.metrics.get("n", 0) >= result.metrics.get("of", 0)
    return "" if whole else str(result.facts.get("text", ""))


def of_predictions(said: "Predictions") -> Answers:
    """What was said of some images, with how sure it was."""
    import numpy as np

    _, people = np.unique(np.array(said.persons), return_inverse=True)
    drawn = "images" if said.persons == said.names else count(int(people.max()) + 1, "person")
    guessed = said.probabilities.argmax(1)
    words = drawn.replace("persons", "people")
    return Answers(said.true, guessed, people, said.classes, words, said.probabilities)


def marks(given: Answers) -> Marks:
    """All scores of some answers."""
    from trainer.judge import scores

    classes, said = len(given.classes), given.probabilities
    matrix = scores.confusion(given.true, given.guessed, classes)
    values = {"accuracy": scores.accuracy(matrix), "macro_f1": scores.macro_f1(matrix)}
    likely = scores.intervals(given.true, given.guessed, given.groups, classes)
    if said is not None and classes > TOP:
        hits = scores.among(said, given.true, TOP)
        values["top5"], likely["top5"] = float(hits.mean()), scores.of_mean(hits, given.groups)
    calibration = None if said is None else scores.calibration(said, given.true)
    return Marks(
        values, likely, matrix, scores.per_class(matrix), of_tasks(matrix, given), calibration
    )


def of_tasks(matrix: "Counts", given: Answers) -> dict[str, Task]:
    """Of mask, gender and age apart, where a class is all three."""
    from trainer.judge import scores
    from trainer.judge.tasks import tasks

    words = tasks(given.classes)
    shape = tuple(map(len, words))
    found = {}
    for place, names in enumerate(words):
        others = tuple(axis for axis in range(2 * len(shape)) if axis % len(shape) != place)
        alone = matrix.reshape(shape * 2).sum(others)
        values = {"accuracy": scores.accuracy(alone), "macro_f1": scores.macro_f1(alone)}
        found[" ".join(names)] = Task(names, values, scores.per_class(alone))
    return found


# ---- for people and for programs -----------------------------------------------------------------


def page(given: Answers, found: Marks) -> list[str]:
    """Eighty columns: scores, then classes, then what is taken for what."""
    from trainer.judge import scores

    lines = [
        f"{title(name):10}{told(value, found.likely[name])}" for name, value in found.values.items()
    ]
    if found.calibration:
        sure, right = found.calibration.mean_confidence, found.values["accuracy"]
        gap = f"{found.calibration.error:.4f}"
        lines.append(f"{'ECE':10}{gap}   {sure:.1%} sure, {right:.1%} right")
    images, classes = len(given.true), int(found.each.seen.sum())
    lines.append(
        f"{images:,} images, {classes} classes; 95% intervals by drawing {given.drawn}",
    )
    lines += incomplete([given.lacks])
    lines += ["", *table(found.each, given.classes)]
    for words, task in found.tasks.items():
        told_ = f"accuracy {task.values['accuracy']:.4f}  macro F1 {task.values['macro_f1']:.4f}"
        lines += ["", f"{told_}  {words}"[:WIDE], *table(task.each, task.words)]
    if given.probabilities is not None and (pairs := scores.confused(found.matrix, PAIRS)):
        lines += ["", "MOST CONFUSED"]
        lines += [
            f"{times:6,}  {short(given.classes[true])} taken for {short(given.classes[guessed])}"
            for true, guessed, times in pairs
        ]
    return lines


def incomplete(lacks: Iterable[str]) -> list[str]:
    """What is missing, on as many lines as it takes."""
    return [
        line
        for text in lacks
        if text
        for line in wrap(
            f"incomplete: {text}", WIDE, subsequent_indent="  ", break_on_hyphens=False
        )
    ]


def title(name: str) -> str:
    return {"macro_f1": "macro F1", "top5": "top-5"}.get(name, name)


def told(value: float, likely: "Interval") -> str:
    return f"{value:.4f}   {likely.low:.4f} .. {likely.high:.4f}"


def table(each: "PerClass", classes: tuple[str, ...]) -> list[str]:
    """A line a class; of many the worst, worst first."""
    order = [int(label) for label in each.seen.nonzero()[0]]
    more = len(order) - SHOWN
    if more > 0:
        order = sorted(order, key=lambda label: (each.f1[label], label))[:SHOWN]
    width = max(5, *(len(short(classes[label])) for label in order))
    lines = [
        f"{short(classes[label]):>{width}}  {each.support[label]:6,}  {each.precision[label]:9.3f}"
        f"  {each.recall[label]:6.3f}  {each.f1[label]:6.3f}"
        for label in order
    ]
    rest = [f"{more} better classes are not shown: --json"] if more > 0 else []
    return [f"{'CLASS':<{width}}  IMAGES  PRECISION  RECALL      F1", *lines, *rest]


def short(name: str) -> str:
    """As much of a name as a line has room for."""
    return name if len(name) <= NAME else f"{name[: NAME - 3]}..."


def record(given: Answers, found: Marks) -> str:
    """All of it for programs; of the confusion matrix what is not 0."""
    each = found.each
    names = () if given.probabilities is None else given.classes
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "images": len(given.true),
        "groups": len(set(given.groups.tolist())),
        "scores": {
            name: {"value": value, "low": found.likely[name].low, "high": found.likely[name].high}
            for name, value in found.values.items()
        },
        "incomplete": given.lacks,
        "tasks": {
            words: {**task.values, "classes": rows(task.each, task.words)}
            for words, task in found.tasks.items()
        },
        "classes": rows(each, names),
        "confusion": [
            {"true": int(true), "answer": int(guessed), "images": int(found.matrix[true, guessed])}
            for true, guessed in zip(*found.matrix.nonzero(), strict=True)
        ],
    }
    if found.calibration:
        bins = found.calibration
        facts["calibration"] = {
            "error": bins.error,
            "confidence": bins.confidence.tolist(),
            "accuracy": bins.accuracy.tolist(),
            "images": bins.images.tolist(),
        }
    return json.dumps(facts, indent=2)


def rows(each: "PerClass", names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each class that was there or answered, with its name where it has one."""
    return [
        {
            "class": label,
            **({"name": names[label]} if names else {}),
            "images": int(each.support[label]),
            "precision": float(each.precision[label]),
            "recall": float(each.recall[label]),
            "f1": float(each.f1[label]),
        }
        for label in map(int, each.seen.nonzero()[0])
    ]
