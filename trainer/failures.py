"""The images that went worst, as they are and as the model saw them. Small: they go into a page."""

import base64
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from timm.data import resolve_model_data_config

from schemas.config import TrainConfig
from schemas.errors import TrainqError
from trainer import foresee
from trainer.data import pixels, sources, transforms
from trainer.data.images import Images
from trainer.data.unreadable import Unreadable
from trainer.predictions import Predictions

SIDE = 150  # of a shown picture, in pixels
QUALITY = 78


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that was taken for something else."""

    name: str
    truth: str
    likely: tuple[tuple[str, float], ...]  # five classes, and how likely each was said to be
    of_truth: float
    given: str = ""  # a data URI; empty where the image is not here
    seen: str = ""


def worst(said: Predictions, most: int) -> list[Failure]:
    """Of the wrong answers those where the truth was said to be least likely."""
    images = np.arange(len(said.true))
    own = said.probabilities[images, said.true]
    wrong = np.flatnonzero(said.probabilities.argmax(1) != said.true)
    found = []
    for image in wrong[np.argsort(own[wrong], kind="stable")][:most].tolist():
        row = said.probabilities[image]
        best = np.argsort(-row, kind="stable")[:5].tolist()
        likely = tuple((said.classes[label], float(row[label])) for label in best)
        truth = said.classes[int(said.true[image])]
        found.append(Failure(said.names[image], truth, likely, float(own[image])))
    return found


def pictured(
    failures: Sequence[Failure], config: TrainConfig, classes: int, data_root: Path
) -> tuple[list[Failure], str]:
    """The same with their pictures; and why not, where the images are not here."""
    try:
        images = sources.read(config.data, data_root)
    except TrainqError as error:
        return list(failures), str(error)
    place = {name: number for number, name in enumerate(images.names)}
    here = [f for f in failures if f.name in place and images.paths[place[f.name]].is_file()]
    if not here:
        return list(failures), f"their images are not in {data_root}" if failures else ""
    few = only(images, [place[failure.name] for failure in here])
    size = config.data.img_size
    net = foresee.build(config.model, classes, size)
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    see = transforms.validating(size, look)
    shown = {}
    with tempfile.TemporaryDirectory(prefix="report") as scratch:
        picture = pixels.pictures(config.data, few, Path(scratch), lambda _: None)
        for number, failure in enumerate(here):
            found = picture(number)
            if not isinstance(found, Unreadable):
                pixels_seen = see(found).permute(1, 2, 0).numpy()
                seen = small(Image.fromarray(pixels_seen))
                shown[failure.name] = replace(failure, given=thumbnail(few, number), seen=seen)
    return [shown.get(failure.name, failure) for failure in failures], ""


def only(images: Images, which: Sequence[int]) -> Images:
    """A data set of these images alone."""
    return Images(
        tuple(images.paths[image] for image in which),
        tuple(images.targets[image] for image in which),
        images.classes,
        tuple(images.names[image] for image in which),
        images.digest,
    )


def thumbnail(images: Images, number: int) -> str:
    with Image.open(images.paths[number]) as file:
        return small(file.convert("RGB"))


def small(picture: Image.Image) -> str:
    """A JPEG of a few KB as a data URI."""
    picture.thumbnail((SIDE, SIDE))
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"
