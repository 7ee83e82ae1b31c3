"""What a model said of images: a probability for each class, kept beside the weights."""

import csv
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from schemas.errors import NotFound, count
from trainer.data.images import Images, enumerate_some
from trainer.data.split import Indices
from trainer.faults import DataFault
from trainer.judge import scores
from trainer.judge.folders import facts_of, finished_attempt
from trainer.judge.scores import Interval, Labels

VALIDATION = "validation.npz"  # beside the best weights
OUT_OF_FOLD = "out_of_fold.npz"  # what a k-fold's runs said, each of what it had not seen
Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of some images, in one order."""

    names: tuple[str, ...]  # as the data's table has them
    persons: tuple[str, ...]  # whom each shows; its own name where nobody knows
    classes: tuple[str, ...]
    true: Labels
    probabilities: Probabilities

    @classmethod
    def of(
        cls, images: Images, which: Indices, true: Labels, probabilities: Probabilities
    ) -> "Predictions":
        """What was said of these images of a data set."""
        names = tuple(images.names[image] for image in which)
        persons = tuple(images.persons[image] for image in which) if images.persons else names
        return cls(names, persons, images.classes, true, probabilities)

    def packed(self) -> bytes:
        """As a file; nothing in it needs to be unpickled."""
        file = io.BytesIO()
        np.savez_compressed(
            file,
            names=np.array(self.names),
            persons=np.array(self.persons),
            classes=np.array(self.classes),
            true=self.true,
            probabilities=self.probabilities,
        )
        return file.getvalue()

    def table(self) -> bytes:
        """A row an image, for people: the truth, the answer and how sure it was."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("image", "target", "answer", "confidence"))
        answers, sure = self.probabilities.argmax(1), self.probabilities.max(1)
        for name, true, answer, confidence in zip(
            self.names, self.true.tolist(), answers.tolist(), sure.tolist(), strict=True
        ):
            rows.writerow((name, true, answer, f"{confidence:.4f}"))
        return text.getvalue().encode()

    def scored(self) -> tuple[dict[str, float], dict[str, Interval]]:
        """Accuracy and macro F1, and how sure they are when other people come."""
        guessed = self.probabilities.argmax(1)
        matrix = scores.confusion(self.true, guessed, len(self.classes))
        _, people = np.unique(np.array(self.persons), return_inverse=True)
        values = {"accuracy": scores.accuracy(matrix), "macro_f1": scores.macro_f1(matrix)}
        return values, scores.intervals(self.true, guessed, people, len(self.classes))


def read(path: Path) -> Predictions:
    """The predictions of a file."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return Predictions(
                tuple(file["names"].tolist()),
                tuple(file["persons"].tolist()),
                tuple(file["classes"].tolist()),
                file["true"],
                file["probabilities"],
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        what = f"{path} is damaged: it holds no predictions"
        raise DataFault(what, fix="restore it, or train the run again") from error


def of_run(folder: Path) -> Predictions:
    """What a finished run said of its validation images; a k-fold's runs, gathered, of all."""
    attempt = finished_attempt(folder)
    for file in (attempt.best / VALIDATION, attempt.predictions / OUT_OF_FOLD):
        if file.is_file():
            return read(file)
    if "soup" in facts_of(folder):
        raise NotFound(
            f"{folder} is a soup of runs that between them had learnt from every image",
            fix="let it answer a test set: trainer predict; or make a soup of runs of one split",
        )
    raise NotFound(
        f"the run in {folder} has kept no predictions", fix="it is older than they are: train again"
    )


def merged(parts: Sequence[Predictions]) -> Predictions:
    """All of them together; no image may be in two, or its score would count twice."""
    first = parts[0]
    for part in parts:
        if part.classes != first.classes:
            raise DataFault("predictions of different classes cannot be put together")
    names = [name for part in parts for name in part.names]
    if twins := [name for name, times in Counter(names).items() if times > 1]:
        raise DataFault(
            f"{count(len(twins), 'image')} validated in two folds: {enumerate_some(twins)}"
        )
    return Predictions(
        tuple(names),
        tuple(person for part in parts for person in part.persons),
        first.classes,
        np.concatenate([part.true for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )
