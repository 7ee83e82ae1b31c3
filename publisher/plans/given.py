"""What a program gives to be submitted, read as the command line would have read it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.config import TrainConfig
from schemas.errors import UsageError
from schemas.keys import Key, dotted
from schemas.nearest import sections
from schemas.source import Loaded, load_cells, read_cells
from schemas.sweep import Spread
from schemas.writing import written

HERE = "the given dict"  # what problems call a config that is in no file


def read_config(config: object, overrides: Sequence[str], spread: Spread) -> list[Loaded]:
    """One config or all cells of it, from a path, a mapping or a TrainConfig."""
    if isinstance(config, TrainConfig):
        return read_config(config.canonical(), overrides, spread)
    if isinstance(config, Mapping):
        return read_cells(_json(config, HERE, indent=1), HERE, overrides, spread)
    if isinstance(config, str | os.PathLike):
        return load_cells(Path(config), overrides, spread)
    raise UsageError(
        f"a {type(config).__name__} is no config",
        fix='submit("birds.yaml"), submit({"model": {"name": "resnet18"}}) or a TrainConfig',
    )


def override_texts(
    changes: Mapping[str, Any], sweep: Mapping[str, Sequence[Any]] | None = None
) -> list[str]:
    """`optim__lr=3e-4`, `optim={"lr": 3e-4}` and a sweep's lists, as one types them."""
    single = [f"{dotted(key)}={_written(value, key)}" for key, value in _leaves((), changes)]
    return [*single, *(_axis(key_of(name), values) for name, values in (sweep or {}).items())]


def key_of(name: str) -> Key:
    """`optim__lr` and `optim.lr`: the latter cannot be a keyword of Python."""
    return tuple(name.replace("__", ".").split("."))


def _leaves(above: Key, changes: Mapping[str, Any]) -> Iterator[tuple[Key, Any]]:
    """A section is entered, so that what it does not name stays; any other mapping is a value."""
    for name, value in changes.items():
        key = (*above, *key_of(str(name)))
        if isinstance(value, Mapping) and key in sections():
            yield from _leaves(key, value)
        else:
            yield key, value


def _axis(key: Key, values: Any) -> str:
    values = values.tolist() if hasattr(values, "tolist") else values  # numpy's linspace
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence) or not len(values):
        fix = f'sweep={{"{dotted(key)}": [1, 2]}}'
        raise UsageError(f"sweep: {dotted(key)} must be a list of values", fix=fix)
    return f"{dotted(key)}={','.join(_written(value, key) for value in values)}"


def _written(value: object, key: Key) -> str:
    return written(json.loads(_json(value, dotted(key))))


def _json(value: object, what: str, indent: int | None = None) -> str:
    """The text of a value, or a refusal of what no file could hold."""
    try:
        return json.dumps(value, indent=indent, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} cannot be written in a config: {error}") from error


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch, and paths, as what they stand for."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is neither text, number, list nor dict")
