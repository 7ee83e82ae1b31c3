"""The source that runs: its version, and what no commit has of it, kept by the sha256 of its bytes.

Taken while a trainer gets warm: from then on the files may change, what is imported does not.
"""

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from schemas import code
from schemas.rundir import write_atomic

FILE_LIMIT = 256 << 10  # bytes of an untracked file; a larger one is no source
TOTAL_LIMIT = 4 << 20  # bytes of diff and untracked files together


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What environment.json says of the source, and the texts that it names."""

    facts: Mapping[str, Any]
    texts: Mapping[str, bytes]  # by sha256

    def keep(self, folder: Path) -> None:
        """Every text once, whatever number of attempts ran it."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.texts.items():
            if not (folder / name).exists():
                write_atomic(folder / name, text)


@cache
def take() -> Snapshot:
    """The source of this very process."""
    return of(Path(__file__).resolve().parent.parent)


def of(home: Path) -> Snapshot:
    """The packages in this folder; a checkout also says its commit and what differs from it."""
    facts: dict[str, Any] = {"version": code.version()}
    commit = git(home, "rev-parse", "HEAD").decode().strip() if (home / ".git").exists() else ""
    if not commit:
        return Snapshot({**facts, "commit": ""}, {})
    texts: dict[str, bytes] = {}
    names: dict[str, str] = {}
    left_out: list[str] = []
    room = TOTAL_LIMIT
    for name, text in changes(home):
        if len(text) > room or (name and len(text) > FILE_LIMIT):
            left_out.append(name or "the diff")
            continue
        room -= len(text)
        names[name] = hashlib.sha256(text).hexdigest()
        texts[names[name]] = text
    diff = names.pop("", "")
    more = {"diff": diff, "untracked": names, "left_out": left_out}
    return Snapshot({**facts, "commit": commit, **more}, texts)


def changes(home: Path) -> Iterator[tuple[str, bytes]]:
    """The diff to the commit under an empty name, then every untracked file; only of our source."""
    if diff := git(home, "diff", "HEAD", "--binary", "--", *code.PACKAGES):
        yield "", diff
    listing = git(home, "ls-files", "--others", "--exclude-standard", "-z", "--", *code.PACKAGES)
    for name in listing.decode(errors="surrogateescape").split("\0"):
        path = home / name
        if name and path.is_file() and not path.is_symlink():
            # one byte too many shows that it is too large
            with path.open("rb") as file:
                yield name.encode(errors="replace").decode(), file.read(FILE_LIMIT + 1)


def git(home: Path, *words: str) -> bytes:
    """What git says, nothing where it cannot; it takes no locks."""
    command = ["git", "--no-optional-locks", "-C", str(home), *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""
