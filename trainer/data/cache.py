"""All images of a data set, decoded and shrunk once: one file that every process of a host maps.

A cache is named after what it was made from. Whoever comes first builds it, others wait and then
read; what a builder that died has done is not done again. The look that checks a file for a run
is the one that fills its slot, so the cache also knows what is wrong with the others.

  <TRAINQ_CACHE>/pixels/<key>/pixels.bin   uint8, image after image, height x width x channels
                              index.npy    a row an image: offset, height, width, channels, sum
                              bad.json     why the images without channels have none
                       <key>.<boot>.part/  the same while it is built; channels 0: not done yet
                       <key>.lock          held by who builds, index.npy by all who read

What nobody reads or builds, `trainer data prune` may delete.
"""

import fcntl
import json
import logging
import os
import shutil
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from schemas.errors import count
from schemas.rundir import sync_folder, write_atomic
from trainer.data.files import Alive, Seen, key_of, look, spread
from trainer.data.images import Images
from trainer.faults import DataFault, DiskFault

VERSION = 3  # of what lies in a cache
WAIT_S = 0.2  # between two looks at who else builds
ROOM = 1 << 30  # bytes that stay free on the disk
ROOM_EVERY = 1024  # images, between two looks at that
INDEX, PIXELS, BAD = "index.npy", "pixels.bin", "bad.json"
PART, GONE = ".part", ".gone"
COLUMNS = 6  # offset, height, width, channels, and a sum of 16 bytes
ELSEWHERE = "TRAINQ_CACHE on another disk, or data.pixels.kind=files"
LOG = logging.getLogger(__name__)

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
        rows: Index = np.load(folder / INDEX)
        self.index, self.sums = rows[:, :4], rows[:, 4:]
        bad = json.loads((folder / BAD).read_text())
        self.bad: dict[int, str] = {int(number): why for number, why in bad.items()}
        self.pixels: Array = np.memmap(folder / PIXELS, np.uint8, "r")
        with suppress(PermissionError):  # of a cache that another user made
            os.utime(folder)  # when it was last of use: what `prune` looks at

    @property
    def seen(self) -> list[Seen]:
        """What each file turned out to be."""
        sums = (row.tobytes().hex() for row in self.sums)
        return [Seen(self.bad[n]) if n in self.bad else Seen(sum=sum) for n, sum in enumerate(sums)]

    def picture(self, number: int) -> Image.Image:
        """Gray or RGB, as it is kept."""
        offset, height, width, channels = self.index[number]
        flat = self.pixels[offset : offset + height * width * channels]
        if channels == 1:
            return Image.fromarray(flat.reshape(height, width))
        return Image.fromarray(flat.reshape(height, width, channels))


def ready(root: Path, images: Images, facts: Sequence[str], side: int, alive: Alive) -> Cache:
    """The cache of these files, built now if nobody has; `alive` hears how far it is."""
    folder = root / key(images.names, facts, side)
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            if not folder.exists():
                with locked(folder.with_suffix(".lock"), alive):
                    if not folder.exists():
                        part = build(folder, images.paths, facts, side, alive)
                        if part != folder:
                            return Cache(part)
            try:
                return Cache(folder)
            except FileNotFoundError:
                if folder.exists() and not (folder / INDEX).exists():
                    raise  # otherwise it was pruned between our two looks
    except OSError as error:
        raise DiskFault(
            f"no pixel cache could be made: {error}", where=str(root), fix=ELSEWHERE
        ) from error


def key(names: Sequence[str], facts: Sequence[str], side: int) -> str:
    """Another one when a file, the size, or who decodes is another one."""
    return key_of(names, facts, VERSION, side, cv2.__version__, PIL.__version__)[:32]


@contextmanager
def locked(path: Path, alive: Alive) -> Iterator[None]:
    """Alone at work; the kernel lets go for us should we die."""
    while True:
        with path.open("w") as file:
            if taken(file.fileno(), path):
                yield
                return
        alive("waiting for another run that looks at these images")
        time.sleep(WAIT_S)


def taken(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours now; one that was pruned while we waited is nobody's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def build(
    folder: Path, paths: Sequence[Path], facts: Sequence[str], side: int, alive: Alive
) -> Path:
    """Look at every file and keep its picture. One that cannot be read this time leaves a hole, and
    the folder its name of a part: whoever comes next tries again.
    """
    began = time.monotonic()
    cv2.setNumThreads(1)  # the images are spread over threads, not each of them
    part = begin(folder, len(paths))
    bad: dict[int, Seen] = {}
    with (part / PIXELS).open("r+b", buffering=0) as file:
        shelf = Shelf(file.fileno(), np.lib.format.open_memmap(part / INDEX, "r+"))
        demand_room(part, shelf.wants(3 * side * side))

        def store(number: int) -> Seen:
            seen, picture = look(paths[number], facts[number], partial(small, side=side))
            if picture is not None:
                shelf.put(number, picture, seen)
            return seen

        todo = shelf.empty()
        for number, seen in zip(todo, spread(store, todo, "caching pixels", alive), strict=True):
            if seen.why:
                bad[number] = seen
            elif number % ROOM_EVERY == 0:
                demand_room(part, shelf.wants())
        shelf.settle()
    write_atomic(part / BAD, json.dumps({n: seen.why for n, seen in bad.items()}).encode())
    LOG.info("pixel cache: %s in %.0f s", count(len(paths), "image"), time.monotonic() - began)
    if any(seen.passing for seen in bad.values()):
        return part
    part.rename(folder)
    sync_folder(folder.parent)
    return folder


def begin(folder: Path, images: int) -> Path:
    """The folder to fill; what it holds already stays.

    A part of an earlier boot is not trusted: its pages may never have reached the disk.
    """
    part = folder.with_name(f"{folder.name}.{boot()}{PART}")
    for stale in folder.parent.glob(f"{folder.name}.*{PART}"):
        if stale != part:
            shutil.rmtree(stale, ignore_errors=True)
    if (part / INDEX).exists():
        return part
    part.mkdir(exist_ok=True)
    (part / PIXELS).write_bytes(b"-")  # nobody can map a file of no bytes
    np.save(part / "index.tmp.npy", np.zeros((images, COLUMNS), np.int64))
    (part / "index.tmp.npy").rename(part / INDEX)
    return part


class Shelf:
    """Pictures one after the other, in the order in which they come, and where each of them is.

    Written and not mapped: a full disk is an error then, where a mapped page would be a SIGBUS.
    """

    def __init__(self, file: int, index: Index) -> None:
        self.file, self.index, self.lock = file, index, threading.Lock()
        ends = index[:, 0] + index[:, 1:4].prod(1)
        self.end = int(ends.max(initial=1, where=index[:, 3] > 0))

    def put(self, number: int, picture: Array, seen: Seen) -> None:
        """What says that it is there is written last."""
        with self.lock:
            offset, self.end = self.end, self.end + picture.size
        os.pwrite(self.file, picture.tobytes(), offset)
        row = self.index[number]
        row[:3] = offset, *picture.shape[:2]
        row[4:] = np.frombuffer(bytes.fromhex(seen.sum), np.int64)
        row[3] = 1 if picture.ndim == 2 else 3

    def empty(self) -> list[int]:
        """The images that are not here yet."""
        return [int(number) for number in np.flatnonzero(self.index[:, 3] == 0)]

    def wants(self, each: int = 0) -> int:
        """Bytes that the others will take, by the mean of those that are here."""
        todo = len(self.empty())
        done = len(self.index) - todo
        return todo * (self.end // done if done else each)

    def settle(self) -> None:
        """On the disk, not only on its way."""
        self.index.flush()  # type: ignore[attr-defined]  # it is a map of its file
        os.fsync(self.file)


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


def small(file: Image.Image, side: int) -> Array:
    """A picture as it is kept, gray or RGB: its shorter side is `side` at most. JPEGs are decoded
    no larger than needed: half, a quarter ...
    """
    scale = min(1.0, side / min(file.size))
    width, height = (max(1, round(length * scale)) for length in file.size)
    if file.format == "JPEG" and file.mode in ("L", "RGB"):
        file.draft(file.mode, (width, height))
        whole = np.asarray(file)
    else:
        whole = np.asarray(file if file.mode == "L" else file.convert("RGB"))
    return shrunk(lean(whole), (height, width))


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
