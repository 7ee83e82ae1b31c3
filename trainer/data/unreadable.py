"""A file that is no picture."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value, so that it crosses threads and processes in one line."""

    path: Path
    why: str
