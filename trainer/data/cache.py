"""All images of a data set, decoded and shrunk once: one file that every process of a host maps.

A cache is named after what it was made from. Whoever comes first builds it, others wait and then
read; what a builder that died has done is not done again.

  <TRAINQ_CACHE>/pixels/<key>/pixels.bin   uint8, image after image, height x width x channels
                              index.npy    a row an image: offset, height, width, channels
                       <key>.<boot>.part/  the same while it is built; channels 0: not done yet
                       <key>.lock          held by who builds, index.npy by all who read

What nobody reads or builds, `trainer data prune` may delete.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from schemas.errors import count
from schemas.rundir import sync_folder
from trainer.data.unreadable import Unreadable
from trainer.faults import DataFault, DiskFault

VERSION = 2  # of what lies in a cache
CHUNK = 256  # images between two signs of life
WAIT_S = 0.2  # between two looks at who else builds
ROOM = 1 << 30  # bytes that stay free on the disk
NAMED = 20
INDEX, PART, GONE = "index.npy", ".part", ".gone"
ELSEWHERE = "TRAINQ_CACHE on another disk, or data.pixels.kind=files"
LOG = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Size = tuple[int, int]  # height, width
Array = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]


class Cache:
    """A finished cache, mapped."""

    def __init__(self, folder: Path) -> None:
        held = os.open(folder / INDEX, os.O_RDONLY)
        weakref.finalize(self, os.close, held)
        fcntl.flock(held, fcntl.LOCK_SH)  # as long as we, or loaders of ours, map it, it stays
        if not os.path.samestat(os.fstat(held), (folder / INDEX).stat()):
            raise FileNotFoundError(folder)  # pruned while we waited, and built anew
        self.index: Index = np.load(folder / INDEX)
        self.pixels: Array = np.memmap(folder / "pixels.bin", np.uint8, "r")
        with suppress(PermissionError):  # of a cache that another user made
            os.utime(folder)  # when it was last of use: what `prune` looks at

    def picture(self, number: int) -> Image.Image:
        """Gray or RGB, as it is kept."""
        offset, height, width, channels = self.index[number]
        flat = self.pixels[offset : offset + height * width * channels]
        if channels == 1:
            return Image.fromarray(flat.reshape(height, width))
        return Image.fromarray(flat.reshape(height, width, channels))


def ready(
    root: Path, names: Sequence[str], paths: Sequence[Path], side: int, alive: Callable[[str], None]
) -> Cache:
    """The cache of these files, built now if nobody has; `alive` hears how far it is."""
    folder = root / key(names, paths, side)
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            if not folder.exists():
                with locked(folder.with_suffix(".lock"), alive):
                    if not folder.exists():
                        build(folder, paths, side, alive)
            try:
                return Cache(folder)
            except FileNotFoundError:
                if folder.exists() and not (folder / INDEX).exists():
                    raise  # otherwise it was pruned between our two looks
    except OSError as error:
        raise DiskFault(
            f"no pixel cache could be made: {error}", where=str(root), fix=ELSEWHERE
        ) from error


def key(names: Sequence[str], paths: Sequence[Path], side: int) -> str:
    """Another one when a file, the size, or who decodes is another one."""
    made_of = hashlib.sha256(f"{VERSION} {side} {cv2.__version__} {PIL.__version__}\n".encode())
    for name, path in zip(names, paths, strict=True):
        facts = path.stat()
        made_of.update(f"{name}\t{facts.st_size}\t{facts.st_mtime_ns}\n".encode())
    return made_of.hexdigest()[:32]


@contextmanager
def locked(path: Path, alive: Callable[[str], None]) -> Iterator[None]:
    """Alone at work; the kernel lets go for us should we die."""
    while True:
        with path.open("w") as file:
            if taken(file.fileno(), path):
                yield
                return
        alive("waiting for the pixel cache that another run builds")
        time.sleep(WAIT_S)


def taken(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours now; one that was pruned while we waited is nobody's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def build(folder: Path, paths: Sequence[Path], side: int, alive: Callable[[str], None]) -> None:
    """Decode and shrink every image, on all cores that we may use."""
    began = time.monotonic()
    cv2.setNumThreads(1)  # the images are spread over threads, not each of them
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "pixels") as pool:
        sizes = spread(pool, partial(size_of, side=side), paths, "measuring images", alive)
        refuse(sizes)
        part = begin(folder, sizes)
        index = np.lib.format.open_memmap(part / INDEX, "r+")
        todo = np.flatnonzero(index[:, 3] == 0).tolist()
        with (part / "pixels.bin").open("r+b", buffering=0) as pixels:
            fill = partial(store, pixels.fileno(), index, paths)
            refuse(spread(pool, fill, todo, "caching pixels", alive))
            index.flush()
            os.fsync(pixels.fileno())
    part.rename(folder)
    sync_folder(folder.parent)
    LOG.info("pixel cache: %s in %.0f s", count(len(paths), "image"), time.monotonic() - began)


def spread(
    pool: ThreadPoolExecutor,
    work: Callable[[T], R],
    items: Sequence[T],
    what: str,
    alive: Callable[[str], None],
) -> list[R]:
    """The work on every item, in order, with a sign of life between two chunks."""
    results: list[R] = []
    for start in range(0, len(items), CHUNK):
        alive(f"{what}: {start} of {len(items)}")
        results += pool.map(work, items[start : start + CHUNK])
    return results


def refuse(found: Sequence[object]) -> None:
    """All files that are no pictures, named at once."""
    bad = [one for one in found if isinstance(one, Unreadable)]
    if bad:
        for one in bad:
            LOG.error("image %s: %s", one.path, one.why)
        more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        named = ", ".join(f"{one.path} ({one.why})" for one in bad[:NAMED])
        raise DataFault(
            f"{count(len(bad), 'image')} cannot be read: {named}{more}",
            fix="restore the files, or take their rows out of the table",
        )


def begin(folder: Path, sizes: Sequence[Size | Unreadable]) -> Path:
    """The folder to fill, with a slot for every image; what it holds already stays.

    The file is sparse: a gray image fills a third of its slot, and the rest takes no disk. A part
    of an earlier boot is not trusted: its pages may never have reached the disk.
    """
    part = folder.with_name(f"{folder.name}.{boot()}{PART}")
    for stale in folder.parent.glob(f"{folder.name}.*{PART}"):
        if stale != part:
            shutil.rmtree(stale, ignore_errors=True)
    if (part / INDEX).exists():
        return part
    part.mkdir(exist_ok=True)
    areas = np.array([size for size in sizes if isinstance(size, tuple)], np.int64).reshape(-1, 2)
    slots = 3 * areas.prod(1)
    index = np.zeros((len(areas), 4), np.int64)
    index[1:, 0] = np.cumsum(slots)[:-1]
    index[:, 1:3] = areas
    demand_room(part, int(slots.sum()))
    with (part / "pixels.bin").open("wb") as file:
        file.truncate(int(slots.sum()))
    np.save(part / "index.tmp.npy", index)
    (part / "index.tmp.npy").rename(part / INDEX)
    return part


def demand_room(folder: Path, size: int) -> None:
    """A disk that fills up would end runs in the middle."""
    free = shutil.disk_usage(folder).free
    if size + ROOM > free:
        shutil.rmtree(folder)
        raise DataFault(
            f"the pixel cache may need {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free",
            where=str(folder.parent),
            fix=ELSEWHERE,
        )


# ---- one image -----------------------------------------------------------------------------------


def size_of(path: Path, side: int) -> Size | Unreadable:
    """Height and width in the cache, by the file's header: the shorter side is `side` at most."""
    try:
        with Image.open(path) as file:
            width, height = file.size
    except Exception as error:  # PIL raises whatever a broken file provokes in its decoders
        return Unreadable(path, f"{type(error).__name__}: {error}")
    scale = min(1.0, side / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def store(pixels: int, index: Index, paths: Sequence[Path], number: int) -> Unreadable | None:
    """Decode an image into its slot. What says that it is there is written last.

    Written and not mapped: a full disk is an error then, where a mapped page would be a SIGBUS.
    """
    offset, height, width, _ = index[number]
    try:
        image = shrunk(lean(decode(paths[number], (height, width))), (height, width))
    except Exception as error:  # as above, and cv2 has errors of its own
        return Unreadable(paths[number], f"{type(error).__name__}: {error}")
    os.pwrite(pixels, image.tobytes(), offset)
    index[number, 3] = 1 if image.ndim == 2 else 3
    return None


def decode(path: Path, wanted: Size) -> Array:
    """The picture, gray or RGB. JPEGs are decoded no larger than needed: half, a quarter ..."""
    with Image.open(path) as file:
        if file.format == "JPEG" and file.mode in ("L", "RGB"):
            file.draft(file.mode, wanted[::-1])
            return np.asarray(file)
        return np.asarray(file if file.mode == "L" else file.convert("RGB"))


def lean(image: Array) -> Array:
    """One channel of a gray picture, whatever its file says: a third to shrink and to keep."""
    few = image[::8, ::8]  # most colour shows here
    if image.ndim == 2 or (few != few[..., :1]).any():
        return image
    first, *others = cv2.split(image)
    gray = all(np.array_equal(first, other) for other in others)
    return np.asarray(first, np.uint8) if gray else image


def shrunk(image: Array, size: Size) -> Array:
    """Every pixel of the result is the mean of those that it stands for."""
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def boot() -> str:
    """Another one after every reboot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
