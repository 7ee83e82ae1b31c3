"""The learning curves of a run, or of all folds of a k-fold. Pure."""

from collections.abc import Iterator, Sequence

from trainer.look import charts
from trainer.look.charts import Curve
from trainer.look.marks import Chart
from trainer.look.run_page import fold_number
from trainer.look.subject import Row, Subject

KINDS = (  # a chart: its name, what it shows, and which columns of metrics.csv
    ("loss", "Loss", (("train_loss", "training"), ("loss", "validation"))),
    ("scores", "Scores on validation images", (("accuracy", "accuracy"), ("macro_f1", "macro F1"))),
    ("rate", "Learning rate", (("lr", "learning rate"),)),
)


def curves(subject: Subject) -> list[Chart]:
    """What changed from epoch to epoch."""
    if subject.gathers:
        return list(of_folds(subject.folds))
    best = subject.result.best if subject.result else None
    found = []
    for name, says, columns in KINDS:
        given = [Curve(words, points(subject.rows, column)) for column, words in columns]
        if there := [curve for curve in given if curve.points]:
            found.append(charts.curves(name, says, there, best=best.epoch if best else None))
    return found


def of_folds(folds: Sequence[Subject]) -> Iterator[Chart]:
    """A chart a column, a curve a fold."""
    ordered = sorted(folds, key=fold_number)
    return beside([(f"fold {fold_number(fold)}", fold) for fold in ordered], "fold")


def beside(named: Sequence[tuple[str, Subject]], kind: str) -> Iterator[Chart]:
    """A chart a column, a curve a run; `kind` is what a run is called."""
    for name, says, columns in KINDS[:2]:
        for column, words in columns:
            given = [Curve(called, points(run.rows, column)) for called, run in named]
            if there := [curve for curve in given if curve.points]:
                title = f"{words[:1].upper()}{words[1:]} by {kind}"
                shown = f"{says}: {words}" if name == "loss" else title
                yield charts.curves(f"{kind}s-{column}", shown, there)


def points(rows: Sequence[Row], column: str) -> list[tuple[float, float]]:
    return [(row["epoch"], row[column]) for row in rows if column in row]
