"""What runs say of a test set whose answers are known: no run has seen it, so that every run, a
fold of a k-fold too, is a member of its own.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from schemas.errors import UsageError
from trainer.answer import finished, predict, views
from trainer.answer.members import Heard, Member
from trainer.answer.predict import Alive, Job
from trainer.judge import sheets
from trainer.judge.sheets import Sheet


def heard(
    folders: Sequence[Path], truth: Sheet, tta: Sequence[str], data: Path, cache: Path, alive: Alive
) -> tuple[list[Member], Heard]:
    """Every run by itself, with the same views, on the images of a table of answers."""
    runs = [finished.find(folder) for folder in folders]
    classes = runs[0].classes
    if other := next((run for run in runs if run.classes != classes), None):
        raise UsageError(f"{runs[0].name} and {other.name} know different classes")
    test = predict.test_of(runs[0].config.data, runs[0])
    images = predict.images_of(test, data)
    table, asked = data / test.root / test.csv, dict.fromkeys(images.names, 0)
    sheets.compare(truth, Sheet(table, test.image, test.answer, asked, {}))
    look = views.views(tta or runs[0].config.predict.tta)
    with tempfile.TemporaryDirectory(prefix="answers") as work:
        said = predict.said(Job(runs, look, test, data, cache, Path(work)), images, alive)
    true = np.array([truth.answers[name] for name in images.names], np.int64)
    if beyond := sorted({int(label) for label in true if label >= len(classes)}):
        raise UsageError(f"{truth.path} has class {beyond[0]}; {runs[0].name} knows {len(classes)}")
    _, people = np.unique([truth.groups[name] for name in images.names], return_inverse=True)
    found = [Member(run.config, (run.folder,), ()) for run in runs]
    return found, Heard(said, true, people.astype(np.int64), images.names, classes)
