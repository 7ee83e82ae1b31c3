"""Reads the users' mask layout: a folder a person, whose name and file names are the labels.

class = mask * 6 + gender * 3 + age group. Validation goes by the labels as they are; only training
labels may have other age limits, doubt around them, or ages left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import erf, sqrt
from pathlib import Path
from typing import Any

from schemas.components.sources import GENDERS, MASKS, Ages, Mask
from trainer.data.images import Row, enumerate_some
from trainer.data.tables import FIX_ROOT, Line, read_table
from trainer.faults import DataFault

PERSON = re.compile(r"(?P<id>[^_]+)_(?P<gender>male|female)_(?P<race>.+)_(?P<age>\d{1,3})", re.I)
# a word behind it is another picture of the same, such as mask1_rembg
PICTURE = re.compile(r"(?P<stem>mask[1-5]|incorrect_mask|normal)(_[a-z0-9]+)?", re.I)
MASK_OF = {"incorrect_mask": "incorrect", "normal": "not_worn"}
SURE = 0.999  # a label this likely is not drawn
RELABEL = ("id", "image", "mask", "gender", "age")
IGNORE = ("id", "image")


@dataclass(frozen=True, slots=True)
class Face:
    """One picture of a person, as its folder and its file say it."""

    person: str
    stem: str
    path: Path
    name: str
    mask: str
    gender: str
    age: int


def read(source: Mask, data_root: Path) -> tuple[list[Row], tuple[str, ...]]:
    """The rows of every person, and the classes of the task."""
    root = data_root / source.root
    faces = list(people(root / source.images))
    if source.ignore:
        faces = without(faces, read_table(root / source.ignore, IGNORE, "id,image", empty=True))
    if source.relabel:
        table = read_table(root / source.relabel, RELABEL, ",".join(RELABEL), empty=True)
        faces = relabelled(faces, table)
    return [row_of(face, source) for face in faces], class_names(source)


def people(folder: Path) -> Iterator[Face]:
    """Every picture of every person, in the order of their names; what is none is refused."""
    strange = []
    try:
        persons = sorted(visible(folder), key=lambda path: path.name)
    except OSError as error:
        raise DataFault(f"cannot read {folder}: {error.strerror}", fix=FIX_ROOT) from error
    if not persons:
        raise DataFault(f"{folder} holds no person", fix=FIX_ROOT)
    for person in persons:
        who = PERSON.fullmatch(person.name) if person.is_dir() else None
        if not who:
            strange.append(person.name)
            continue
        for picture in sorted(visible(person), key=lambda path: path.name):
            name = f"{person.name}/{picture.name}"
            what = PICTURE.fullmatch(picture.stem)
            if not what:
                strange.append(name)
                continue
            kind = what["stem"].lower()
            mask, gender = MASK_OF.get(kind, "worn"), who["gender"].lower()
            yield Face(who["id"], kind, picture, name, mask, gender, int(who["age"]))
    if strange:
        raise DataFault(
            f"{folder} holds what is no person or picture: {enumerate_some(strange)}",
            fix="a person is a folder id_gender_race_age, a picture mask1 to mask5, incorrect_mask "
            "or normal; names that begin with a dot are passed over",
        )


def visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


# ---- tables of corrections -----------------------------------------------------------------------


def without(faces: list[Face], table: list[Line]) -> list[Face]:
    """The pictures that no line of the table names."""
    gone = {face.name for line in table for face in named_by(line, faces)}
    return [face for face in faces if face.name not in gone]


def relabelled(faces: list[Face], table: list[Line]) -> list[Face]:
    """The pictures with the labels that the table gives them."""
    changed: dict[str, Face] = {}
    for line in table:
        change = change_of(line)
        for face in named_by(line, faces):
            changed[face.name] = replace(changed.get(face.name, face), **change)
    return [changed.get(face.name, face) for face in faces]


def named_by(line: Line, faces: list[Face]) -> list[Face]:
    """The pictures that a line is about; one that fits none is a slip of the pen."""
    person, image = line["id"], line["image"].lower()
    found = [face for face in faces if face.person == person and image in ("", face.stem)]
    if not found:
        raise line.fault(
            f"fits no picture: id={person!r}, image={line['image']!r}",
            "an id as the folders have it, and an image such as mask1 or normal, or none for all",
        )
    return found


def change_of(line: Line) -> dict[str, Any]:
    """The labels that a line sets."""
    change: dict[str, Any] = {}
    for column, words in (("mask", MASKS), ("gender", GENDERS)):
        if word := line[column].lower():
            if word not in words:
                raise line.fault(f"has no such {column}: {word!r}", f"one of {', '.join(words)}")
            change[column] = word
    if age := line["age"]:
        if not (age.isascii() and age.isdigit() and len(age) <= 3):
            raise line.fault(f"has no such age: {age!r}", "a number of years")
        change["age"] = int(age)
    if not change:
        raise line.fault("changes nothing", "fill mask, gender or age")
    return change


# ---- labels --------------------------------------------------------------------------------------


def row_of(face: Face, source: Mask, origin: str = "") -> Row:
    """A picture with its class under the rules of the source."""
    group = age_group(face.age, source.age_limits)
    return Row(
        name=face.name,
        path=face.path,
        target=target_of(face, group, source),
        person=face.person,
        labels=(face.gender, f"age {group}"),
        origin=origin,
        trains=not any(first <= face.age <= last for first, last in source.drop_ages),
        odds=odds_of(face, source),
        years=face.age,
    )


def age_group(age: int, limits: Ages) -> int:
    return sum(age >= limit for limit in limits)


def target_of(face: Face, group: int, source: Mask) -> int:
    """The class of a picture, its age group given."""
    mask, gender = MASKS.index(face.mask), GENDERS.index(face.gender)
    return {"all": mask * 6 + gender * 3 + group, "mask": mask, "gender": gender, "age": group}[
        source.task
    ]


def odds_of(face: Face, source: Mask) -> tuple[float, ...]:
    """How likely a training label is each class; nothing where it is the class that validates."""
    if source.task not in {"all", "age"}:
        return ()
    shares = age_odds(face.age, source.train_age_limits or source.age_limits, source.soft_age)
    if shares[age_group(face.age, source.age_limits)] >= SURE:
        return ()
    odds = [0.0] * source.classes
    for group, share in enumerate(shares):
        odds[target_of(face, group, source)] = share
    return tuple(odds)


def age_odds(age: int, limits: Ages, doubt: float) -> tuple[float, float, float]:
    """The share of each age group when an age is only known to `doubt` years."""
    if not doubt:
        group = age_group(age, limits)
        return (float(group == 0), float(group == 1), float(group == 2))
    older, oldest = (0.5 * (1 + erf((age + 0.5 - limit) / (doubt * sqrt(2)))) for limit in limits)
    return (1 - older, older - oldest, oldest)


def class_names(source: Mask) -> tuple[str, ...]:
    """What the classes of the task are called."""
    first, second = source.age_limits
    ages = (f"0to{first - 1}", f"{first}to{second - 1}", f"{second}up")
    every: Mapping[str, tuple[str, ...]] = {
        "all": tuple(
            f"{mask}-{gender}-{age}" for mask in MASKS for gender in GENDERS for age in ages
        ),
        "mask": MASKS,
        "gender": GENDERS,
        "age": ages,
    }
    return every[source.task]
