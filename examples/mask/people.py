"""Draws people in the layout of the users' mask task, offline and always the same.

train/images/<id>_<gender>_<race>_<age>/{mask1..mask5,incorrect_mask,normal}.<ext>, train/train.csv,
eval/images and eval/info.csv (ImageID,ans); and truth.csv, which no competition hands out, with the
answers and whom each image shows. Background, skin and shirt are a person's own and say nothing of
gender or age: a model that is validated on people it has seen knows them by these, so a split that
leaks scores far above one that does not. Knows nothing of trainq:

    python examples/mask/people.py FOLDER
"""

import argparse
import colorsys
import csv
import random
import uuid
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

PICTURES = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")
EXTENSIONS = (".jpg", ".png", ".jpeg")  # the users' pictures have all of them
RACES = ("Asian", "African", "Caucasian")
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Person:
    """Somebody with a face of their own."""

    name: str
    gender: str
    race: str
    age: int
    wall: Colour
    shirt: Colour
    skin: Colour
    stripes: int

    @property
    def folder(self) -> str:
        return f"{self.name}_{self.gender}_{self.race}_{self.age}"

    def answer(self, picture: str) -> int:
        """The class of one of their pictures, of 18."""
        mask = {"incorrect_mask": 1, "normal": 2}.get(picture, 0)
        return mask * 6 + (self.gender == "female") * 3 + (self.age >= 30) + (self.age >= 60)


def somebody(number: int, chance: random.Random) -> Person:
    """The next person; genders and age groups take turns, so that few people are enough."""
    low, high = ((18, 29), (30, 59), (60, 60))[number // 2 % 3]
    return Person(
        name=f"{number:06d}",
        gender=("male", "female")[number % 2],
        race=chance.choice(RACES),
        age=chance.randint(low, high),
        wall=vivid(chance, 0.9),
        shirt=vivid(chance, 0.7),
        skin=tone(chance),
        stripes=chance.randint(0, 6),
    )


def tone(chance: random.Random) -> Colour:
    """A skin, from dark to light."""
    hue, light = chance.uniform(0.04, 0.09), chance.uniform(0.4, 0.95)
    red, green, blue = colorsys.hsv_to_rgb(hue, chance.uniform(0.3, 0.6), light)
    return round(255 * red), round(255 * green), round(255 * blue)


def vivid(chance: random.Random, light: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(chance.random(), chance.uniform(0.3, 1), light)
    return round(255 * red), round(255 * green), round(255 * blue)


def portrait(person: Person, picture: str, chance: random.Random, side: int) -> Image.Image:
    """One picture, `side` high; people stand a little differently in each."""
    width, height = side * 3 // 4, side
    image = Image.new("RGB", (width * 2, height * 2), person.wall)
    pen = ImageDraw.Draw(image)
    x, y = chance.gauss(0, 0.02), chance.gauss(0, 0.02)

    def box(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        return (
            (left + x) * width * 2,
            (top + y) * height * 2,
            (right + x) * width * 2,
            (bottom + y) * height * 2,
        )

    for stripe in range(person.stripes):
        edge = stripe / person.stripes
        pen.rectangle(box(edge, -0.1, edge + 0.03, 1.1), fill=person.shirt)
    hair = hair_of(person, chance)
    long = person.gender == "female"
    pen.ellipse(box(0.26, 0.14, 0.74, 0.78 if long else 0.5), fill=hair)
    pen.rectangle(box(0.15, 0.78, 0.85, 1.2), fill=person.shirt)
    pen.ellipse(box(0.3, 0.22, 0.7, 0.76), fill=person.skin)
    for eye in (0.4, 0.55):
        pen.ellipse(box(eye, 0.4, eye + 0.05, 0.44), fill=(20, 20, 20))
    wrinkles(pen, person, box)
    pen.arc(box(0.42, 0.56, 0.58, 0.66), 20, 160, fill=(150, 30, 40), width=max(2, side // 40))
    if picture.startswith("mask"):
        pen.rounded_rectangle(box(0.32, 0.5, 0.68, 0.73), side / 8, fill=(235, 240, 250))
    elif picture == "incorrect_mask":
        pen.rounded_rectangle(box(0.34, 0.66, 0.66, 0.8), side / 10, fill=(235, 240, 250))
    light = chance.uniform(0.9, 1.1)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    return small.point([min(255, round(value * light)) for value in range(256)] * 3)


def hair_of(person: Person, chance: random.Random) -> Colour:
    """Grayer with age, but not in everybody."""
    gray = min(200, max(20, round(3 * person.age - 20 + random.Random(person.name).gauss(0, 15))))
    return gray, gray, gray


def wrinkles(pen: ImageDraw.ImageDraw, person: Person, box: object) -> None:
    """A line on the forehead for every fifteen years or so."""
    lines = round(person.age / 15 + random.Random(f"{person.name} lines").gauss(0, 0.3))
    for line in range(max(0, lines - 1)):
        left, top, right, bottom = box(0.4, 0.26 + 0.035 * line, 0.6, 0.272 + 0.035 * line)  # type: ignore[operator]
        pen.rectangle((left, top, right, bottom), fill=(90, 60, 50))


def write_table(path: Path, rows: list[tuple[object, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def draw(
    folder: Path, *, people: int = 120, answered: int = 60, side: int = 128, first: int = 0
) -> int:
    """Draw everything below `folder`, from the person `first` on; the number of pictures."""
    persons, tests = [], []
    for number in range(first, first + people + answered):
        chance = random.Random(f"person {number}")
        person = somebody(number, chance)
        for picture in PICTURES:
            image = portrait(person, picture, chance, side)
            if number < first + people:
                path = folder / "train" / "images" / person.folder / picture
                path = path.with_suffix(EXTENSIONS[number % len(EXTENSIONS)])
            else:
                name = f"{uuid.UUID(int=chance.getrandbits(128)).hex}.jpg"
                path = folder / "eval" / "images" / name
                tests.append((name, person.answer(picture), person.name))
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
        if number < first + people:
            persons.append((person.name, person.gender, person.race, person.age, person.folder))
    write_table(folder / "train" / "train.csv", [("id", "gender", "race", "age", "path"), *persons])
    tests.sort()
    rows = [(name, 0) for name, *_ in tests]
    write_table(folder / "eval" / "info.csv", [("ImageID", "ans"), *rows])
    write_table(folder / "truth.csv", [("ImageID", "ans", "person"), *tests])
    return len(PICTURES) * (people + answered)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the data set goes; made if need be")
    target = parser.parse_args().folder
    print(f"{draw(target)} pictures of people in {target}")
