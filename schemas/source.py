"""From a file and its overrides to a config: the one way in, and all problems at once.

`dump` is the way back: the file that a run folder keeps.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from schemas.config import TrainConfig
from schemas.document import Document, parse, plain_value, read_text
from schemas.errors import ConfigError, Problem
from schemas.explain import Fault, examine
from schemas.keys import Key, dotted
from schemas.overrides import apply

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
            row = f"{indent}{name}: {_scalar(value)}"
            comment = comments.get(dotted(key), "")
            yield f"{row:<{COMMENT_COLUMN}}  # {comment}\n" if comment else f"{row}\n"


def _scalar(value: Any) -> str:
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
