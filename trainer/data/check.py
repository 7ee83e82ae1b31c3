"""Looks at every image before training: those that are missing, broken or there twice are named.

What was seen of unchanged files is remembered beside the runs, so folds and resumes look once.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from schemas.rundir import RunsRoot, write_atomic
from trainer.data import files
from trainer.data.cache import locked
from trainer.data.files import Alive, Seen, facts_of_all, key_of
from trainer.data.images import Images, enumerate_some
from trainer.faults import DataFault

SKIPPED_AT_MOST = 0.01
LOG = logging.getLogger(__name__)
Look = Callable[[Images, Sequence[str], Alive], list[Seen]]  # by the facts of each file


def glance(images: Images, facts: Sequence[str], alive: Alive) -> list[Seen]:
    """What is in every file, when nothing is kept of it."""

    def at(one: tuple[Path, str]) -> Seen:
        return files.look(*one, files.glance)[0]

    both = list(zip(images.paths, facts, strict=True))
    return list(files.spread(at, both, "looking at images", alive))


def checked(
    images: Images,
    on_bad: Literal["refuse", "skip"],
    shared: RunsRoot,
    alive: Alive,
    look: Look = glance,
) -> Images:
    """The same images with the bad ones out of every part; or a fault that names them all."""
    bad = troubles(images, shared, alive, look)
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


def troubles(images: Images, shared: RunsRoot, alive: Alive, look: Look = glance) -> dict[int, str]:
    """Which images cannot be used, and why; of equal ones the first by name can."""
    facts = facts_of_all(images.paths, alive)
    note = shared.checked(key_of(images.names, facts))
    seen = look_once(note, len(facts), alive, lambda: look(images, facts, alive))
    return dict(sorted(judged(images, seen)))


def judged(images: Images, seen: Sequence[Seen]) -> Iterator[tuple[int, str]]:
    """The verdict on each image that cannot be used; the source's own come first."""
    first_with: dict[str, int] = {}
    own, names = images.own, images.names
    for index in sorted(range(len(seen)), key=lambda index: (index >= own, names[index])):
        if seen[index].why:
            yield index, seen[index].why
        elif (first := first_with.setdefault(seen[index].sum, index)) != index:
            yield index, f"is the same picture as {names[first]}"


def look_once(note: Path, images: int, alive: Alive, look: Callable[[], list[Seen]]) -> list[Seen]:
    """What is in the files; of runs that begin at once, one looks and the others read its note."""
    if seen := remembered(note, images):
        return seen
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with locked(note.with_suffix(".lock"), alive):
            seen = remembered(note, images) or look()
            if not any(each.passing for each in seen):
                write_atomic(note, json.dumps([[each.why, each.sum] for each in seen]).encode())
    except OSError as error:  # without room for the note the next run looks again
        LOG.warning("cannot remember that the images were looked at: %s", error)
    return seen or look()


# ---- what was seen -------------------------------------------------------------------------------


def remembered(note: Path, files: int) -> list[Seen]:
    """What an earlier look found; nothing when there was none, or its note is damaged."""
    try:
        rows = json.loads(note.read_text())
        seen = [Seen(why, total) for why, total in rows]
    except (OSError, ValueError, TypeError):
        return []
    return seen if len(seen) == files else []
