"""A config as a person would like to find it: what is said, what could be said, and what it means.

Every comment is the docstring of the spec, every default the model's, so that no draft goes stale.
Pure.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_origin

from schemas.components.spec import Spec
from schemas.keys import Key
from schemas.nearest import Section, sections
from schemas.writing import dump

SCHEMA_FILE = "config.schema.json"
EDITORS = f"# yaml-language-server: $schema={SCHEMA_FILE}"  # completion and hover in editors
OFFERS = "# A key behind '#' has the default that stands there; remove the '# ' to change it."
COMMENT_COLUMN = 36
WIDTH = 100


def draft(values: Mapping[str, Any], head: Sequence[str], *, offers: bool = True) -> str:
    """The text of a config with these values; with `offers` also every other key, behind '#'."""
    top = [EDITORS, *(f"# {sentence}" for sentence in head), *([OFFERS] if offers else [])]
    return "\n".join([*top, *_rows((), values, offers), *_sweep(values)]) + "\n"


def _rows(
    above: Key, values: Mapping[str, Any], offers: bool, behind: int | None = None
) -> Iterator[str]:
    """The keys of a section in the order of its spec; `behind`: the level at which a '#' stands."""
    section = sections()[above]
    spec = section.spec(values.get("kind"))
    assert spec, f"{above} has no kind {values.get('kind')}"  # templates and imports name real ones
    for name, field in spec.model_fields.items():
        key, said = (*above, name), name in values
        plain_kind = name == "kind" and len(section.kinds) == 1
        if not (said or offers) or (plain_kind and not (said and len(values) == 1)):
            continue  # a kind that is the only one is written where nothing else is
        level = len(above) if behind is None and not said else behind
        start = _start(len(above), level)
        about = _kinds(section, values, spec) if name == "kind" else field.description or ""
        if key in sections() and get_origin(field.annotation) is not tuple:
            yield from [""] if not above else []
            yield _commented(start, f"{name}:", about)
            yield from _rows(key, values.get(name) or {}, offers, level)
        elif said or not field.is_required():
            usual = None if field.is_required() else field.get_default(call_default_factory=True)
            row = dump({name: values.get(name, _plain(usual))}).decode().rstrip("\n")
            yield _commented(start, row, about)


def _start(depth: int, behind: int | None) -> str:
    """The indentation, with a '#' at the level of the section that is only offered."""
    if behind is None:
        return "  " * depth
    return f"{'  ' * behind}# {'  ' * (depth - behind)}"


def _sweep(values: Mapping[str, Any]) -> list[str]:
    """What varies, as it is written by hand."""
    if "sweep" not in values:
        return []
    rows = ["", _commented("", "sweep:", "What varies: a run for every combination of `grid`.")]
    for form, axes in values["sweep"].items():
        rows += [f"  {form}:", *(f"    {dump({k: v}).decode().rstrip()}" for k, v in axes.items())]
    return rows


def _kinds(section: Section, values: Mapping[str, Any], spec: type[Spec]) -> str:
    """What this kind is, and what else there is."""
    own = values.get("kind", section.default)
    others = [kind for kind in section.kinds if kind != own]
    about = (spec.__doc__ or "").partition("\n")[0]
    return f"{about} Or: {', '.join(others)}." if others else about


def _commented(start: str, row: str, about: str) -> str:
    """The comment behind the row, or above it where the line would be too long."""
    about = " ".join(about.split())
    if not about:
        return start + row
    beside = f"{start + row:<{COMMENT_COLUMN}}  # {about}"
    if len(beside) <= WIDTH:
        return beside
    above = textwrap.wrap(about, WIDTH - len(start) - 2, break_on_hyphens=False)
    return "\n".join([*(f"{start}# {words}" for words in above), start + row])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
