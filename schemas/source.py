"""From a file and its overrides to a config: the one way in, and all problems at once.

The way back is `schemas.writing`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.cells import Cells
from schemas.config import TrainConfig
from schemas.document import SWEEP, Document, parse, read_text
from schemas.errors import ConfigError, Problem
from schemas.explain import Fault, examine
from schemas.keys import Key, dotted
from schemas.overrides import put_all, read_all
from schemas.sweep import (
    Spread,
    Step,
    cells,
    folds_axis,
    refuse_twice,
    section_axes,
    seeds_axis,
    split_lists,
)

SEED: Key = ("seed",)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config, and how it was written."""

    config: TrainConfig
    document: Document
    over: Step  # the overrides that were put over it
    overrides: tuple[str, ...]
    cell: tuple[str, ...] = ()  # those of the overrides that make it differ from its neighbours

    @property
    def origins(self) -> dict[str, str]:
        """Where each value is from: `birds.yaml:7`, `override: optim.lr=1`, or `default`."""
        whole = _put(self.document, self.over)
        return {dotted(key): _origin(whole, key) for key in _leaves(self.config.canonical())}


def load(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """The config of a YAML or JSON file; raises ConfigError with every problem."""
    return read(read_text(Path(path)), str(path), overrides)


def read(text: str, file: str, overrides: Sequence[str] = ()) -> Loaded:
    """The config of a text; `file` is what problems call it."""
    document = parse(text, file)
    over = read_all(document, overrides)
    if document.sweep:
        what = "this file describes a sweep: many runs, not one"
        fix = "`publisher submit` queues them all, `publisher validate` shows them"
        document.problems.append(document.sweep.place.problem(what, key=SWEEP, help=fix))
    return checked(document, over, tuple(overrides))


def load_cells(path: Path | str, overrides: Sequence[str], spread: Spread) -> list[Loaded]:
    """One config, or all cells of a sweep; raises ConfigError with every problem of any."""
    return read_cells(read_text(Path(path)), str(path), overrides, spread)


def read_cells(text: str, file: str, overrides: Sequence[str], spread: Spread) -> list[Loaded]:
    """The same of a text; `file` is what problems call it."""
    document = parse(text, file)
    single, axes = split_lists(overrides) if spread.lists else (list(overrides), [])
    fixed = read_all(document, single)
    whole = _put(document, fixed)
    axes = [*section_axes(document), *axes]
    if spread.seeds:
        axes.append(seeds_axis(_first_seed(whole), spread.seeds))
    if spread.folds:
        axes.append(folds_axis(spread.folds))
    own = [each for each in fixed if not (spread.seeds and each.key == SEED)]  # --seeds counts on
    problems = [*whole.problems, *refuse_twice(axes, own)]
    if problems and axes:
        raise ConfigError(sorted(problems, key=_order), file)
    return _cells(document, fixed, cells(axes), tuple(single))


def _cells(
    document: Document, fixed: Step, steps: Sequence[Step], single: tuple[str, ...]
) -> list[Loaded]:
    shared = Cells(document)
    loaded: list[Loaded] = []
    problems: dict[tuple[str, ...], Problem] = {}
    for step in steps:
        over, cell = (*fixed, *step), tuple(override.text for override in step)
        try:
            config = shared.config(over) or _config(document, over)
        except ConfigError as error:
            problems |= {tuple(each.lines()): each for each in error.problems}
        else:
            loaded.append(Loaded(config, document, over, (*single, *cell), cell))
    if problems:
        raise ConfigError(sorted(problems.values(), key=_order), document.file)
    return loaded


def _first_seed(document: Document) -> int:
    seed = document.mapping.get("seed", TrainConfig.model_fields["seed"].default)
    return seed if isinstance(seed, int) else 0  # what is wrong with it is said by the model


def checked(document: Document, over: Step = (), overrides: tuple[str, ...] = ()) -> Loaded:
    """The config that a document holds; raises ConfigError with everything that is wrong."""
    return Loaded(_config(document, over), document, over, overrides)


def _config(document: Document, over: Step) -> TrainConfig:
    whole = _put(document, over)
    config, faults = examine(whole.mapping, whole.bad)
    problems = [*whole.problems, *(_problem(whole, fault) for fault in faults)]
    if config is None or problems:
        raise ConfigError(sorted(problems, key=_order), whole.file)
    return config


def _put(document: Document, over: Step) -> Document:
    whole = document.copy()
    put_all(whole, over)
    return whole


def _problem(document: Document, fault: Fault) -> Problem:
    """A fault at its place; of keys that contradict each other, at the first one written."""
    written = (key for key in (fault.key, *fault.others) if key in document.values)
    place = document.place(next(written, fault.key), of_key=fault.of_key)
    return place.problem(fault.message, key=dotted(fault.key), help=fault.help)


def _order(problem: Problem) -> tuple[bool, int, int]:
    """As the file is read; overrides last."""
    return not problem.line, problem.line, problem.column


def _leaves(values: dict[str, Any], above: Key = ()) -> Iterator[Key]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)


def _origin(document: Document, key: Key) -> str:
    return str(document.values[key]) if key in document.values else "default"
