"""What two configs or runs do not have in common, in lines for people and as JSON. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from publisher.desk.text import Line, Piece, fit, line, piece
from publisher.results.sides import Side
from schemas.errors import count

PARTS = ("config", "code", "environment", "metrics")
KEY_WIDTH = 28
FILES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Change:
    """One key and its two values; None: that side has none."""

    key: str
    a: Any
    b: Any

    @property
    def delta(self) -> float | None:
        """By how much b is more, of numbers."""
        both = (self.a, self.b)
        if any(isinstance(each, bool) or not isinstance(each, int | float) for each in both):
            return None
        return float(self.b - self.a)


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs, part by part; `files`: of the source, where a checkout can tell."""

    a: Side
    b: Side
    parts: Mapping[str, Sequence[Change]]
    files: Sequence[str] = ()


def changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """The keys whose values differ, in the order of the first, then of the second."""
    keys = dict.fromkeys((*a, *b))
    return [Change(key, a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)]


def between(a: Side, b: Side, files: Sequence[str] = ()) -> Difference:
    """All parts; of metrics also what is equal, as that is what one looks for. A machine beside
    none is no difference."""
    parts = {part: changes(getattr(a, part), getattr(b, part)) for part in PARTS}
    if not (a.environment and b.environment):
        parts["environment"] = []
    if a.metrics and b.metrics:
        keys = dict.fromkeys((*a.metrics, *b.metrics))
        parts["metrics"] = [Change(key, a.metrics.get(key), b.metrics.get(key)) for key in keys]
    return Difference(a, b, parts, files)


def difference_lines(found: Difference, width: int) -> Iterator[Line]:
    """A block for each part; a part with nothing to tell is one line."""
    yield line("a  ", piece(found.a.about, "bold"))
    yield line("b  ", piece(found.b.about, "bold"))
    for part in PARTS:
        told = found.parts[part]
        yield line(piece(part, "dim"), f"   {_nothing(found, part)}" if not told else "")
        yield from _block(told, width, number=part == "metrics")
        if part == "code" and found.files:
            yield line(f"  {count(len(found.files), 'file')}: {_few(found.files)}")


def difference_record(found: Difference) -> dict[str, Any]:
    """The same for programs."""
    return {
        "a": found.a.label,
        "b": found.b.label,
        **{part: [_record(change) for change in found.parts[part]] for part in PARTS},
        "files": list(found.files),
    }


def _record(change: Change) -> dict[str, Any]:
    return {"key": change.key, "a": change.a, "b": change.b, "delta": change.delta}


def _nothing(found: Difference, part: str) -> str:
    """Why a part has no lines."""
    known = [bool(getattr(side, part)) for side in (found.a, found.b)]
    if all(known):
        return "the same"
    if not any(known):
        return "nothing is known of either"
    return f"known of {found.a.label if known[0] else found.b.label} only"


def _block(told: Sequence[Change], width: int, *, number: bool) -> Iterator[Line]:
    """A line for each change, or three where the values are too long for one."""
    most = (width - 2 - KEY_WIDTH - 4 - (9 if number else 0)) // 2
    pairs = [(_shown(each.a, number), _shown(each.b, number)) for each in told]
    room = max((w for pair in pairs if (w := max(c.width for c in pair)) <= most), default=0)
    for change, (a, b) in zip(told, pairs, strict=True):
        more = f"{change.delta:+.4g}" if number and change.delta else ""
        if len(change.key) <= KEY_WIDTH and max(a.width, b.width) <= room:
            cells = [fit(a, room), piece("  "), fit(b, room) if more else b]
            cells += [piece(f"  {more}")] if more else []
            yield line(f"  {change.key:<{KEY_WIDTH}}  ", *cells)
        else:
            yield line(f"  {change.key}", f"  {more}" if more else "")
            yield line("    a  ", a)
            yield line("    b  ", b)


def _shown(value: Any, number: bool) -> Piece:
    if value is None:
        return piece("-", "dim")
    if value == "" or isinstance(value, bool):
        return piece(json.dumps(value))  # as a config has it: true, ""
    if isinstance(value, float):
        return piece(f"{value:.4f}" if number and abs(value) < 1000 else f"{value:g}")
    return piece(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)


def _few(files: Sequence[str]) -> str:
    shown = ", ".join(files[:FILES_SHOWN])
    left = len(files) - FILES_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown
