"""Draws a small sketch data set, offline and always the same, in the layout of the users' task.

train.csv (class_name,image_path,target), test.csv (image_path), sample_submission.csv
(ID,image_path,target), a folder a class; and truth.csv, which no competition hands out, with the
answers. Knows nothing of trainq:

    python examples/sketch/sketches.py FOLDER
"""

import argparse
import csv
import itertools
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

Point = tuple[float, float]
Stroke = list[Point]  # in a unit square, y downwards

TRAIN_EACH, TEST_EACH = 48, 6  # pictures a class
TRAIN_COLUMNS = ("class_name", "image_path", "target")
SUBMISSION_COLUMNS = ("ID", "image_path", "target")


def arc(x: float, y: float, rx: float, ry: float, start: float = 0, end: float = 360) -> Stroke:
    """Part of an ellipse, in degrees."""
    angles = [math.radians(start + (end - start) * step / 24) for step in range(25)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


def turn(x: float, y: float, radius: float, degrees: float) -> Point:
    angle = math.radians(degrees)
    return (x + radius * math.cos(angle), y + radius * math.sin(angle))


SPIRAL = [turn(0.5, 0.5, 0.015 * step, 40 * step) for step in range(28)]
STAR = [turn(0.5, 0.52, 0.45, 144 * corner - 90) for corner in range(6)]

SHAPES: dict[str, list[Stroke]] = {
    "cup": [
        [(0.25, 0.25), (0.3, 0.85), (0.62, 0.85), (0.67, 0.25)],
        arc(0.46, 0.25, 0.21, 0.06),
        arc(0.67, 0.48, 0.16, 0.16, -80, 100),
    ],
    "fish": [
        arc(0.42, 0.5, 0.34, 0.2),
        [(0.74, 0.5), (0.95, 0.3), (0.95, 0.7), (0.74, 0.5)],
        arc(0.24, 0.45, 0.02, 0.02),
    ],
    "glasses": [
        arc(0.27, 0.5, 0.17, 0.15),
        arc(0.73, 0.5, 0.17, 0.15),
        arc(0.5, 0.5, 0.06, 0.05, 180, 360),
        [(0.1, 0.47), (0.02, 0.36)],
        [(0.9, 0.47), (0.98, 0.36)],
    ],
    "house": [
        [(0.2, 0.9), (0.2, 0.45), (0.5, 0.12), (0.8, 0.45), (0.8, 0.9), (0.2, 0.9)],
        [(0.2, 0.45), (0.8, 0.45)],
        [(0.44, 0.9), (0.44, 0.65), (0.58, 0.65), (0.58, 0.9)],
    ],
    "ladder": [
        [(0.33, 0.06), (0.27, 0.95)],
        [(0.67, 0.06), (0.73, 0.95)],
        *([(0.31, 0.2 + 0.15 * rung), (0.69, 0.2 + 0.15 * rung)] for rung in range(5)),
    ],
    "spiral": [SPIRAL],
    "star": [STAR],
    "umbrella": [
        arc(0.5, 0.5, 0.42, 0.38, 180, 360),
        *(arc(x, 0.5, 0.14, 0.07, 180, 360) for x in (0.22, 0.5, 0.78)),
        [(0.5, 0.12), (0.5, 0.82)],
        arc(0.57, 0.82, 0.07, 0.08, 0, 180),
    ],
}


def draw(name: str, chance: random.Random) -> Image.Image:
    """One picture by an unsteady hand: turned, stretched, wobbly, a stroke of dirt or two."""
    width, height = chance.randint(120, 260), chance.randint(120, 260)
    gray = chance.random() < 0.3
    paper, ink = colours(gray, chance)
    image = Image.new("L" if gray else "RGB", (width * 2, height * 2), paper)
    pen, thickness = ImageDraw.Draw(image), chance.randint(4, 11)
    for stroke in [*hand(SHAPES[name], chance), *dirt(chance)]:
        scaled = [(x * width * 2, y * height * 2) for x, y in stroke]
        pen.line(scaled, fill=ink, width=thickness, joint="curve")
    return image.resize((width, height), Image.Resampling.BILINEAR)


def hand(strokes: list[Stroke], chance: random.Random) -> list[Stroke]:
    """The strokes as somebody in a hurry draws them."""
    angle, wobble = chance.gauss(0, 0.25), chance.uniform(0.004, 0.016)
    across, along = chance.uniform(0.5, 0.95), chance.uniform(0.5, 0.95)
    mirror = chance.choice((-1, 1))
    shift_x, shift_y = chance.uniform(-0.12, 0.12), chance.uniform(-0.12, 0.12)

    def moved(point: Point) -> Point:
        x, y = (point[0] - 0.5) * across * mirror, (point[1] - 0.5) * along
        turned_x = x * math.cos(angle) - y * math.sin(angle)
        turned_y = x * math.sin(angle) + y * math.cos(angle)
        return (
            0.5 + shift_x + turned_x + chance.gauss(0, wobble),
            0.5 + shift_y + turned_y + chance.gauss(0, wobble),
        )

    return [[moved(point) for point in finer(stroke)] for stroke in strokes]


def finer(stroke: Stroke) -> Stroke:
    """Long lines get points in between, so that they wobble too."""
    points = [stroke[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(stroke):
        parts = max(1, round(math.hypot(x1 - x0, y1 - y0) / 0.12))
        points += [
            (x0 + (x1 - x0) * part / parts, y0 + (y1 - y0) * part / parts)
            for part in range(1, parts + 1)
        ]
    return points


def dirt(chance: random.Random) -> list[Stroke]:
    """What else is on the paper."""
    starts = [(chance.random(), chance.random()) for _ in range(chance.randint(0, 4))]
    return [[(x, y), (x + chance.gauss(0, 0.1), y + chance.gauss(0, 0.1))] for x, y in starts]


def colours(gray: bool, chance: random.Random) -> tuple[int, int] | tuple[tuple[int, ...], ...]:
    """Paper and ink."""
    if gray:
        return chance.randint(215, 255), chance.randint(0, 90)
    return (
        tuple(chance.randint(205, 255) for _ in range(3)),
        tuple(chance.randint(0, 110) for _ in range(3)),
    )


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=85)


def write_table(path: Path, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def make(folder: Path, seed: int = 1) -> int:
    """Draw everything below `folder`; the number of pictures."""
    rows: list[tuple[object, ...]] = []
    tests: list[str] = []
    for target, name in enumerate(SHAPES):
        for number in range(TRAIN_EACH):
            path = f"{name}/sketch_{number}.JPEG"
            save(draw(name, random.Random(f"{seed} {path}")), folder / "train" / path)
            rows.append((name, path, target))
        tests += [name] * TEST_EACH
    random.Random(seed).shuffle(tests)  # the order must not give the answers away
    for number, name in enumerate(tests):
        path = f"{number}.JPEG"
        save(draw(name, random.Random(f"{seed} test {path}")), folder / "test" / path)
    names = [f"{number}.JPEG" for number in range(len(tests))]
    write_table(folder / "train.csv", TRAIN_COLUMNS, rows)
    write_table(folder / "test.csv", ("image_path",), [(name,) for name in names])
    empty: list[tuple[object, ...]] = [(number, name, 0) for number, name in enumerate(names)]
    write_table(folder / "sample_submission.csv", SUBMISSION_COLUMNS, empty)
    label = list(SHAPES).index
    truth: list[tuple[object, ...]] = [
        (number, f"{number}.JPEG", label(name)) for number, name in enumerate(tests)
    ]
    write_table(folder / "truth.csv", SUBMISSION_COLUMNS, truth)
    return len(rows) + len(names)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the data set goes; made if need be")
    target = parser.parse_args().folder
    print(f"{make(target)} sketches of {len(SHAPES)} classes in {target}")
