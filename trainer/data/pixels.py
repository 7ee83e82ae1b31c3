"""From an image's number to a picture: out of the host's cache, or out of its file."""

from collections.abc import Callable
from functools import singledispatch
from pathlib import Path

from PIL import Image

from schemas.components.data import Data
from schemas.components.pixels import Cached, Files
from trainer.data import cache
from trainer.data.images import Images
from trainer.data.unreadable import Unreadable

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
    if not images.bad:
        return kept.picture
    slot = {number: position for position, number in enumerate(good)}
    return lambda number: kept.picture(slot[number])
