"""What is learnt from, how it is split, and how much of it at a time."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.components.pixels import Cached, Pixels
from schemas.components.sources import Extra, SketchCsv, Source, TestRows
from schemas.components.spec import Count, Part, Positive, RelativePath, Spec, Whole

# `auto` keeps people together wherever the source knows them; the last word cannot be missed
By = Literal["auto", "person", "image", "image_leaking_persons"]


class Holdout(Spec):
    """One part held out for validation."""

    kind: Literal["holdout"] = "holdout"
    fraction: Part = 0.2
    """The share that validates: of the images, or of the people."""
    stratify: Literal["class", "none"] = "class"
    """class: the same share of every class, or of every gender and age of people; none: by lot."""
    by: By = "auto"
    """What stays in one piece; auto: a person where the source knows people, else an image."""


class KFold(Spec):
    """One fold of a stratified k-fold."""

    kind: Literal["kfold"] = "kfold"
    folds: Annotated[int, Field(strict=True, ge=2, le=100)] = 5
    """How many folds the data are cut into."""
    fold: Whole = 0
    """Which of them validates, counted from 0."""
    stratify: Literal["class", "labels"] = "class"
    """class: each class alike in every fold; labels: each gender and each age group by itself."""
    by: By = "auto"
    """What stays in one piece; auto: a person where the source knows people, else an image."""


class IndexFiles(Spec):
    """A split that is written down: two tables with a column `image_path`, or `index`.

    `index` counts the rows of the source's own table from 0. What neither names is left out.
    """

    kind: Literal["index_files"] = "index_files"
    train: RelativePath = "train_index.csv"
    """The table of training images, below the data root."""
    validate_on: RelativePath = "valid_index.csv"
    """The table of validating images, below the data root."""
    by: By = "auto"
    """auto and person: refused when one person is in both tables."""


Split = Annotated[Holdout | KFold | IndexFiles, Field(discriminator="kind")]


class Shuffle(Spec):
    """Every training image once an epoch."""

    kind: Literal["shuffle"] = "shuffle"


class Imbalanced(Spec):
    """Images are drawn so that every class comes up equally often."""

    kind: Literal["imbalanced"] = "imbalanced"


class Weighted(Spec):
    """Images are drawn with the weight of their class."""

    kind: Literal["weighted"] = "weighted"
    weights: tuple[Positive, ...]
    """One weight a class, in the order of the classes."""


Sampler = Annotated[Shuffle | Imbalanced | Weighted, Field(discriminator="kind")]


Side = Annotated[int, Field(strict=True, ge=16, le=2048)]
Extent = int | tuple[int, int]  # the side of a square, or height and width, as timm has it


def sides(extent: Extent) -> tuple[int, int]:
    """Height and width."""
    return (extent, extent) if isinstance(extent, int) else extent


def px(extent: Extent) -> str:
    """For people."""
    return f"{extent} px" if isinstance(extent, int) else "{} x {} px".format(*extent)


class Smaller(Spec):
    """Training images of another size for the first epochs."""

    until: Count
    """Up to so many epochs."""
    size: Side
    """Height and width that the model sees in them."""


class Data(Spec):
    """What is learnt from, at which size, how many at a time."""

    source: Source = SketchCsv()
    """Where the images and their labels are."""
    extra: tuple[Extra, ...] = ()
    """More rows to train on, such as pseudo-labels; they never validate."""
    test: TestRows | None = None
    """The images to be answered; `trainer data check` looks at them too."""
    split: Split = Holdout()
    """Which images validate."""
    sampler: Sampler = Shuffle()
    """Which training images an epoch sees."""
    on_bad: Literal["refuse", "skip"] = "refuse"
    """Images that are missing, broken or there twice: refuse to begin, or leave up to 1% out."""
    img_size: Side = 224
    """Height and width that the model sees."""
    img_width: Side | None = None
    """Width, where that is another than the height: img_size: 384, img_width: 288."""
    smaller: tuple[Smaller, ...] = ()
    """Progressive resizing: smaller training images in the first epochs, then img_size."""
    batch_size: Count = 32
    """Images an optimizer step: the effective batch, whatever the GPU's memory."""
    pixels: Pixels = Cached()
    """Where the pixels come from: the host's cache, or the original files."""
    workers: Annotated[int, Field(strict=True, ge=0, le=64)] = 2
    """Loader processes; the result does not depend on it."""

    @property
    def extent(self) -> Extent:
        """What the model sees in validation."""
        square = self.img_width in (None, self.img_size)
        return self.img_size if square else (self.img_size, self.img_width or 0)

    def size_at(self, epoch: int) -> Extent:
        """That of training images in an epoch, counted from 0."""
        now = (each.size for each in self.smaller if epoch < each.until)
        return next(now, self.extent)
