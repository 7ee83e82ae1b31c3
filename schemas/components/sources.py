"""Where images and their labels are: the layouts that can be read, as they lie on disk."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.components.spec import Fraction, NonNegative, RelativePath, Spec

COLUMN = r"^[^\x00-\x1f\x7f\"]{1,100}$"
Column = Annotated[str, StringConstraints(pattern=COLUMN)]
ORIGIN = r"^[a-z0-9][a-z0-9._-]{0,39}$"
Age = Annotated[int, Field(strict=True, ge=0, le=150)]
Ages = tuple[Age, Age]

GENDERS = ("male", "female")
MASKS = ("worn", "incorrect", "not_worn")
# what the 18 classes are made of, the last one counting fastest
PARTS = {"mask": len(MASKS), "gender": len(GENDERS), "age": 3}


class SketchCsv(Spec):
    """A folder with `train.csv` (class_name,image_path,target) and a folder of images a class."""

    kind: Literal["sketch_csv"] = "sketch_csv"
    root: RelativePath = "."
    """The data set's folder, below the data root of whoever trains (TRAINQ_DATA)."""
    train_csv: RelativePath = "train.csv"
    """The table of training images, below `root`."""
    images: RelativePath = "train"
    """The folder that `image_path` is relative to, below `root`."""


class Mask(Spec):
    """A folder a person, `id_gender_race_age`, with mask1-5, incorrect_mask and normal in it."""

    kind: Literal["mask"] = "mask"
    root: RelativePath = "."
    """The data set's folder, below the data root of whoever trains (TRAINQ_DATA)."""
    images: RelativePath = "train/images"
    """The folder of people, below `root`."""
    task: Literal["all", "mask", "gender", "age"] = "all"
    """all: 18 classes, mask * 6 + gender * 3 + age; or one of the three alone."""
    age_limits: Ages = (30, 60)
    """Where the middle and the last age group begin; what validation goes by."""
    train_age_limits: Ages | None = None
    """The same for the labels of training images only, such as [30, 58]."""
    soft_age: NonNegative = 0.0
    """Years of doubt around a limit: a training label is drawn anew every epoch; 0 is off."""
    drop_ages: tuple[Ages, ...] = ()
    """Ages that do not train, first to last, such as [[28, 29], [57, 59]]; they do validate."""
    relabel: RelativePath | None = None
    """A table id,image,mask,gender,age below `root`: empty cells stay; no image: all of them."""
    ignore: RelativePath | None = None
    """A table id,image below `root` of what is left out; no image: the whole person."""

    @property
    def classes(self) -> int:
        return {"all": 18, "mask": 3, "gender": 2, "age": 3}[self.task]


class Folders(Spec):
    """A folder a class with its images, at any depth."""

    kind: Literal["folders"] = "folders"
    root: RelativePath = "."
    """The folder of class folders, below the data root of whoever trains (TRAINQ_DATA)."""


class Csv(Spec):
    """Any table with a column of images and one of labels."""

    kind: Literal["csv"] = "csv"
    root: RelativePath = "."
    """The data set's folder, below the data root of whoever trains (TRAINQ_DATA)."""
    csv: RelativePath = "train.csv"
    """The table, below `root`."""
    images: RelativePath = "."
    """The folder that the image column is relative to, below `root`."""
    image: Column = "image_path"
    """The column of file names."""
    label: Column = "target"
    """The column of labels, numbers or words; they are sorted."""
    person: Column | None = None
    """The column that says which images belong together; no split will part them."""


Source = Annotated[SketchCsv | Mask | Folders | Csv, Field(discriminator="kind")]


class Extra(Spec):
    """Rows that only train. They are named in the split with their origin."""

    origin: Annotated[str, StringConstraints(pattern=ORIGIN)] = "extra"
    """Where they come from, such as pseudo-0.8; each has its own."""
    root: RelativePath = "."
    """Their folder, below the data root."""
    csv: RelativePath | None = None
    """Their table, below `root`; left out: `images` holds people, as the mask layout has them."""
    images: RelativePath = "."
    """The folder that the image column is relative to, or the folder of people."""
    image: Column = "image_path"
    """The column of file names."""
    label: Column = "target"
    """The column of labels: numbers of the source's classes, or their names."""
    person: Column | None = None
    """The column of people; `a+b` is of both, and trains only where neither validates."""
    confidence: Column | None = None
    """The column that says how sure the label is."""
    at_least: Fraction = 0.0
    """Rows of less confidence are left out."""


class TestRows(Spec):
    """The images of the test set, without answers: `info.csv` with ImageID,ans, or `test.csv`."""

    root: RelativePath = "."
    """The test set's folder, below the data root."""
    csv: RelativePath = "info.csv"
    """Its table, below `root`."""
    images: RelativePath = "images"
    """The folder that the image column is relative to, below `root`."""
    image: Column = "ImageID"
    """The column of file names."""
    answer: Column = "ans"
    """The column that answers go into."""


def knows_people(source: Source) -> bool:
    """Whether the source says which images show the same person."""
    return isinstance(source, Mask) or (isinstance(source, Csv) and source.person is not None)
