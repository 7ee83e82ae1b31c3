"""A loaded config as YAML in which every value says where it came from. Pure text."""

import json
from collections.abc import Iterator
from typing import Any

from schemas.source import Loaded

COMMENT_COLUMN = 44


def yaml_with_origins(loaded: Loaded) -> str:
    """The whole config, defaults filled in; it reads back as the same config."""
    return "\n".join(_lines(loaded.config.canonical(), "", loaded)) + "\n"


def _lines(values: dict[str, Any], above: str, loaded: Loaded) -> Iterator[str]:
    indent = "  " * above.count(".")
    for name, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, f"{above}{name}.", loaded)
        else:
            # JSON's way of writing a value is YAML's too, and never ambiguous
            line = f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}"
            yield f"{line:<{COMMENT_COLUMN}}  # {loaded.origins[above + name]}"
