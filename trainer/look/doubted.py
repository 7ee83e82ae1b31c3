"""Labels that may be wrong, as a part of a run's page: the pictures, what is said of each, and how
the data section hears of it. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from schemas.errors import count
from trainer.answer.members import Heard
from trainer.judge.marking import Answers
from trainer.judge.predictions import Predictions
from trainer.labels import corrections, suspects
from trainer.labels.suspects import Suspect
from trainer.look import html
from trainer.look.html import Html, tag
from trainer.look.subject import Subject

SHOWN = 24
TABLE = "corrected.csv"  # what the command names it


def found(said: Predictions) -> list[Suspect]:
    """The labels that are doubted, the most doubtful first."""
    people = np.unique(np.array(said.persons), return_inverse=True)[1].astype(np.int64)
    heard = Heard([said.probabilities], said.true, people, said.names, said.classes)
    return suspects.suspects(heard)


def section(
    given: Sequence[Suspect], answers: Answers, views: Mapping[str, str], subject: Subject
) -> Html:
    """The most doubtful ones, and the command that corrects them all."""
    title = "Suspected labels"
    if not given:
        return html.section(title, says="No label is doubted by a model that had not learnt it.")
    says = (
        f"{count(len(given), 'label')} may be wrong: a model that had not learnt from the image "
        "says another class as surely as it says that class of its own images. A mistake of the "
        "model looks the same, so look before you believe it."
    )
    some = f" The {SHOWN} most doubtful are shown." if len(given) > SHOWN else ""
    shown = (card(each, answers.classes, views) for each in given[:SHOWN])
    weak = suspects.too_many(len(given), answers.true == answers.guessed)
    warned = [tag("p", weak, class_="warn")] if weak else []
    grid = tag("div", *shown, class_="grid")
    return html.section(title, *warned, grid, *told(subject), says=says + some)


def card(suspect: Suspect, classes: Sequence[str], views: Mapping[str, str]) -> Html:
    """A picture with its label and the class that the model would give it."""
    picture = [tag("img", src=views[suspect.image], alt="")] if suspect.image in views else []
    rows = (
        ("labelled", classes[suspect.true], suspect.of_label),
        ("suspected", classes[suspect.suspected], suspect.confidence),
    )
    said = [
        tag("li", tag("span", tag("span", f"{word} ", class_="faint"), name), f"{chance:.1%}")
        for word, name, chance in rows
    ]
    words = tag("div", tag("ul", *said, class_="tops"), tag("p", suspect.image, class_="faint"))
    return tag("section", *picture, words, class_="card doubt")


def told(subject: Subject) -> Iterator[Html]:
    """What to type."""
    source = subject.config.data.source
    run = f"{subject.folder.parent.name}/{subject.name}"
    key, command = corrections.key_for(source), f"trainer suspects {run} -o suspects.csv"
    if not key:
        yield tag("p", "All of them as a table to look through:")
        yield tag("pre", command)
        yield tag("p", "This layout has no table of labels: move the files.", class_="says")
        return
    yield tag("p", "All of them as a table to look through, and the labels as they are corrected:")
    yield tag("pre", f"{command} --relabel DATA/{source.root}/{TABLE}")
    yield tag("p", f"The next config then says data.source.{key}={TABLE}.", class_="says")
