"""`key.path=value` after a config file: read like the file, put over it, recorded in the run."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.document import Document
from schemas.errors import ConfigError
from schemas.keys import Key, dotted
from schemas.nearest import hint_for_path, known_keys, sections
from schemas.secrecy import ADVICE, secret_key
from schemas.yaml_tree import UNREADABLE, Place, Scalar, Tree, read_tree

_LOOKS_LIKE_ONE = re.compile(r"[A-Za-z_][\w.-]*=")
_QUOTED_OR_FLOW = ("[", "{", '"', "'")
_SWEEP = re.compile(r",\S")  # a list for a sweep has no spaces: the shell would cut it


@dataclass(frozen=True, slots=True, eq=False)
class Override:
    """One override: the key, and its value as a tree whose place is the override's text.

    Equal to itself alone: what a sweep makes of an override is found again by it, at no cost.
    """

    text: str
    key: Key
    tree: Tree
    place: Place


def split_arguments(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Files and overrides of a command line, each in its order."""
    files: list[str] = []
    overrides: list[str] = []
    for argument in arguments:
        (overrides if _LOOKS_LIKE_ONE.match(argument) else files).append(argument)
    return files, overrides


def read_all(document: Document, texts: Sequence[str]) -> tuple[Override, ...]:
    """Overrides to put over a document, which notes what cannot be read."""
    read: list[Override] = []
    for text in texts:
        try:
            read.append(read_override(text))
        except ConfigError as error:
            document.note(error.problems)
    return tuple(read)


def put_all(document: Document, overrides: Sequence[Override]) -> None:
    """A new `kind` comes first and begins its section anew."""
    for override in sorted(overrides, key=lambda each: each.key[-1] != "kind"):
        _put(document, override)


def read_override(text: str) -> Override:
    """The override that a text is."""
    place = Place(f"override: {' '.join(text.split())}")
    name, equals, value = text.partition("=")
    key = tuple(name.strip().split("."))
    if UNREADABLE.search(text):
        raise _refusal(Place("override"), (), "a control character cannot be read")
    if not equals:
        raise _refusal(place, (), "an override is written key.path=value")
    if dotted(key) not in known_keys():
        raise _unknown(place, key)
    tree = _value(value.strip(), place)
    if isinstance(tree, Scalar) and tree.plain and _SWEEP.search(tree.text):
        help = f"publisher submit -m queues one run a value; a list: {name}=[{value}]"
        raise _refusal(place, key, "one override takes one value", help)
    return Override(text, key, tree, place)


def _unknown(place: Place, key: Key) -> ConfigError:
    if any(secret_key(str(part)) for part in key):
        return _refusal(place, key, "this key looks like a secret", ADVICE)
    numbered = next((depth for depth, part in enumerate(key) if str(part).isdecimal()), 0)
    hint = _as_a_whole(key[:numbered]) if numbered else hint_for_path(key)
    return _refusal(place, key, f"unknown key '{dotted(key)}'", hint)


def _as_a_whole(key: Key) -> str:
    """For those who want to change one entry of a list."""
    return f"a list is written as a whole: {dotted(key)}=[...]"


def _value(text: str, place: Place) -> Tree:
    """Quotes and brackets are read as in the file; anything else is one plain word."""
    if text.startswith(_QUOTED_OR_FLOW):
        return read_tree(text, place.file, lambda *_: place)
    return Scalar(place, text, plain=bool(text))


def _put(document: Document, override: Override) -> None:
    *path, name = override.key
    here: dict[str, Any] = document.mapping
    for depth, part in enumerate(path, start=1):
        if here.get(str(part)) is None:  # left out, or written as null
            here[str(part)] = {}
        inner = here[str(part)]
        if not isinstance(inner, dict):
            what = f"{dotted(override.key[:depth])} holds {inner!r}, not keys"
            help = _as_a_whole(override.key[:depth]) if isinstance(inner, list) else ""
            document.note(_refusal(override.place, override.key, what, help).problems)
            return
        document.keys.setdefault(override.key[:depth], override.place)
        here = inner
    if name == "kind" and _changes_kind(here, tuple(path), override.tree):
        here.clear()
        document.forget(tuple(path))
    document.forget(override.key)
    document.keys[override.key] = override.place
    here[str(name)] = document.put(override.key, override.tree)


def _changes_kind(here: dict[str, Any], section: Key, tree: Tree) -> bool:
    """Keys of another kind mean nothing to the new one."""
    known = sections().get(section)
    before = here.get("kind", known.default if known else "")
    return not (isinstance(tree, Scalar) and tree.text == before)


def _refusal(place: Place, key: Key, message: str, help: str = "") -> ConfigError:
    return ConfigError([place.problem(message, key=dotted(key), help=help)], place.file)
