"""Which version of the trainer's source is installed here: the same wherever the same files lie.

Reads files, imports nothing of what it reads; a laptop without torch can say its version too.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

PACKAGES = ("schemas", "trainer")  # all of ours that a trainer imports
SHOWN = 12  # characters of a version


def version() -> str:
    """The version of these very files; looks at every file, reads those that changed."""
    return _version(stamps())


def stamps() -> tuple[str, ...]:
    """Changes when any of the files does, for the price of a look at each."""
    facts = ((path, path.stat()) for _, path in files())
    return tuple(f"{path}:{each.st_mtime_ns}:{each.st_size}" for path, each in facts)


def files() -> Iterator[tuple[str, Path]]:
    """The source files, by name and by where they are."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                yield f"{package}/{path.relative_to(folder).as_posix()}", path


@lru_cache(maxsize=1)
def _version(of: tuple[str, ...]) -> str:
    whole = hashlib.sha256()
    for name, path in files():
        whole.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()[:SHOWN]
