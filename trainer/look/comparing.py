"""Several runs beside each other: their scores on the same images, and how their configs differ.
Pure.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.answer import jury, members, votes
from trainer.answer.members import Heard
from trainer.judge import marking, scores
from trainer.judge.predictions import Predictions
from trainer.judge.scores import Interval, Labels
from trainer.look.subject import Subject

Gain = tuple[float, Interval]
SAID = ("name", "note")  # keys of a config that change no score


@dataclass(frozen=True, slots=True)
class Row:
    """One run, or all of them together; empty where nothing is known."""

    name: str
    values: Mapping[str, float]
    likely: Mapping[str, Interval]
    ahead: Gain | None = None  # of the best run, by the metric of all, on the same draws
    subject: Subject | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """Some runs, the best first; those without scores last."""

    metric: str
    rows: tuple[Row, ...]
    together: Row | None  # all of them as one ensemble
    images: int  # that all of them judged; 0: they judged different ones
    drawn: str
    differ: Mapping[str, Mapping[str, str]]  # of each key that differs, what each run has


def compared(subjects: Sequence[Subject]) -> Compared:
    """All that can be said of them."""
    wish = subjects[0].config.evaluate.metric
    metric = wish if wish == "macro_f1" else "accuracy"
    judged = [(each, said) for each in subjects if (said := each.said) is not None]
    rows = sorted(
        (scored(each, said) for each, said in judged), key=lambda row: -row.values[metric]
    )
    rows += [Row(each.name, {}, {}, subject=each) for each in subjects if each.said is None]
    found = Compared(metric, tuple(rows), None, 0, "images", differences(subjects))
    everything = [said for _, said in judged]
    if len(judged) < 2 or not alike(everything):
        return found
    return on_the_same(found, {each.name: said for each, said in judged})


def scored(subject: Subject, said: Predictions) -> Row:
    """A run by itself."""
    values, likely = said.scored()
    return Row(subject.name, values, likely, subject=subject)


def alike(given: Sequence[Predictions]) -> bool:
    """Whether they are of the same images with the same labels."""
    first = given[0]
    truth = dict(zip(first.names, first.true.tolist(), strict=True))
    return all(
        other.classes == first.classes
        and dict(zip(other.names, other.true.tolist(), strict=True)) == truth
        for other in given[1:]
    )


def on_the_same(found: Compared, said: Mapping[str, Predictions]) -> Compared:
    """How far each is behind the best, and what all are worth together."""
    first = next(iter(said.values()))
    people = np.unique(np.array(first.persons), return_inverse=True)[1].astype(np.int64)
    spoken = {name: members.in_order(each, first.names) for name, each in said.items()}
    heard = Heard(list(spoken.values()), first.true, people, first.names, first.classes)
    answers = {name: one.argmax(1) for name, one in spoken.items()}
    best, metric = answers[found.rows[0].name], found.metric
    rows = [
        replace(row, ahead=gain(answers[row.name], best, heard, metric))
        if place and row.values
        else row
        for place, row in enumerate(found.rows)
    ]
    voted = votes.answers(heard.said)
    likely = scores.intervals(heard.true, voted, people, len(heard.classes))
    together = Row(
        "all together", jury.values(voted, heard), likely, gain(voted, best, heard, metric)
    )
    drawn = marking.of_predictions(first).drawn
    return replace(found, rows=tuple(rows), together=together, images=len(first.names), drawn=drawn)


def gain(answers: Labels, best: Labels, heard: Heard, metric: str) -> Gain:
    """How far some answers are ahead of the best run's."""
    likely = scores.gains(heard.true, answers, best, heard.people, len(heard.classes))[metric]
    return jury.values(answers, heard)[metric] - jury.values(best, heard)[metric], likely


# ---- configs -------------------------------------------------------------------------------------


def differences(subjects: Sequence[Subject]) -> dict[str, dict[str, str]]:
    """Every key that is not the same everywhere, in the order of the config."""
    trees = {each.name: dict(leaves(each.config.canonical())) for each in subjects}
    keys = dict.fromkeys(key for tree in trees.values() for key in tree)
    found = {key: {name: tree.get(key, "") for name, tree in trees.items()} for key in keys}
    return {
        key: each for key, each in found.items() if len(set(each.values())) > 1 and key not in SAID
    }


def leaves(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys, and their values as text."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value if isinstance(value, str) else json.dumps(value)
