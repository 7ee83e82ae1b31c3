"""A config's nested keys as people write them: `optim.lr`. Light: many commands read no config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys as dotted ones: `optim.lr`."""
    pairs: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            pairs |= {f"{key}.{inner}": deep for inner, deep in flat(value).items()}
        else:
            pairs[key] = value
    return pairs
