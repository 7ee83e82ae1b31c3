"""What is wrong with the values of a config, in plain English: pydantic finds, this says.

Knows no file and no line: a fault names its key, `schemas.source` finds the place.
"""

import re
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from pydantic import ValidationError

from schemas.components import AUTO_AUGMENT, PATH
from schemas.config import NOTIFY, SLUG, Contradiction, TrainConfig
from schemas.keys import Key, dotted
from schemas.nearest import did_you_mean, hint_for_key, nearest, sections
from schemas.secrecy import masked

LONGEST = 60  # characters of a value that a message repeats
STAND_IN = "resnet18"  # a model to look for contradictions with while the real one is wrong

Mistake = Mapping[str, Any]  # one entry of ValidationError.errors()
Saying = Callable[[Any, Mapping[str, Any]], tuple[str, str]]  # input, context: message, help


class Fault(NamedTuple):
    """One thing that is wrong: the key to point at, and what to say."""

    key: Key
    message: str
    help: str = ""
    of_key: bool = False  # point at the key itself, not at its value
    others: tuple[Key, ...] = ()  # other keys that have a part in it


def examine(
    mapping: Mapping[str, Any], known_bad: Collection[Key] = ()
) -> tuple[TrainConfig | None, list[Fault]]:
    """The config that these values are, or everything that is wrong with them, at once.

    Pydantic looks for contradictions only once every field is right. Here they are found beside
    the wrong fields, as far as the keys in them are right. What touches `known_bad` is not said.
    """
    try:
        return TrainConfig.model_validate(mapping), []
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    wrong = _fields([explain(each, mapping) for each in mistakes if not _crossed(each)])
    bad = {*known_bad, *(fault.key for fault in wrong)}
    crossed = [_contradiction(each) for mistake in mistakes for each in _crossed(mistake)]
    if wrong:
        crossed = _contradictions_beside(mapping, bad)
    return None, [
        *(fault for fault in wrong if not _touches(fault.key, known_bad)),
        *(fault for fault in crossed if not any(_touches(k, bad) for k in _keys(fault))),
    ]


def _fields(faults: list[Fault]) -> list[Fault]:
    """Each fault once, and no key called missing that is only misspelt."""
    hints = {(fault.key[:-1], fault.help) for fault in faults}
    return [
        fault
        for fault in dict.fromkeys(faults)
        if (fault.key[:-1], did_you_mean(str(fault.key[-1]))) not in hints
    ]


def explain(mistake: Mistake, mapping: Mapping[str, Any]) -> Fault:
    """One of pydantic's findings in our words."""
    kind, key = mistake["type"], key_of(mistake["loc"])
    if kind == "missing" and isinstance(key[-1], int):
        return Fault(key[:-1], "has too few values")
    if kind == "missing":
        needed = f"a config needs {', '.join(_required(key))}"
        return Fault(key, f"{dotted(key)} is missing", needed, of_key=True)
    if kind == "extra_forbidden":
        return _unknown_key(key, mapping)
    if kind == "union_tag_invalid":
        expected = mistake["ctx"]["expected_tags"]
        message, help = _one_of(mistake["input"]["kind"], {"expected": expected})
        return Fault((*key, "kind"), message, help)
    if kind in {"model_type", "model_attributes_type"}:
        value = mistake["input"]
        return Fault(key, f"must be a section of keys, got {got(value)}", _inside(key, value))
    message, help = SAYINGS[kind](mistake["input"], mistake.get("ctx", {}))
    return Fault(key, message, help)


def key_of(loc: tuple[str | int, ...]) -> Key:
    """The key that pydantic's location means: it also names the kind inside a union."""
    key: Key = ()
    parts = iter(loc)
    for part in parts:
        key = (*key, part)
        if key in sections() and len(sections()[key].kinds) > 1:
            next(parts, None)
    return key


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


def _one_of(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    choices = re.findall("'([^']*)'", context["expected"])
    close = nearest(str(value), choices)
    meant = f"did you mean '{close}'? " if close else ""
    what = f"{got(value)} is not known here"
    what = what if isinstance(value, str) else f"must be a word, got {got(value)}"
    return what, f"{meant}choices: {', '.join(choices)}"


def _bound(words: str, name: str) -> Saying:
    return lambda value, context: (f"must be {words} {context[name]:g}, got {got(value)}", "")


# What people read instead of pydantic's words; a test enumerates what our models can raise.
SAYINGS: dict[str, Saying] = {
    "int_type": _whole,
    "float_type": _number,
    "finite_number": lambda value, _: (f"must be a finite number, got {got(value)}", ""),
    "bool_type": _switch,
    "string_type": _text,
    "string_unicode": lambda *_: ("must be whole characters", "remove the \\u escape"),
    "tuple_type": lambda value, _: (f"must be a list such as [0.5, 1], got {got(value)}", ""),
    "too_long": lambda _, context: (f"must have {context['max_length']} values", ""),
    "literal_error": _one_of,
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
    PATH: "a path is not empty and holds no control characters",
    AUTO_AUGMENT: "write a timm policy such as rand-m9-mstd0.5, 3a or augmix-m3-w3",
}


def _unknown_key(key: Key, mapping: Mapping[str, Any]) -> Fault:
    section = sections()[key[:-1]]
    here: Any = mapping
    for part in key[:-1]:
        here = here[part]
    spec = section.spec(here.get("kind"))
    message = f"unknown key {got(key[-1])}"
    for kind, other in section.kinds.items():
        if key[-1] in other.model_fields:
            return Fault(key, message, f"it belongs to kind: {kind}", of_key=True)
    siblings = list(spec.model_fields) if spec else []
    return Fault(key, message, hint_for_key(key, siblings), of_key=True)


def _required(above: Key) -> list[str]:
    """The keys that a config must have, at or below a key."""
    return [
        each
        for key, section in sections().items()
        for spec in section.kinds.values()
        for name, field in spec.model_fields.items()
        if field.is_required() and (*key, name) not in sections()
        if (each := dotted((*key, name))).startswith(dotted(above))
    ]


def _inside(key: Key, value: Any) -> str:
    """What a section that was written as one word may have meant."""
    kinds, name = sections()[key].kinds, str(key[-1])
    if isinstance(value, str) and value in kinds:
        return f"write {name}: {{kind: {value}}}"
    if isinstance(value, str) and len(required := _required(key)) == 1:
        return f"write {name}: {{{required[0].rpartition('.')[2]}: {masked(value)}}}"
    names = dict.fromkeys(name for spec in kinds.values() for name in spec.model_fields)
    return f"its keys: {', '.join(names)}"


def _crossed(mistake: Mistake) -> list[Contradiction]:
    return mistake["ctx"]["found"] if mistake["type"] == "contradictions" else []


def _contradiction(found: Contradiction) -> Fault:
    others = tuple(tuple(other.split(".")) for other in found.others)
    return Fault(tuple(found.key.split(".")), found.text, found.help, others=others)


def _contradictions_beside(mapping: Mapping[str, Any], bad: Collection[Key]) -> list[Fault]:
    try:
        TrainConfig.model_validate(_repaired(mapping, bad))
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        return [_contradiction(each) for mistake in mistakes for each in _crossed(mistake)]
    return []


def _repaired(mapping: Mapping[str, Any], bad: Collection[Key]) -> dict[str, Any]:
    """The values without the wrong ones, so that the defaults stand in for them."""
    whole = deepcopy(dict(mapping))
    for key in bad:
        here: Any = whole
        for part in key[:-1]:
            if isinstance(inner := here.get(part), dict):
                here = inner
            else:  # a wrong item makes the whole list wrong
                here.pop(part, None)
                break
        else:
            here.pop(key[-1], None)
    whole["model"] = {"name": STAND_IN, **whole.get("model", {})}
    return whole


def _keys(fault: Fault) -> tuple[Key, ...]:
    return (fault.key, *fault.others)


def _touches(key: Key, bad: Collection[Key]) -> bool:
    return any(key[: len(other)] == other or other[: len(key)] == key for other in bad)
