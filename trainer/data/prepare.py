"""Makes a new folder of images out of an old one: cropped, mixed, or by somebody's own function.

The old folder is never touched; the new one is there whole or not at all.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from PIL import Image

from schemas.errors import UsageError
from trainer.data.images import enumerate_some
from trainer.data.mask import Face, people
from trainer.data.sources import pictures
from trainer.data.stats import Track
from trainer.data.tables import image_below, read_table
from trainer.faults import DataFault

Box = tuple[int, int, int, int]  # left, top, right, bottom
Change = Callable[[Image.Image, str], Image.Image | None]  # None: leave this one out
SIDES = ("left", "top", "right", "bottom")
QUALITY = 95
JPEG = (".jpg", ".jpeg")


@dataclass(slots=True)
class Made:
    """What became of the images."""

    written: int = 0
    left_out: list[str] = field(default_factory=list)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill beside `out`, which takes its name at the end."""
    if out.exists():
        raise UsageError(f"{out} is there already", fix="another OUT, or remove it first")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        yield part
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def rewrite(folder: Path, out: Path, change: Change, track: Track, threads: int) -> Made:
    """Every image below a folder, changed, under the same name in the new one."""
    names = sorted(path.relative_to(folder).as_posix() for path in pictures(folder))
    if not names:
        raise DataFault(f"{folder} holds no image", fix="the folder that the images are below")
    made = Made()
    with new_folder(out) as part, ThreadPoolExecutor(threads) as pool:
        done = pool.map(partial(rewrite_one, folder, part, change), names)
        for name, written in zip(names, track(done, "writing", len(names)), strict=True):
            made.written += written
            made.left_out += [] if written else [name]
    return made


def rewrite_one(folder: Path, part: Path, change: Change, name: str) -> bool:
    """Whether the image was written; another's function may want to leave it out."""
    try:
        with Image.open(folder / name) as file:
            changed = change(file.convert("RGB"), name)
        if changed is None:
            return False
        if not isinstance(changed, Image.Image):
            raise TypeError(f"a {type(changed).__name__} is no image")
        save(changed, part / name)
    except DataFault:
        raise
    except (Exception, SystemExit) as error:  # a broken file, or what a function of theirs raises
        what = f"{name}: {type(error).__name__}: {' '.join(str(error).split())}"
        fix = "mend the file or the function; nothing was kept"
        raise DataFault(f"cannot prepare {what}", where=str(folder / name), fix=fix) from error
    return True


def save(image: Image.Image, path: Path) -> None:
    """In the format that the name says. A JPEG knows nothing clear: it has the colours that lie
    below, which is what the loader makes of other formats.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() in JPEG and image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    image.save(path, quality=QUALITY)  # formats without a quality pass over it


# ---- crops ---------------------------------------------------------------------------------------


def middle(image: Image.Image, name: str, width: int, height: int) -> Image.Image:
    """The middle of an image, which may be smaller than that."""
    width, height = min(width, image.width), min(height, image.height)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def boxed(image: Image.Image, name: str, boxes: dict[str, Box]) -> Image.Image:
    """What its box holds; an image without one stays whole."""
    if name not in boxes:
        return image
    left, top, right, bottom = boxes[name]
    inside = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise DataFault(
            f"the box of {name} lies outside of its {image.width}x{image.height} pixels",
            fix="left, top, right, bottom in pixels of this image",
        )
    return image.crop(inside)


def read_boxes(table: Path, folder: Path) -> dict[str, Box]:
    """The boxes by image; a name that fits none is a slip of the pen."""
    columns = ("image_path", *SIDES)
    boxes: dict[str, Box] = {}
    strange = []
    for line in read_table(table, columns, f"the table needs the columns {','.join(columns)}"):
        name = image_below(line, "image_path")
        try:
            left, top, right, bottom = (round(float(line[side])) for side in SIDES)
        except (ValueError, OverflowError):
            raise line.fault("is no box", "four numbers: left, top, right, bottom") from None
        boxes[name] = (left, top, right, bottom)
        strange += [] if (folder / name).is_file() else [name]
    if strange:
        raise DataFault(
            f"{table} has boxes of images that are not there: {enumerate_some(strange)}",
            fix=f"names relative to {folder}",
        )
    return boxes


# ---- offline mixup of rare people ----------------------------------------------------------------


def mix_people(folder: Path, out: Path, age: int, seed: int | None, track: Track) -> int:
    """Half one person, half another of the same gender and at least this age; how many people.

    A mixed person is called after both, `a+b`: it trains only where neither of them validates.
    """
    every: dict[str, dict[str, Face]] = {}
    for face in people(folder):
        if face.age >= age and "+" not in face.person:
            every.setdefault(face.path.parent.name, {})[face.stem] = face
    couples = [
        couple
        for gender in ("male", "female")
        for couple in pairs([p for p, faces in every.items() if of(faces, gender)], seed)
    ]
    if not couples:
        what = f"{folder} has no two people of one gender who are {age} or older"
        raise DataFault(what, fix="a lower --age")
    with new_folder(out) as part:
        for one, other in track(couples, "mixing", len(couples)):
            mix_couple(every[one], every[other], part)
    return len(couples)


def of(faces: dict[str, Face], gender: str) -> bool:
    return next(iter(faces.values())).gender == gender


def pairs(names: Sequence[str], seed: int | None) -> list[tuple[str, str]]:
    """Everybody with the next: in the order of their names, or in one by lot."""
    order = sorted(names)
    if seed is not None:
        random.Random(seed).shuffle(order)
    return list(pairwise(order))


def mix_couple(one: dict[str, Face], other: dict[str, Face], part: Path) -> None:
    """The pictures that both have."""
    for stem in sorted(one.keys() & other.keys()):
        first, second = one[stem], other[stem]
        race = first.path.parent.name.split("_")[2]
        age = round((first.age + second.age) / 2)
        name = f"{first.person}+{second.person}_{first.gender}_{race}_{age}"
        with Image.open(first.path) as a, Image.open(second.path) as b:
            whole, half = a.convert("RGB"), b.convert("RGB")
        mixed = Image.blend(whole, half.resize(whole.size, Image.Resampling.BICUBIC), 0.5)
        save(mixed, part / name / f"{stem}.jpg")
