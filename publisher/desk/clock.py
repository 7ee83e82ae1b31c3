"""Times in words: what people type (`2h`), what they read (`18m`), and ISO for programs."""

import re
from datetime import UTC, datetime

from schemas.errors import UsageError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+|\d+(?:\.\d+)?")
PART = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def parse_duration(text: str) -> float:
    """Seconds of `45s`, `30m`, `2h`, `1h30m`, `1d`; a bare number counts seconds."""
    if not DURATION.fullmatch(text.strip()):
        raise UsageError(f"'{text}' is not a duration", fix="45s, 30m, 2h, 1h30m or 1d")
    return sum(float(number) * UNITS[unit or "s"] for number, unit in PART.findall(text))


def brief(seconds: float) -> str:
    """A duration in at most six characters: 42s, 18m, 3h05m, 2d04h."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def exact(seconds: float) -> str:
    """A duration to the second: 6m 02s."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m {whole % 60:02d}s"


def iso(at: float | None) -> str | None:
    """ISO 8601 in UTC, for programs."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def of_day(at: float, now: float) -> str:
    """Local time, with the date when it was not within a day."""
    moment = datetime.fromtimestamp(at).astimezone()
    return moment.strftime("%H:%M:%S" if abs(now - at) < 86400 else "%Y-%m-%d %H:%M")
