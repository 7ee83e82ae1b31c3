"""What a data set is like: counts, sizes, colours, and what looks the same on both sides."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.errors import count
from trainer.data.images import Images
from trainer.data.likeness import Likeness, Pair, alike, likeness
from trainer.data.split import Indices, Parts, written

SHOWN_CLASSES = 24  # of more only the rarest are shown
SHOWN_PAIRS = 10
WIDTH = 80

Track = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture adds to the statistics."""

    size: tuple[int, int]  # width, height
    gray: bool
    mean: npt.NDArray[np.float64]  # of each channel
    square: npt.NDArray[np.float64]
    likeness: Likeness


def look(path: Path) -> Look:
    """Decode one picture and take its measure."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    pixels = np.asarray(picture, np.float64) / 255
    flat = pixels.reshape(-1, 3)
    gray = bool((pixels[..., :1] == pixels).all())
    return Look(picture.size, gray, flat.mean(0), (flat**2).mean(0), likeness(picture))


def looked_at(images: Images, parts: Parts, track: Track) -> dict[int, Look]:
    """Every image that trains or validates, measured."""
    used = sorted({*parts.train.tolist(), *parts.validate.tolist()})
    with ThreadPoolExecutor() as pool:
        seen = pool.map(look, [images.paths[index] for index in used])
        return dict(zip(used, track(seen, "looking at images", len(used)), strict=True))


def statistics(images: Images, parts: Parts, looks: Mapping[int, Look]) -> dict[str, Any]:
    """Everything that `trainer data stats` says, as plain values."""
    train, validate = ([looks[index] for index in part] for part in (parts.train, parts.validate))
    pairs = alike([each.likeness for each in train], [each.likeness for each in validate])
    sizes = sorted((each.size for each in looks.values()), key=lambda size: size[0] * size[1])
    mean, square = (
        np.mean([getattr(each, name) for each in train], axis=0) for name in ("mean", "square")
    )
    return {
        "images": images.own,
        "extra": len(images.names) - images.own,
        "bad": len(images.bad),
        "split": written(images, parts)[1],
        "parts": {name: part_of(images, getattr(parts, name)) for name in ("train", "validate")},
        "classes": classes_of(images, parts),
        "sizes": {
            "smallest": sizes[0],
            "median": sizes[len(sizes) // 2],
            "largest": sizes[-1],
        },
        "gray": sum(each.gray for each in looks.values()),
        "mean": [round(float(value), 4) for value in mean],
        "std": [round(float(value), 4) for value in np.sqrt(np.maximum(square - mean**2, 0))],
        "alike": [named(pair, images, parts) for pair in pairs],
    }


def part_of(images: Images, part: Indices) -> dict[str, int]:
    """How much is in a part."""
    people = {images.persons[index] for index in part} if images.persons else set()
    return {"images": len(part), "people": len(people)}


def classes_of(images: Images, parts: Parts) -> list[dict[str, Any]]:
    """How many images of each class train and validate."""
    train, validate = (
        Counter(parts.targets[part].tolist()) for part in (parts.train, parts.validate)
    )
    return [
        {"class": name, "train": train[target], "validate": validate[target]}
        for target, name in enumerate(images.classes)
    ]


def named(pair: Pair, images: Images, parts: Parts) -> dict[str, Any]:
    """A pair by the names of its pictures."""
    train, validate = int(parts.train[pair.one]), int(parts.validate[pair.other])
    return {
        "train": images.names[train],
        "validate": images.names[validate],
        "same_class": images.targets[train] == images.targets[validate],
        "bits": pair.bits,
    }


# ---- for people ----------------------------------------------------------------------------------


def page(found: dict[str, Any]) -> list[str]:
    """The statistics in lines of 80 columns."""
    extra = f" and {found['extra']} extra" if found["extra"] else ""
    bad = f", {found['bad']} bad ones left out" if found["bad"] else ""
    rows = [f"{count(found['images'], 'image')}{extra} of {len(found['classes'])} classes{bad}"]
    for name, part in found["parts"].items():
        people = f"  {part['people']} people" if part["people"] else ""
        rows.append(f"  {name:<9}{part['images']:>8} images{people}")
    rows += [f"split {found['split']}", "", *class_rows(found["classes"]), ""]
    each = "  ".join(f"{name} {w}x{h}" for name, (w, h) in found["sizes"].items())
    rows.append(f"sizes  {each}  (gray: {found['gray']})")
    for name in ("mean", "std"):
        rows.append(f"{name:<6} {' '.join(f'{value:.4f}' for value in found[name])}")
    return [cut(row) for row in [*rows, "", *alike_rows(found["alike"])]]


def class_rows(classes: Sequence[dict[str, Any]]) -> list[str]:
    """The table of classes, the rarest first when there are many."""
    total = sum(each["train"] for each in classes) or 1
    shown = list(classes)
    if len(classes) > SHOWN_CLASSES:
        shown = sorted(classes, key=lambda each: each["train"])[:SHOWN_CLASSES]
    rows = [f"{'CLASS':<44}{'TRAIN':>9}{'VALIDATE':>11}{'SHARE':>9}"]
    for each in shown:
        share = f"{each['train'] / total:.1%}"
        name = each["class"] if len(each["class"]) <= 42 else each["class"][:39] + "..."
        rows.append(f"{name:<44}{each['train']:>9}{each['validate']:>11}{share:>9}")
    if more := len(classes) - len(shown):
        most = max(each["train"] for each in classes)
        rows.append(f"and {more} classes with more, at most {most} that train (--json has all)")
    return rows


def alike_rows(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """The pairs that look the same on both sides."""
    if not pairs:
        return ["no picture that validates looks like one that trains"]
    rows = [f"{count(len(pairs), 'pair')} of pictures look the same in train and validation:"]
    for pair in pairs[:SHOWN_PAIRS]:
        other = "" if pair["same_class"] else "  (ANOTHER CLASS)"
        rows.append(f"  {short(pair['train'])}  {short(pair['validate'])}{other}")
    more = len(pairs) - SHOWN_PAIRS
    return [*rows, f"  and {more} more (--json has all)"] if more > 0 else rows


def short(name: str) -> str:
    """The end of a name tells more than its beginning."""
    return name if len(name) <= 28 else f"...{name[-25:]}"


def cut(row: str) -> str:
    return row if len(row) <= WIDTH else row[: WIDTH - 3] + "..."
