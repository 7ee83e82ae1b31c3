"""From a file and its overrides to a config: the one way in, and all problems at once.

`dump` is the way back: the file that a run folder keeps.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from schemas.config import TrainConfig
from schemas.document import SWEEP, Document, parse, plain_value, read_text
from schemas.errors import ConfigError, Problem
from schemas.explain import Fault, examine
from schemas.keys import Key, dotted
from schemas.overrides import apply, put_all
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
COMMENT_COLUMN = 40
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")  # needs no quotes, if it means itself
UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML wants them escaped


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config, the values as they were written, and where each value of the config is from."""

    config: TrainConfig
    mapping: dict[str, Any]
    origins: dict[str, str]  # "optim.lr": "birds.yaml:7", "override: optim.lr=1", or "default"
    overrides: tuple[str, ...]
    cell: tuple[str, ...] = ()  # those of the overrides that make it differ from its neighbours


def load(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """The config of a YAML or JSON file; raises ConfigError with every problem."""
    return read(read_text(Path(path)), str(path), overrides)


def read(text: str, file: str, overrides: Sequence[str] = ()) -> Loaded:
    """The config of a text; `file` is what problems call it."""
    document = parse(text, file)
    apply(document, overrides)
    if document.sweep:
        what = "this file describes a sweep: many runs, not one"
        fix = "`publisher submit` queues them all, `publisher validate` shows them"
        document.problems.append(document.sweep.place.problem(what, key=SWEEP, help=fix))
    return _loaded(document, tuple(overrides))


def load_cells(path: Path | str, overrides: Sequence[str], spread: Spread) -> list[Loaded]:
    """One config, or all cells of a sweep; raises ConfigError with every problem of any."""
    return read_cells(read_text(Path(path)), str(path), overrides, spread)


def read_cells(text: str, file: str, overrides: Sequence[str], spread: Spread) -> list[Loaded]:
    """The same of a text; `file` is what problems call it."""
    document = parse(text, file)
    single, axes = split_lists(overrides) if spread.lists else (list(overrides), [])
    fixed = apply(document, single)
    axes = [*section_axes(document), *axes]
    if spread.seeds:
        axes.append(seeds_axis(_first_seed(document), spread.seeds))
    if spread.folds:
        axes.append(folds_axis(spread.folds))
    own = [each for each in fixed if not (spread.seeds and each.key == SEED)]  # --seeds counts on
    document.problems += refuse_twice(axes, own)
    if document.problems and axes:
        raise ConfigError(sorted(document.problems, key=_order), file)
    return _cells(document, single, cells(axes), file)


def _cells(
    document: Document, single: Sequence[str], steps: Sequence[Step], file: str
) -> list[Loaded]:
    loaded: list[Loaded] = []
    problems: dict[tuple[str, ...], Problem] = {}
    for step in steps:
        one = document.copy()
        put_all(one, step)
        cell = tuple(override.text for override in step)
        try:
            found = _loaded(one, (*single, *cell))
        except ConfigError as error:
            problems |= {tuple(each.lines()): each for each in error.problems}
        else:
            loaded.append(replace(found, cell=cell))
    if problems:
        raise ConfigError(sorted(problems.values(), key=_order), file)
    return loaded


def _first_seed(document: Document) -> int:
    seed = document.mapping.get("seed", TrainConfig.model_fields["seed"].default)
    return seed if isinstance(seed, int) else 0  # what is wrong with it is said by the model


def _loaded(document: Document, overrides: tuple[str, ...]) -> Loaded:
    config, faults = examine(document.mapping, document.bad)
    problems = [*document.problems, *(_problem(document, fault) for fault in faults)]
    if config is None or problems:
        raise ConfigError(sorted(problems, key=_order), document.file)
    origins = {dotted(key): _origin(document, key) for key in _leaves(config.canonical())}
    return Loaded(config, document.mapping, origins, overrides)


def dump(values: Mapping[str, Any], comments: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """The values of a config as YAML that `read` takes for the very same values.

    A comment stands behind the value of its key: `loaded.origins` says where each value is from.
    """
    return "".join(_rows(values, (), comments)).encode()


def _rows(values: Mapping[str, Any], above: Key, comments: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * len(above)
    for name, value in values.items():
        key = (*above, name)
        if isinstance(value, Mapping) and value:
            yield f"{indent}{name}:\n"
            yield from _rows(value, key, comments)
        else:
            row = f"{indent}{name}: {written(value)}"
            comment = comments.get(dotted(key), "")
            yield f"{row:<{COMMENT_COLUMN}}  # {comment}\n" if comment else f"{row}\n"


def written(value: Any) -> str:
    """A value as a config file, or an override, would have it."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and plain_value(value) == value:
        return value
    text = json.dumps(value, ensure_ascii=False)  # YAML does not join the halves of an escape
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


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
