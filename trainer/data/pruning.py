"""Which pixel caches nobody has used for long, and how they go away.

A run holds a lock on the cache that it reads, a builder one on the cache that it makes: what is
locked stays. A folder first loses its name, so nobody ever maps half of it.
"""

import fcntl
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.errors import count
from trainer.data.cache import GONE, INDEX, PART

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of decoded images."""

    folder: Path
    images: int
    size: int  # bytes that it takes on the disk
    unused_s: float
    why: str = ""  # it stays; nothing when it can go

    @property
    def part(self) -> bool:
        """Whether it was never finished."""
        return self.folder.suffix in (PART, GONE)

    def line(self) -> str:
        """How people see it."""
        what = "unfinished" if self.part else count(self.images, "image")
        days = f"{self.unused_s / DAY_S:.0f} days ago"
        return f"  {self.size / 1e9:6.1f} GB  {what:<16}{days:>13}  {self.why or 'can go'}"


def survey(root: Path, unused_s: float, now: float) -> list[Kept]:
    """All that is kept in a cache folder, what was used last first."""
    folders = [path for path in root.glob("*") if path.is_dir()] if root.is_dir() else []
    return sorted((look(path, unused_s, now) for path in folders), key=lambda kept: kept.unused_s)


def look(folder: Path, unused_s: float, now: float) -> Kept:
    """One folder, and whether it may go."""
    files = [path.lstat() for path in folder.glob("*")]
    last = max((facts.st_mtime for facts in [*files, folder.stat()]), default=now)
    images = 0
    with suppress(OSError, ValueError):
        images = len(np.load(folder / INDEX, mmap_mode="r"))
    lately = now - last < unused_s and folder.suffix != GONE
    with alone_with(folder) as needed:
        why = needed or ("used lately" if lately else "")
    size = sum(facts.st_blocks * 512 for facts in files)
    return Kept(folder, images, size, max(now - last, 0.0), why)


def free(found: Sequence[Kept]) -> list[Kept]:
    """Delete what can go; what came into use since it was looked at stays."""
    done = []
    for kept in found:
        with alone_with(kept.folder) as why:
            if why:
                continue
            gone = kept.folder.with_name(f"{kept.folder.name}.{time.time_ns()}{GONE}")
            kept.folder.rename(gone)
            shutil.rmtree(gone)
            lock_of(kept.folder).unlink(missing_ok=True)
            done.append(kept)
    return done


@contextmanager
def alone_with(folder: Path) -> Iterator[str]:
    """Why it must stay: somebody reads or builds it. Nobody begins to as long as we look."""
    held = []
    try:
        for path in (lock_of(folder), folder / INDEX):
            with suppress(FileNotFoundError):
                held.append(path.open("rb+"))
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        why = ""
    except BlockingIOError:
        why = "in use"
    except PermissionError:
        why = "another user's"
    try:
        yield why
    finally:
        for file in held:
            file.close()


def lock_of(folder: Path) -> Path:
    """What a builder of this folder holds."""
    return folder.with_name(f"{folder.name.partition('.')[0]}.lock")
