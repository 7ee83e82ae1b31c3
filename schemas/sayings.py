"""Pydantic's findings about one value in plain English: what is wrong, and what to write instead.

Knows no key and no place; a test enumerates what our models can raise.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from schemas.components.augment import AUTO_AUGMENT
from schemas.components.model import DOTTED, PART
from schemas.components.search import KEY
from schemas.components.sources import COLUMN, ORIGIN
from schemas.components.spec import PATH
from schemas.components.steps import EITHER
from schemas.components.track import PROJECT, WORDS
from schemas.config import NOTIFY, SLUG
from schemas.nearest import nearest
from schemas.secrecy import masked

LONGEST = 60  # characters of a value that a message repeats

Saying = Callable[[Any, Mapping[str, Any]], tuple[str, str]]  # input, context: message, help


def got(value: Any) -> str:
    """A value as a message repeats it: short, and without secrets."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, list):
        return "a list"
    text = repr(masked(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _whole(value: Any, _: Mapping[str, Any]) -> tuple[str, str]:
    fits = isinstance(value, float) and value.is_integer()
    fix = f"write {int(value)}" if fits else _unquoted(value, r"[-+]?\d+")
    return f"must be a whole number, got {got(value)}", fix


def _number(value: Any, _: Mapping[str, Any]) -> tuple[str, str]:
    return f"must be a number, got {got(value)}", _unquoted(value, r"[-+]?\d*\.?\d+(e[-+]?\d+)?")


def _unquoted(value: Any, pattern: str) -> str:
    fits = isinstance(value, str) and re.fullmatch(pattern, value.strip(), re.IGNORECASE)
    return f"write {value.strip()} without quotes" if fits else ""


def _switch(value: Any, _: Mapping[str, Any]) -> tuple[str, str]:
    meant = {"yes": "true", "on": "true", "no": "false", "off": "false", "1": "true", "0": "false"}
    word = meant.get(str(value).lower(), "")
    return f"must be true or false, got {got(value)}", f"write {word}" if word else ""


def _text(value: Any, _: Mapping[str, Any]) -> tuple[str, str]:
    plain = isinstance(value, bool | int | float)
    fix = f'put it in quotes: "{str(value).lower()}"' if plain else ""
    return f"must be text, got {got(value)}", fix


def _shaped(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    return f"{got(value)} does not fit here", SHAPES[context["pattern"]]


def one_of(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    """For a word that is none of the choices."""
    choices = re.findall("'([^']*)'", context["expected"])
    if not choices:  # numbers
        return f"must be {context['expected']}, got {got(value)}", ""
    close = nearest(str(value), choices)
    meant = f"did you mean '{close}'? " if close else ""
    what = f"{got(value)} is not known here"
    what = what if isinstance(value, str) else f"must be a word, got {got(value)}"
    return what, f"{meant}choices: {', '.join(choices)}"


def _bound(words: str, name: str) -> Saying:
    return lambda value, context: (f"must be {words} {context[name]:g}, got {got(value)}", "")


# Pydantic's name of a mistake, and what people read.
SAYINGS: dict[str, Saying] = {
    "int_type": _whole,
    "float_type": _number,
    "finite_number": lambda value, _: (f"must be a finite number, got {got(value)}", ""),
    "bool_type": _switch,
    "string_type": _text,
    "string_unicode": lambda *_: ("must be whole characters", "remove the \\u escape"),
    "tuple_type": lambda value, _: (f"must be a list such as [0.5, 1], got {got(value)}", ""),
    "dict_type": lambda value, _: (f"must be a section of keys, got {got(value)}", ""),
    "too_long": lambda _, context: (f"must have {context['max_length']} values", ""),
    "too_short": lambda _, context: (f"must have {context['min_length']} values or more", ""),
    "literal_error": one_of,
    "string_pattern_mismatch": _shaped,
    "string_too_long": lambda _, context: (
        f"must not be longer than {context['max_length']} characters",
        "",
    ),
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "value_error": lambda _, context: (str(context["error"]), ""),
    "unknown_model": lambda _, context: (context["what"], context["help"]),
}

SHAPES = {
    SLUG: "a name is up to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or a digit",
    NOTIFY: 'write none, @me, a channel such as "#runs", or a Slack id',
    COLUMN: "the name of a column is up to 100 characters on one line",
    ORIGIN: "an origin is up to 40 of a-z, 0-9, '.', '_' and '-', such as pseudo-0.8",
    EITHER: "a word of a-z, 0-9, '_' and '-', the same for all neighbours to choose from",
    PART: "a part of a model by its name, such as stem, stages.0 or backbone",
    DOTTED: "a path to your own module, such as package.module:function",
    PATH: "a path is not empty and holds no control characters",
    KEY: "a key of the config, such as optim.lr",
    PROJECT: "W&B takes up to 128 characters, none of / \\ # ? % :",
    WORDS: "W&B takes up to 64 characters, on one line",
    AUTO_AUGMENT: "write a timm policy such as rand-m9-mstd0.5, 3a or augmix-m3-w3",
}
