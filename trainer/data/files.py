"""An image's file: its facts, and the one look that says whether it is a picture and takes it out.

A file is opened once, whether it is only checked or also kept: what is no picture is a value.
"""

import hashlib
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

PASSING = "cannot be read now"  # what may be gone at the next look is not remembered
CHUNK = 256  # files between two signs of life

Alive = Callable[[str], None]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one file turned out to be. Equal files have equal sums."""

    why: str = ""  # it is no image; nothing when it is one
    sum: str = ""

    @property
    def passing(self) -> bool:
        """Whether another look may find another thing."""
        return self.why.startswith(PASSING)


def facts_of(path: Path) -> str:
    """Size and time of a file, or why it cannot be an image."""
    try:
        facts = path.stat()
    except OSError as error:
        return f"is missing ({error.strerror})"
    if not stat.S_ISREG(facts.st_mode):
        return "is not a file"
    if facts.st_size == 0:
        return "is empty"
    if not os.access(path, os.R_OK):
        return "may not be read"
    return f"{facts.st_size} {facts.st_mtime_ns}"


def facts_of_all(paths: Sequence[Path], alive: Alive) -> list[str]:
    """The facts of each."""
    found = []
    for number, path in enumerate(paths):
        if number % CHUNK == 0:
            alive("looking for the images")
        found.append(facts_of(path))
    return found


def key_of(names: Sequence[str], facts: Sequence[str], *more: object) -> str:
    """The same while every file is of the same size and time."""
    lines = (f"{name}\t{fact}\n" for name, fact in zip(names, facts, strict=True))
    return hashlib.sha256("".join([*lines, *map(str, more)]).encode()).hexdigest()


def look(path: Path, facts: str, take: Callable[[Image.Image], T]) -> tuple[Seen, T | None]:
    """What is in a file, and what `take` makes of it; it decodes the file to its end."""
    if not facts[0].isdigit():
        return Seen(facts), None
    try:
        data = path.read_bytes()
    except OSError as error:
        return Seen(f"{PASSING} ({error.strerror})"), None
    try:
        with Image.open(io.BytesIO(data)) as file:
            taken = take(file)
    except UnidentifiedImageError:  # its own words name an object of ours
        return Seen("is broken (no kind of picture that Pillow knows)"), None
    except Exception as error:  # PIL raises whatever a broken file provokes in its decoders
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Seen(f"is broken ({why})"), None
    return Seen(sum=hashlib.blake2b(data, digest_size=16).hexdigest()), taken


def glance(file: Image.Image) -> None:
    """All that a check needs: of a JPEG only an eighth of the pixels are made."""
    file.draft("L", (max(file.width // 8, 1), max(file.height // 8, 1)))
    file.load()


def spread(work: Callable[[T], R], items: Sequence[T], what: str, alive: Alive) -> Iterator[R]:
    """The work on every item, in order, on all cores that we may use: PIL decodes beside Python."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "files") as pool:
        for start in range(0, len(items), CHUNK):
            alive(f"{what}: {start} of {len(items)}")
            yield from pool.map(work, items[start : start + CHUNK])
