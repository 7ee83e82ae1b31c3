"""Several tasks in one class: `worn-male-0to29` is a mask, a gender and an age. Pure."""

from collections.abc import Sequence
from itertools import product

BETWEEN = "-"

Words = tuple[str, ...]


def tasks(classes: Sequence[str]) -> tuple[Words, ...]:
    """The words of each task when the classes are all their combinations, in order; else none."""
    parts = [name.split(BETWEEN) for name in classes]
    if len({len(words) for words in parts}) != 1:
        return ()
    found = tuple(tuple(dict.fromkeys(words)) for words in zip(*parts, strict=True))
    if len(found) < 2 or min(map(len, found)) < 2 or combined(found) != tuple(classes):
        return ()
    return found


def combined(words: Sequence[Words]) -> Words:
    """The classes that several tasks make together, the last one moving fastest."""
    return tuple(BETWEEN.join(parts) for parts in product(*words))
