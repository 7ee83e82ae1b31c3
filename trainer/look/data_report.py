"""`trainer data report`, at work: a data set's page, and its charts and sheets as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from schemas.rundir import write_atomic
from trainer.data.images import Images
from trainer.data.split import Parts
from trainer.data.stats import Look, statistics
from trainer.look import data_page, drawing, raster
from trainer.look.data_page import Sample
from trainer.look.drawing import Cell, Strip
from trainer.look.pictures import photo_uri

EACH = 6  # pictures of a class
PAIRS = 24  # that look the same


def make(
    file: Path, title: str, images: Images, parts: Parts, looks: Mapping[int, Look], classes: int
) -> Path:
    """Write all of it, the pictures beside the page; its address."""
    out = file.parent
    found = statistics(images, parts, looks)
    chosen = samples(images, parts, classes)
    number = {name: index for index, name in enumerate(images.names)}
    pairs = found["alike"][:PAIRS]
    wanted = [index for sample in chosen for index in sample.images]
    wanted += [number[pair[side]] for pair in pairs for side in ("train", "validate")]
    shown = {images.names[index]: opened(images.paths[index]) for index in dict.fromkeys(wanted)}
    charts = data_page.charts_of(found, list(looks.values()))
    out.mkdir(parents=True, exist_ok=True)
    for chart in charts.all():
        write_atomic(out / f"{chart.name}.png", drawing.png(raster.picture(chart)))
    sheets(out, title, images, chosen, pairs, shown)
    views = {each: photo_uri(picture) for each, picture in shown.items()}
    write_atomic(file, data_page.page(title, images, found, charts, chosen, views))
    return file


def opened(path: Path) -> Image.Image:
    """No larger than it will be shown: there may be hundreds."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((2 * drawing.SIDE, 2 * drawing.SIDE))
    return picture


def samples(images: Images, parts: Parts, classes: int) -> list[Sample]:
    """Of the rarest classes some images that train, spread over their names."""
    chosen = []
    for target, name in enumerate(images.classes):
        there = parts.train[parts.targets[parts.train] == target].tolist()
        there.sort(key=lambda index: images.names[index])
        places = np.linspace(0, len(there) - 1, min(EACH, len(there))).round().astype(int)
        chosen.append(Sample(name, len(there), tuple(there[place] for place in places)))
    return sorted(chosen, key=lambda sample: (sample.trains, sample.name))[:classes]


def sheets(
    out: Path,
    title: str,
    images: Images,
    chosen: Sequence[Sample],
    pairs: Sequence[Mapping[str, str]],
    shown: Mapping[str, Image.Image],
) -> None:
    """The same as PNG."""
    rows = [
        Strip(
            f"{sample.name}\n{sample.trains:,} train",
            [Cell(shown[images.names[index]], images.names[index]) for index in sample.images],
        )
        for sample in chosen
    ]
    write_atomic(out / "classes.png", drawing.png(drawing.sheet(f"{title}: some of each", rows)))
    if pairs:
        twins = [
            Strip(
                "" if pair["same_class"] else "ANOTHER CLASS",
                [Cell(shown[pair[side]], pair[side]) for side in ("train", "validate")],
                ("trains", "validates") if not row else (),
            )
            for row, pair in enumerate(pairs)
        ]
        whole = drawing.sheet(f"{title}: look the same on both sides", twins)
        write_atomic(out / "alike.png", drawing.png(whole))
