"""Many configs from one: what varies, and the cells that it makes.

A step of an axis is a few overrides, so a cell is read, checked and recorded like any other config.
Axes come from a `sweep:` section of the file, from the command line, from --seeds and --folds.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from schemas.document import Document, plain_value
from schemas.errors import ConfigError, Problem, UsageError
from schemas.keys import Key, dotted
from schemas.nearest import hint_for_path, known_keys
from schemas.overrides import Override, read_override
from schemas.yaml_tree import Items, Pairs, Place, Scalar, Tree

MOST = 20_000  # cells; beyond that somebody mistyped
FORMS = ("grid", "zip")
_OPEN, _CLOSE = "[{", "]}"

Step = tuple[Override, ...]  # what changes together


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies, and every step of it."""

    steps: tuple[Step, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(override.key for override in self.steps[0])


@dataclass(frozen=True, slots=True)
class Spread:
    """What the command line says varies."""

    lists: bool = False  # -m: a comma in an override divides values
    seeds: int = 0
    folds: int = 0

    @property
    def any(self) -> bool:
        return self.lists or bool(self.seeds or self.folds)


def cells(axes: Sequence[Axis]) -> list[Step]:
    """Every combination; the last axis moves fastest."""
    number = 1
    for axis in axes:
        number *= len(axis.steps)
    if number > MOST:
        raise UsageError(f"this sweep has {number} runs", fix=f"at most {MOST} in one submit")
    return [tuple(each for step in steps for each in step) for steps in product(*_steps(axes))]


def _steps(axes: Sequence[Axis]) -> Iterator[tuple[Step, ...]]:
    return (axis.steps for axis in axes)


# ---- from the command line -----------------------------------------------------------------------


def split_lists(texts: Sequence[str]) -> tuple[list[str], list[Axis]]:
    """Overrides of one value each, and an axis for every one that lists several."""
    single: list[str] = []
    axes: list[Axis] = []
    for text in texts:
        name, _, value = text.partition("=")
        values = list(dict.fromkeys(divided(value)))
        if len(values) == 1:  # also what a comma left of it: `1e-3,`, or the same value twice
            single.append(text if values[0] == value.strip() else f"{name}={values[0]}")
        else:
            axes.append(Axis(tuple((read_override(f"{name}={each}"),) for each in values)))
    return single, axes


def divided(text: str) -> list[str]:
    """A text at its commas, but not inside brackets or quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if letter == "," and not depth and not quote:
            parts.append("")
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter in _OPEN) - (letter in _CLOSE)
        parts[-1] += letter
    return [part for part in map(str.strip, parts) if part] or [text]


def seeds_axis(first: int, number: int) -> Axis:
    """The config's own seed, and those after it."""
    return Axis(tuple((read_override(f"seed={first + n}"),) for n in range(number)))


def folds_axis(number: int) -> Axis:
    """Every fold of a k-fold."""
    fixed = [read_override(f"data.split.{text}") for text in ("kind=kfold", f"folds={number}")]
    return Axis(tuple((*fixed, read_override(f"data.split.fold={fold}")) for fold in range(number)))


# ---- from the file -------------------------------------------------------------------------------


def section_axes(document: Document) -> list[Axis]:
    """The axes that `sweep:` describes; what is wrong with it is noted in the document."""
    if document.sweep is None:
        return []
    axes: list[Axis] = []
    try:
        for form, tree in _pairs(document.sweep, ("sweep",), f"its keys: {', '.join(FORMS)}"):
            if form.text not in FORMS:
                _refuse(form.place, f"unknown key '{form.text}'", f"a sweep has {_or(FORMS)}")
            found = [_axis(key, values) for key, values in _pairs(tree, ("sweep", form.text))]
            axes += _zipped(found, tree.place) if form.text == "zip" else found
        if not axes:
            _refuse(document.sweep.place, "this sweep varies nothing", "grid: {optim.lr: [1, 2]}")
    except ConfigError as error:
        document.note(error.problems)
        return []
    return axes


def _axis(key: Scalar, tree: Tree) -> Axis:
    name: Key = tuple(key.text.split("."))
    if key.text not in known_keys():
        _refuse(key.place, f"unknown key '{key.text}'", hint_for_path(name))
    if not isinstance(tree, Items) or not tree.items:
        _refuse(tree.place, "must be a list of values", f"write {key.text}: [1, 2]")
    assert isinstance(tree, Items)
    return Axis(
        tuple(
            (Override(f"{key.text}={_written(item)}", name, item, item.place),)
            for item in tree.items
        )
    )


def _zipped(axes: Sequence[Axis], place: Place) -> list[Axis]:
    """One axis whose keys move together."""
    if len({len(axis.steps) for axis in axes}) > 1:
        lengths = ", ".join(f"{dotted(axis.keys[0])} {len(axis.steps)}" for axis in axes)
        _refuse(place, "lists that move together must be equally long", f"now: {lengths}")
    if not axes:
        return []
    rows = zip(*(axis.steps for axis in axes), strict=True)
    return [Axis(tuple(tuple(each for step in row for each in step) for row in rows))]


def _pairs(tree: Tree, key: Key, help: str = "") -> Iterator[tuple[Scalar, Tree]]:
    if not isinstance(tree, Pairs):
        _refuse(tree.place, f"{dotted(key)} must be a section of keys", help)
    assert isinstance(tree, Pairs)
    return iter(tree.pairs)


def _written(tree: Tree) -> str:
    """A value as an override would write it."""
    if isinstance(tree, Scalar) and tree.plain:
        return tree.text
    return json.dumps(_plain(tree), ensure_ascii=False)


def _plain(tree: Tree) -> Any:
    if isinstance(tree, Items):
        return [_plain(item) for item in tree.items]
    if isinstance(tree, Pairs):
        return {key.text: _plain(value) for key, value in tree.pairs}
    return plain_value(tree.text) if tree.plain else tree.text


# ---- together ------------------------------------------------------------------------------------


def refuse_twice(axes: Sequence[Axis], fixed: Sequence[Override]) -> list[Problem]:
    """A key can vary once, and what varies cannot also be set."""
    problems: list[Problem] = []
    said: dict[Key, Place] = {override.key: override.place for override in fixed}
    for axis in axes:
        for override in axis.steps[0]:
            if override.key in said:
                what = f"{dotted(override.key)} is set twice, here and by {said[override.key]}"
                problems.append(override.place.problem(what, help="keep one of them"))
            said.setdefault(override.key, override.place)
    return problems


def _refuse(place: Place, message: str, help: str = "") -> None:
    raise ConfigError([place.problem(message, key="sweep", help=help)], place.file)


def _or(words: Sequence[str]) -> str:
    return " or ".join(words)
