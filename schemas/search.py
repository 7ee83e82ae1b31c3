"""What a search asks about its trials and is answered; they are runs, and no more is kept.

Whoever leads a search may die at any moment: the next one reads the trials and asks again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from schemas.components.loop import LOWER_IS_BETTER
from schemas.components.search import Axis, Choice, Search
from schemas.errors import UsageError
from schemas.run import Record
from schemas.source import Loaded, load
from schemas.writing import written


class Trial(Record):
    """A run of a search."""

    over: tuple[str, ...]  # its overrides of what varies
    values: dict[int, float]  # the metric after each epoch
    state: Literal["going", "done", "pruned", "failed"]
    judged: int = 0  # up to this epoch it was found worth going on


class Ask(Record):
    """A question: so many new trials, and which of those that go on are not worth it."""

    search: Search
    metric: str
    seed: int
    trials: tuple[Trial, ...]
    new: int = 0


class Advice(Record):
    """Its answer: overrides of new trials, and the places of those to give up."""

    new: tuple[tuple[str, ...], ...] = ()
    prune: tuple[int, ...] = ()


def room(search: Search, trials: Sequence[Trial]) -> int:
    """How many trials may begin."""
    going = sum(trial.state == "going" for trial in trials)
    return max(0, min(search.at_once - going, search.trials - len(trials)))


def best(metric: str, trials: Sequence[Trial]) -> tuple[int, float] | None:
    """The place of the best finished trial, and its best value."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    reached = [
        (sign * max(sign * value for value in trial.values.values()), -place)
        for place, trial in enumerate(trials)
        if trial.state == "done" and trial.values
    ]
    found = max(reached, key=lambda pair: (sign * pair[0], pair[1]), default=None)
    return (-found[1], found[0]) if found else None


def over_of(search: Search, overrides: Sequence[str]) -> tuple[str, ...]:
    """Of a run's overrides those that make it a trial, in the order of the axes; the last count."""
    said = {text.partition("=")[0]: text for text in overrides}
    return tuple(said[axis.key] for axis in search.space if axis.key in said)


def texts(axis: Axis) -> tuple[str, ...]:
    """The overrides at the ends of an axis; of a choice, all of them."""
    values = axis.of if isinstance(axis, Choice) else (axis.low, axis.high)
    return tuple(f"{axis.key}={written(value)}" for value in values)


def load_search(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """The config of a file that describes a search; every end of every axis is checked first."""
    loaded = load(path, overrides)
    if not loaded.config.search.space:
        raise UsageError(
            "this config varies nothing",
            where=str(path),
            fix="search: {space: [{kind: range, key: optim.lr, low: 1e-4, high: 1e-2}]}",
        )
    for text in _ends(loaded.config.search):
        load(path, [*overrides, text])
    return loaded


def _ends(search: Search) -> Iterator[str]:
    for axis in search.space:
        yield from texts(axis)
