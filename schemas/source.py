"""From a file and its overrides to a config: the one way in, and all problems at once.

`dump` is the way back: the file that a run folder keeps.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from schemas.config import TrainConfig
from schemas.document import Document, parse, read_text
from schemas.errors import ConfigError, Problem
from schemas.explain import Fault, examine
from schemas.keys import Key, dotted
from schemas.overrides import apply


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config, the values as they were written, and where each value of the config is from."""

    config: TrainConfig
    mapping: dict[str, Any]
    origins: dict[str, str]  # "optim.lr": "birds.yaml:7", "override: optim.lr=1", or "default"
    overrides: tuple[str, ...]


def load(path: Path | str, overrides: Sequence[str] = ()) -> Loaded:
    """The config of a YAML or JSON file; raises ConfigError with every problem."""
    return read(read_text(Path(path)), str(path), overrides)


def read(text: str, file: str, overrides: Sequence[str] = ()) -> Loaded:
    """The config of a text; `file` is what problems call it."""
    document = parse(text, file)
    apply(document, overrides)
    config, faults = examine(document.mapping, document.bad)
    problems = [*document.problems, *(_problem(document, fault) for fault in faults)]
    if config is None or problems:
        raise ConfigError(sorted(problems, key=_order), file)
    origins = {dotted(key): _origin(document, key) for key in _leaves(config.canonical())}
    return Loaded(config, document.mapping, origins, tuple(overrides))


def dump(values: dict[str, Any]) -> bytes:
    """The values of a config as YAML that `load` reads back as the very same values."""
    yaml = YAML(pure=True)
    yaml.Representer = _Explicit
    with io.BytesIO() as buffer:
        yaml.dump(values, buffer)
        return buffer.getvalue()


class _Explicit(RoundTripRepresenter):
    """Writes null for none: a key without a value is a mistake to `load`."""

    def represent_none(self, _: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Explicit.add_representer(type(None), _Explicit.represent_none)


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
