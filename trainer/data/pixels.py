"""From an image's number to a picture: out of the host's cache, or out of its file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path

from PIL import Image

from schemas.components.data import Data
from schemas.components.pixels import Cached, Files
from trainer.data import cache
from trainer.data.images import Images
from trainer.data.unreadable import Unreadable


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
Alive = Callable[[str], None]


def pictures(data: Data, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    """All pictures of a data set, as its config wants them; `alive` hears what takes long."""
    return of(data.pixels, data.img_size, images, cache_root, alive)


@singledispatch
def of(spec: object, img_size: int, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    """Where a spec takes pictures from."""
    raise TypeError(f"no pixels for {spec!r}")


@of.register
def _(spec: Files, img_size: int, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    def picture(number: int) -> Image.Image | Unreadable:
        path = images.paths[number]
        try:
            with Image.open(path) as file:
                return file.convert("RGB")
        except Exception as error:  # PIL raises whatever a broken file provokes in its decoders
            return Unreadable(path, f"{type(error).__name__}: {error}")

    return picture


@of.register
def _(spec: Cached, img_size: int, images: Images, cache_root: Path, alive: Alive) -> PictureOf:
    side = spec.side or img_size * 3 // 2
    good = [number for number in range(len(images.names)) if number not in images.bad]
    names, paths = [images.names[n] for n in good], [images.paths[n] for n in good]
    kept = cache.ready(cache_root / "pixels", names, paths, side, alive)
    return Kept(kept, {number: position for position, number in enumerate(good)})
