"""From a config to its file, which a run folder keeps. Knows no model: what writes need not check.

The way in is `schemas.source`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from schemas.document import plain_value
from schemas.keys import Key, dotted

COMMENT_COLUMN = 40
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")  # needs no quotes, if it means itself
UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # YAML wants them escaped


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
