"""What is learnt from, how it is split, and how much of it at a time."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.components.pixels import Cached, Pixels
from schemas.components.spec import Count, Part, RelativePath, Spec, Whole


class SketchCsv(Spec):
    """A folder with `train.csv` (class_name,image_path,target) and a folder of images a class."""

    kind: Literal["sketch_csv"] = "sketch_csv"
    root: RelativePath = "."
    """The data set's folder, below the data root of whoever trains (TRAINQ_DATA)."""
    train_csv: RelativePath = "train.csv"
    """The table of training images, below `root`."""
    images: RelativePath = "train"
    """The folder that `image_path` is relative to, below `root`."""


class Holdout(Spec):
    """One stratified part held out for validation."""

    kind: Literal["holdout"] = "holdout"
    fraction: Part = 0.2
    """The share of every class that validates."""


class KFold(Spec):
    """One fold of a stratified k-fold."""

    kind: Literal["kfold"] = "kfold"
    folds: Annotated[int, Field(strict=True, ge=2, le=100)] = 5
    """How many folds the data are cut into."""
    fold: Whole = 0
    """Which of them validates, counted from 0."""


Split = Annotated[Holdout | KFold, Field(discriminator="kind")]


class Data(Spec):
    """What is learnt from, at which size, how many at a time."""

    source: SketchCsv = SketchCsv()
    """Where the images and their labels are."""
    split: Split = Holdout()
    """Which images validate."""
    img_size: Annotated[int, Field(strict=True, ge=16, le=2048)] = 224
    """Height and width that the model sees."""
    batch_size: Count = 32
    """Images an optimizer step: the effective batch, whatever the GPU's memory."""
    pixels: Pixels = Cached()
    """Where the pixels come from: the host's cache, or the original files."""
    workers: Annotated[int, Field(strict=True, ge=0, le=64)] = 2
    """Loader processes; the result does not depend on it."""
