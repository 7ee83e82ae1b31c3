"""What a doctor finds, and how people and programs read it. Pure; no doctor lives here."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from schemas.errors import count
from schemas.settings import Named, Settings

SCHEMA_VERSION = 1
SETTING, SOURCE = 21, 15  # columns of a table of settings
ALIKE = 0.8  # all names begin with TRAINQ_
SUBJECT = 10  # letters of the column that says what a line is about


class Level(StrEnum):
    """How bad it is; as people read it."""

    OK = "ok"
    WARN = "warn"  # works, but something may be lost or forgotten
    FAIL = "FAIL"  # does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis; whatever is not ok says what to do."""

    level: Level
    subject: str  # "redis"
    text: str
    fix: str = ""


def ok(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, subject, text)


def warn(subject: str, text: str, fix: str) -> Finding:
    """It works, but."""
    return Finding(Level.WARN, subject, text, fix)


def fail(subject: str, text: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(Level.FAIL, subject, text, fix)


def lines(findings: Sequence[Finding], width: int) -> Iterator[str]:
    """A line each, wrapped under itself, and below it what to do; the last line counts."""
    for found in findings:
        head = f"{found.level:<5} {found.subject:<{SUBJECT}} "
        yield from _wrapped(head, found.text, width)
        if found.fix:
            yield from _wrapped(f"{'':{len(head)}}try: ", found.fix, width)
    yield _sum(findings)


def worst(findings: Sequence[Finding]) -> int:
    """The exit code: 1 when something does not work."""
    return int(any(found.level is Level.FAIL for found in findings))


def record(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The same for programs."""
    return [asdict(found) for found in findings]


def setting_lines(named: Sequence[Named], width: int) -> Iterator[str]:
    """Each setting, who said it, and its value; a long value has a line of its own."""
    for each in named:
        head = f"{each.name:<{SETTING}} {each.source:<{SOURCE}} "
        value = each.value or "-"
        short = len(head + value) <= width
        yield from [head + value] if short else [head.rstrip(), f"    {value}"]


def of_strangers(names: Sequence[str]) -> list[Finding]:
    """Names in the environment that look like settings."""
    known = [field.alias or "" for field in Settings.model_fields.values()]
    found = []
    for name in names:
        meant = get_close_matches(name, known, 1, ALIKE)
        fix = f"did you mean {meant[0]}?" if meant else "README lists all settings"
        found.append(warn("settings", f"{name} is no setting of trainq", fix))
    return found


def document(named: Sequence[Named], findings: Sequence[Finding]) -> dict[str, Any]:
    """All of it for programs."""
    return {
        "schema_version": SCHEMA_VERSION,
        "settings": [each._asdict() for each in named],
        "findings": record(findings),
    }


def _wrapped(head: str, text: str, width: int) -> list[str]:
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return textwrap.wrap(
        shown,
        width=max(width, len(head) + 20),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]


def _sum(findings: Sequence[Finding]) -> str:
    """`12 checks: 2 warnings, 1 failure`."""
    warnings = sum(found.level is Level.WARN for found in findings)
    failures = sum(found.level is Level.FAIL for found in findings)
    bad = [count(warnings, "warning")] if warnings else []
    bad += [count(failures, "failure")] if failures else []
    return f"{count(len(findings), 'check')}: {', '.join(bad) or 'all is well'}"
