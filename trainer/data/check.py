"""Looks at every image before training: those that are missing, broken or there twice are named.

What was seen of unchanged files is remembered beside the runs, so folds and resumes look once.
"""

import hashlib
import io
import json
import logging
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import Image

from schemas.rundir import RunsRoot, write_atomic
from trainer.data.cache import locked
from trainer.data.images import Images, enumerate_some
from trainer.faults import DataFault

SKIPPED_AT_MOST = 0.01
LOG = logging.getLogger(__name__)
Alive = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What one file turned out to be. Equal files have equal sums."""

    why: str = ""  # it is no image; nothing when it is one
    sum: str = ""


def checked(
    images: Images, on_bad: Literal["refuse", "skip"], shared: RunsRoot, alive: Alive
) -> Images:
    """The same images with the bad ones out of every part; or a fault that names them all."""
    bad = troubles(images, shared, alive)
    if not bad:
        return images
    for index, why in bad.items():
        LOG.error("image %s %s", images.paths[index], why)
    names = enumerate_some([images.names[index] for index in bad])
    what = f"{len(bad)} of {len(images.paths)} images are missing, broken or there twice: {names}"
    if on_bad == "refuse":
        fix = "restore them, or take them out; the log says what each lacks. data.on_bad=skip "
        raise DataFault(what, fix=f"{fix}goes on without them, up to {SKIPPED_AT_MOST:.0%}")
    if too_many(bad, images):
        fix = "restore them; the log says what each lacks"
        raise DataFault(f"{what}: more than the {SKIPPED_AT_MOST:.0%} that may be skipped", fix=fix)
    LOG.warning("goes on without %s", what)
    skipped = "".join(f"{images.names[index]}\n" for index in bad)
    digest = hashlib.sha256(f"{images.digest}\nskipped\n{skipped}".encode()).hexdigest()
    return replace(images, bad=frozenset(bad), digest=digest)


def too_many(bad: Collection[int], images: Images) -> bool:
    """Whether so many are bad that leaving them out would be another experiment."""
    return len(bad) > SKIPPED_AT_MOST * len(images.paths)


def troubles(images: Images, shared: RunsRoot, alive: Alive) -> dict[int, str]:
    """Which images cannot be used, and why; of equal ones the first by name can."""
    facts = []
    for path in images.paths:
        alive()
        facts.append(facts_of(path))
    note = shared.checked(key_of(images.names, facts))
    return dict(sorted(judged(images, look_once(note, images.paths, facts, alive))))


def judged(images: Images, seen: Sequence[Seen]) -> Iterator[tuple[int, str]]:
    """The verdict on each image that cannot be used; the source's own come first."""
    first_with: dict[str, int] = {}
    own, names = images.own, images.names
    for index in sorted(range(len(seen)), key=lambda index: (index >= own, names[index])):
        if seen[index].why:
            yield index, seen[index].why
        elif (first := first_with.setdefault(seen[index].sum, index)) != index:
            yield index, f"is the same picture as {names[first]}"


def look_once(note: Path, paths: Sequence[Path], facts: Sequence[str], alive: Alive) -> list[Seen]:
    """What is in the files; of runs that begin at once, one looks and the others read its note."""
    if seen := remembered(note, len(facts)):
        return seen
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with locked(note.with_suffix(".lock"), lambda _: alive()):
            seen = remembered(note, len(facts)) or look(paths, facts, alive)
            if not any(each.why.startswith(PASSING) for each in seen):
                write_atomic(note, json.dumps([[each.why, each.sum] for each in seen]).encode())
    except OSError as error:  # without room for the note the next run looks again
        LOG.warning("cannot remember that the images were looked at: %s", error)
    return seen or look(paths, facts, alive)


# ---- one file ------------------------------------------------------------------------------------

PASSING = "cannot be read now"  # what may be gone at the next look is not remembered


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


def look(paths: Sequence[Path], facts: Sequence[str], alive: Alive) -> list[Seen]:
    """Every file decoded once, several at a time: PIL decodes beside Python."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = []
        for seen in pool.map(look_at, paths, facts):
            alive()
            found.append(seen)
        return found


def look_at(path: Path, facts: str) -> Seen:
    """What is in a file. A JPEG is read to its end, but only an eighth of its pixels are made."""
    if not facts[0].isdigit():
        return Seen(facts)
    try:
        data = path.read_bytes()
    except OSError as error:
        return Seen(f"{PASSING} ({error.strerror})")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.draft("L", (max(picture.width // 8, 1), max(picture.height // 8, 1)))
            picture.load()
    except Exception as error:  # PIL raises whatever a broken file provokes in its decoders
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Seen(f"is broken ({why})")
    return Seen(sum=hashlib.blake2b(data, digest_size=16).hexdigest())


# ---- what was seen -------------------------------------------------------------------------------


def key_of(names: Sequence[str], facts: Sequence[str]) -> str:
    """The same while every file is of the same size and time."""
    text = "".join(f"{name}\t{fact}\n" for name, fact in zip(names, facts, strict=True))
    return hashlib.sha256(text.encode()).hexdigest()


def remembered(note: Path, files: int) -> list[Seen]:
    """What an earlier look found; nothing when there was none, or its note is damaged."""
    try:
        rows = json.loads(note.read_text())
        seen = [Seen(why, total) for why, total in rows]
    except (OSError, ValueError, TypeError):
        return []
    return seen if len(seen) == files else []
