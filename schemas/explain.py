"""Everything that is wrong with the values of a config at once: pydantic finds, this explains.

Knows no file and no line: a fault names its key, `schemas.source` finds the place.
"""

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from pydantic import ValidationError

from schemas.config import TrainConfig
from schemas.contradictions.contradiction import Contradiction
from schemas.keys import Key, dotted
from schemas.nearest import Section, did_you_mean, hint_for_key, sections
from schemas.sayings import SAYINGS, got, one_of
from schemas.secrecy import masked

STAND_IN = "resnet18"  # a model to look for contradictions with while the real one is wrong

Mistake = Mapping[str, Any]  # one entry of ValidationError.errors()


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
        message, help = one_of(mistake["input"]["kind"], {"expected": expected})
        return Fault((*key, "kind"), message, help)
    if kind == "union_tag_not_found":
        return Fault(key, "this says no kind", f"choices: {', '.join(_section_at(key).kinds)}")
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
        section = sections().get(_names(key))
        if section and len(section.kinds) > 1 and section.many == isinstance(part, int):
            next(parts, None)
    return key


def _unknown_key(key: Key, mapping: Mapping[str, Any]) -> Fault:
    section = _section_at(key[:-1])
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


def _section_at(key: Key) -> Section:
    """The section that a key is of; each item of a list has the keys of all its items."""
    return sections()[_names(key)]


def _names(key: Key) -> Key:
    return tuple(part for part in key if isinstance(part, str))


def _required(above: Key) -> list[str]:
    """The keys that a config must have, at or below a key."""
    found = [
        dotted((*key, name))
        for key, section in sections().items()
        for spec in section.kinds.values()
        for name, field in spec.model_fields.items()
        if field.is_required() and (*key, name) not in sections()
    ]
    return [each for each in dict.fromkeys(found) if each.startswith(dotted(above))]


def _inside(key: Key, value: Any) -> str:
    """What a section that was written as one word may have meant."""
    kinds, name = _section_at(key).kinds, str(key[-1])
    if isinstance(value, str) and value in kinds:
        return f"write {'-' if name.isdigit() else f'{name}:'} {{kind: {value}}}"
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
