"""YAML or JSON text as a small tree in which everything knows its place. Bounded in every way.

One ruamel.yaml parser reads both. What the values mean, and for whom, is not known here.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from schemas.errors import ConfigError, Problem
from schemas.secrecy import masked

MAX_BYTES = 1_000_000
MAX_LINE = 10_000  # characters; some of the parser's steps are quadratic in the length of a line
MAX_DEPTH = 20
MAX_VALUES = 2_000  # after aliases are expanded

BREAK = re.compile(r"\r\n|\r|\n")
# What a text file may hold: tabs, line breaks, and everything that is not a control character.
UNREADABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff￾￿]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: a span of one line of a file, or an override's text as `file`."""

    file: str
    line: int = 0
    column: int = 0
    width: int = 1
    excerpt: str = field(default="", repr=False)

    def problem(self, message: str, *, key: str = "", help: str = "") -> Problem:
        """A problem at this place."""
        return Problem(
            message,
            key=key,
            file=masked(self.file),
            line=self.line,
            column=self.column,
            width=self.width,
            excerpt=masked(self.excerpt),
            help=help,
        )

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it is written; a plain one (without quotes) may turn out to be a number."""

    place: Place
    text: str
    plain: bool
    size: int = 1


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    place: Place
    items: "tuple[Tree, ...]"
    size: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """A mapping, before anybody looked whether its keys repeat."""

    place: Place
    pairs: "tuple[tuple[Scalar, Tree], ...]"
    size: int


Tree = Scalar | Items | Pairs
Locate = Callable[[Any, Any], Place]  # from two marks of ruamel.yaml


def lines_of(text: str, file: str) -> Locate:
    """How marks become places in a file."""
    lines = BREAK.split(text)

    def locate(start: Any, end: Any) -> Place:
        row = min(start.line, len(lines) - 1)
        until = end.column if end.line == start.line else len(lines[row].rstrip())
        width = max(1, until - start.column)
        return Place(file, row + 1, start.column + 1, width, lines[row])

    return locate


def read_tree(text: str, file: str, locate: Locate) -> Tree:
    """The one document of a text; raises ConfigError at the first thing that is not YAML."""
    try:
        return _Composer(text, file, locate).document()
    except MarkedYAMLError as error:
        raise ConfigError([_syntax(error, locate)], file) from error
    except (ValueError, IndexError, OverflowError, AttributeError) as error:  # parser's own faults
        raise ConfigError([Problem(f"not valid YAML: {error}", file=file)], file) from error


class _Composer:
    """Turns the parser's events into a tree, and stops at every bound."""

    def __init__(self, text: str, file: str, locate: Locate) -> None:
        self.events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
        self.file = file
        self.locate = locate
        self.anchors: dict[str, Tree] = {}
        self.values = 0

    def document(self) -> Tree:
        next(self.events)  # the start of the stream
        begin = next(self.events)
        if not hasattr(begin, "explicit"):  # the end of the stream
            self.refuse(begin, "the file is empty", "a config needs at least model.name")
        if begin.version not in {None, (1, 2)}:
            self.refuse(begin, "only YAML 1.2 is read", "remove the %YAML line")
        tree = self.node(next(self.events), 1)
        next(self.events)  # the end of the document
        more = next(self.events)
        if hasattr(more, "explicit"):
            self.refuse(more, "a second document begins here", "one file holds one config")
        return tree

    def node(self, event: Any, depth: int) -> Tree:
        if isinstance(event, AliasEvent):
            return self.alias(event)
        if depth > MAX_DEPTH:
            self.refuse(event, f"nested more than {MAX_DEPTH} levels deep")
        self.count(event, 1)
        if getattr(event, "tag", None):
            self.refuse(event, "tags are not read", "remove the word that begins with '!'")
        tree = self.content(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = tree
        return tree

    def content(self, event: Any, depth: int) -> Tree:
        if isinstance(event, MappingStartEvent):
            return self.pairs(event, depth)
        if isinstance(event, SequenceStartEvent):
            return self.items(event, depth)
        return Scalar(self.place(event), event.value, event.implicit[0])

    def items(self, start: Any, depth: int) -> Items:
        found: list[Tree] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            found.append(self.node(event, depth + 1))
        size = 1 + sum(tree.size for tree in found)
        return Items(self.place(start, event), tuple(found), size)

    def pairs(self, start: Any, depth: int) -> Pairs:
        found: list[tuple[Scalar, Tree]] = []
        while not isinstance(event := next(self.events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                self.refuse(event, "a key must be a plain word")
            key = Scalar(self.place(event), event.value, event.implicit[0])
            if key.plain and key.text == "<<":
                self.refuse(event, "'<<' does not merge here", "write the keys out")
            found.append((key, self.node(next(self.events), depth + 1)))
        size = 1 + sum(tree.size for _, tree in found)
        return Pairs(self.place(start, event), tuple(found), size)

    def alias(self, event: Any) -> Tree:
        if event.anchor not in self.anchors:  # an anchor is known when its value is complete
            what = f"the anchor '&{event.anchor}' is not complete above this line"
            self.refuse(event, what, f"put quotes around '*{event.anchor}' if it is text")
        tree = self.anchors[event.anchor]
        self.count(event, tree.size)
        return tree

    def count(self, event: Any, number: int) -> None:
        self.values += number
        if self.values > MAX_VALUES:
            self.refuse(event, f"more than {MAX_VALUES} values", "a config is far smaller")

    def place(self, event: Any, last: Any = None) -> Place:
        return self.locate(event.start_mark, (last or event).end_mark)

    def refuse(self, event: Any, message: str, help: str = "") -> None:
        raise ConfigError([self.place(event).problem(message, help=help)], self.file)


# The parser's words, and ours: pattern, message, hint, and whether the place is where it began.
_SYNTAX: tuple[tuple[str, str, str, bool], ...] = (
    (r"character '\\t'", "a tab cannot indent YAML", "use spaces", False),
    (
        r"found character '(.)' that cannot start",
        "a value cannot start with '{0}'",
        'put it in quotes: "{0}..."',
        False,
    ),
    (
        "mapping values are not allowed",
        "': ' is not expected here",
        "check the indentation, or put the text in quotes",
        False,
    ),
    (r"expected <block end>, but found '([\]}])'", "this '{0}' closes nothing", "", False),
    ("could not find expected ':'", "expected ':' after this key", "", True),
    (
        "expected <block end>",
        "the indentation does not fit the lines above",
        "keys of one section start in the same column",
        False,
    ),
    ("unexpected end of stream", "the quote that opens here is never closed", "", True),
    (r"expected ',' or '(.)'", "expected ',' or '{0}' before this", "", False),
    (
        r"unknown escape character '(.*)'",
        "'\\{0}' means nothing inside double quotes",
        "use single quotes around a text with backslashes",
        False,
    ),
    ("expected the node content", "a value is missing before this", "", False),
    ("sequence entries are not allowed", "'- ' is not expected here", "", False),
    ("expected '<document start>'|document end marker", "nothing may follow the config", "", False),
)


def _syntax(error: MarkedYAMLError, locate: Locate) -> Problem:
    """A fault of the syntax in plain English, at the place to look at."""
    said = str(error.problem)
    mark = error.problem_mark or error.context_mark
    for pattern, message, help, from_start in _SYNTAX:
        if match := re.search(pattern, said):
            mark = (error.context_mark if from_start else None) or mark
            words = match.groups()
            return locate(mark, mark).problem(message.format(*words), help=help.format(*words))
    return locate(mark, mark).problem(f"not valid YAML: {said}")
