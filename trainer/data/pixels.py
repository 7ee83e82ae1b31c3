"""From an image's number to a picture: out of the host's cache, or out of its file."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

from PIL import Image

from schemas.components.data import Data, Extent, sides
from schemas.components.pixels import Cached, Files
from schemas.errors import count
from trainer.data import cache, check
from trainer.data.files import Alive, Seen, facts_of_all
from trainer.data.images import Images, enumerate_some
from trainer.data.unreadable import Unreadable
from trainer.faults import DataFault

FOLDER = "pixels"
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an image lies in its cache, and how large it is there."""

    slot: int
    height: int
    width: int


class Kept:
    """Pictures out of a cache, by the numbers of the images."""

    def __init__(self, cache: cache.Cache, slots: Mapping[int, int]) -> None:
        self.cache, self.slots = cache, slots

    def __call__(self, number: int) -> Image.Image:
        return self.cache.picture(self.slots[number])

    def frame(self, number: int) -> Frame:
        """The same without its pixels."""
        slot = self.slots[number]
        _, height, width, _ = self.cache.index[slot].tolist()
        return Frame(slot, height, width)


PictureOf = Callable[[int], Image.Image | Unreadable]


def pictures(data: Data, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    """All pictures of a data set, as its config wants them; `alive` hears what takes long."""
    return of(data.pixels, data.extent, images, cache_root, alive)


def look(data: Data, cache_root: Path) -> check.Look:
    """How a run looks at its images: one that keeps pixels decodes them in that very look."""
    spec = data.pixels
    if not isinstance(spec, Cached):
        return check.glance
    side = side_of(spec, data.extent)

    def keep(images: Images, facts: Sequence[str], alive: Alive) -> list[Seen]:
        return cache.ready(cache_root / FOLDER, images, facts, side, alive).seen

    return keep


@singledispatch
def of(spec: object, size: Extent, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    """Where a spec takes pictures from."""
    raise TypeError(f"no pixels for {spec!r}")


@of.register
def _(spec: Files, size: Extent, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    def picture(number: int) -> Image.Image | Unreadable:
        path = images.paths[number]
        try:
            with Image.open(path) as file:
                return file.convert("RGB")
        except Exception as error:  # PIL raises whatever a broken file provokes in its decoders
            return Unreadable(path, f"{type(error).__name__}: {error}")

    return picture


@of.register
def _(spec: Cached, size: Extent, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    facts = facts_of_all(images.paths, alive)
    side = side_of(spec, size)
    kept = cache.ready(cache_root / FOLDER, images, facts, side, alive)
    refuse(images, kept.bad)
    return Kept(kept, {number: number for number in range(len(images.names))})


def side_of(spec: Cached, size: Extent) -> int:
    """How large the shorter side of a picture is kept, whether it stands or lies."""
    return spec.side or max(sides(size)) * 3 // 2


def refuse(images: Images, bad: Mapping[int, str]) -> None:
    """All files that are no pictures, named at once; those that nobody will ask for may be bad."""
    found = [f"{images.paths[n]} {why}" for n, why in bad.items() if n not in images.bad]
    if found:
        for line in found:
            LOG.error("image %s", line)
        raise DataFault(
            f"{count(len(found), 'image')} cannot be used: {enumerate_some(found)}",
            fix="restore the files, or take their rows out of the table",
        )
