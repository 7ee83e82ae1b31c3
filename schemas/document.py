"""A config file as plain values, with the place of every key and value beside them.

Knows numbers, duplicates and secrets, but no model: what the keys mean is `schemas.config`'s.
"""

import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError, Problem
from schemas.keys import Key, dotted
from schemas.secrecy import ADVICE, secret_key, secret_value
from schemas.yaml_tree import (
    BREAK,
    MAX_BYTES,
    MAX_LINE,
    UNREADABLE,
    Items,
    Pairs,
    Place,
    Scalar,
    Tree,
    lines_of,
    read_tree,
)

SWEEP = "sweep"
LARGEST = 2**63 - 1
# YAML 1.2's core schema, exactly; ruamel.yaml's own table takes `._` for a number, `.5e3` for text.
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"(0x[0-9a-fA-F]+|0o[0-7]+)|[-+]?[0-9]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_KEY = re.compile(r"(?!.*\.(ya?ml|json)$)[a-z_]+(\.[a-z_0-9]+)+")  # such as optim.lr
_CANNOT_READ = {
    FileNotFoundError: "there is no such file",
    IsADirectoryError: "this is a folder, not a config file",
    PermissionError: "this file may not be read by you",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(slots=True)
class Document:
    """The values of a file, and where each key and each value stands."""

    file: str
    mapping: dict[str, Any] = field(default_factory=dict)
    keys: dict[Key, Place] = field(default_factory=dict)
    values: dict[Key, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    bad: set[Key] = field(default_factory=set)  # the keys that `problems` already speaks of
    sweep: Tree | None = None  # the `sweep:` section: no part of a config, but what makes several

    def copy(self) -> "Document":
        """One to change without changing this one."""
        return replace(
            self,
            mapping=deepcopy(self.mapping),
            keys=dict(self.keys),
            values=dict(self.values),
            problems=list(self.problems),
            bad=set(self.bad),
        )

    def place(self, key: Key, *, of_key: bool = False) -> Place:
        """Where a key or its value stands, or the nearest section around it that stands here."""
        if of_key and key in self.keys:
            return self.keys[key]
        if key in self.values:
            return self.values[key]
        return self.place(key[:-1], of_key=True) if key else Place(self.file)

    def forget(self, key: Key) -> None:
        """Drop the places of a part that is about to be replaced."""
        for places in (self.keys, self.values):
            for old in [old for old in places if old[: len(key)] == key]:
                del places[old]

    def note(self, problems: Sequence[Problem]) -> None:
        """Take in problems that were found elsewhere."""
        self.problems += problems
        self.bad |= {tuple(each.key.split(".")) for each in problems if each.key}

    def put(self, key: Key, tree: Tree) -> Any:
        """The plain value of a tree at a key; its places and problems are noted."""
        self.values[key] = tree.place
        if isinstance(tree, Pairs):
            return dict(self._pairs(key, tree))
        if isinstance(tree, Items):
            return [self.put((*key, number), item) for number, item in enumerate(tree.items)]
        return self._scalar(key, tree)

    def _pairs(self, key: Key, tree: Pairs) -> Iterator[tuple[str, Any]]:
        for name, value in tree.pairs:
            inner = (*key, name.text)
            if inner in self.keys:
                first = f"'{name.text}' is already on line {self.keys[inner].line}"
                self._refuse(inner, name.place, "the same key twice", f"{first}; keep one of them")
            elif _CONTROL.search(name.text):
                self.bad.add(inner)
                what = "a key may not hold control characters"
                self.problems.append(name.place.problem(what))
            else:
                self.keys[inner] = name.place
                if secret_key(name.text):
                    self._refuse(inner, name.place, "this key looks like a secret", ADVICE)
                    continue
                yield name.text, self.put(inner, value)

    def _scalar(self, key: Key, scalar: Scalar) -> Any:
        if scalar.plain and not scalar.text:
            fix = "write null for none; '#' begins a comment, so quote a text such as \"#channel\""
            self._refuse(key, self.keys.get(key, scalar.place), "this key has no value", fix)
        if _CONTROL.search(scalar.text):
            self._refuse(key, scalar.place, "a text may not hold control characters")
        if secret_value(scalar.text):
            self._refuse(key, scalar.place, "this value looks like a secret", ADVICE)
        if not scalar.plain:
            return scalar.text
        value = plain_value(scalar.text)
        if isinstance(value, int) and abs(value) > LARGEST:
            self._refuse(key, scalar.place, "this number is too large", f"at most {LARGEST}")
        return value

    def _refuse(self, key: Key, place: Place, message: str, help: str = "") -> None:
        self.bad.add(key)
        self.problems.append(place.problem(message, key=dotted(key), help=help))


def plain_value(text: str) -> Any:
    """What an unquoted word means in YAML 1.2: a number, true, false, null, or the text."""
    if text in _WORDS:
        return _WORDS[text]
    if match := _INTEGER.fullmatch(text):
        # Python refuses to read thousands of digits; whatever is that long is too large anyway
        return int(text, 0 if match[1] else 10) if len(text) < 100 else LARGEST + 1
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def read_text(path: Path) -> str:
    """The text of a config file, or a ConfigError that says why there is none."""
    file = str(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        what = _CANNOT_READ.get(type(error), f"the file cannot be read: {error.strerror}")
        help = f"an override is KEY=VALUE: {file}=..." if _KEY.fullmatch(file) else ""
        if _FLOAT.fullmatch(file.rstrip(",")):
            help = "a list has no space after its commas: KEY=1e-3,3e-4"
        raise ConfigError([Problem(what, file=file, help=help)], file) from error
    except ValueError as error:  # a zero byte in the name
        raise ConfigError([Problem("no file can be called so", file=file)], file) from error
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(f"larger than {MAX_BYTES // 10**6} MB", file=file)], file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        what = f"byte {data[error.start]:#04x} is not UTF-8 text"
        problem = Problem(what, file=f"{file}:{line}:{column}", help="save the file as UTF-8")
        raise ConfigError([problem], file) from error


def tree_of(text: str, file: str) -> Tree:
    """The tree of a text whose every line can be read and shown."""
    locate = lines_of(text, file)
    for number, line in enumerate(BREAK.split(text), start=1):
        if len(line) > MAX_LINE:
            place = Place(file, number, MAX_LINE, 1, line)
            what = f"a line is longer than {MAX_LINE} characters"
            raise ConfigError([place.problem(what)], file)
        if match := UNREADABLE.search(line):
            place = Place(file, number, match.start() + 1, 1, line)
            what = f"the character U+{ord(match[0]):04X} may not stand in a config"
            raise ConfigError([place.problem(what)], file)
    return read_tree(text, file, locate)


def parse(text: str, file: str) -> Document:
    """The document of a text; what is wrong inside is in its `problems`."""
    tree = tree_of(text, file)
    if not isinstance(tree, Pairs):
        kind = "a list" if isinstance(tree, Items) else "a single value"
        problem = tree.place.problem(f"a config is a set of `key: value` lines, not {kind}")
        raise ConfigError([problem], file)
    sweeps = [value for name, value in tree.pairs if name.text == SWEEP]
    rest = tuple(pair for pair in tree.pairs if pair[0].text != SWEEP)
    document = Document(file, sweep=sweeps[0] if sweeps else None)
    document.mapping = document.put((), Pairs(tree.place, rest, tree.size))
    for again in sweeps[1:]:
        document.problems.append(again.place.problem("the same key twice", key=SWEEP))
    return document
