"""A small sketch data set in the users' layout: real JPEGs of varied size, gray and coloured."""

import csv
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw


def draw_sketches(folder: Path, classes: int = 3, each: int = 8, side: int = 40) -> Path:
    """`train.csv` and a folder a class; a class is a polygon with that many corners and a pen."""
    rows = []
    for target in range(classes):
        name = f"n{target:08d}"
        (folder / "train" / name).mkdir(parents=True)
        for number in range(each):
            image = f"{name}/sketch_{number}.JPEG"
            picture = sketch(
                corners=target + 3, dice=random.Random(1000 * target + number), side=side
            )
            picture.save(folder / "train" / image, quality=85)
            rows.append((name, image, target))
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("class_name", "image_path", "target"), *rows])
    return folder


def sketch(corners: int, dice: random.Random, side: int) -> Image.Image:
    """One drawing; every third is coloured, the others are gray."""
    size = (dice.randint(side, 2 * side), dice.randint(side, 2 * side))
    picture = Image.new("RGB", size, (255, 255, 255))
    middle, radius = (size[0] / 2, size[1] / 2), min(size) * dice.uniform(0.3, 0.45)
    turn = dice.uniform(0, math.tau)
    points = [
        (
            middle[0] + radius * math.cos(turn + math.tau * corner / corners),
            middle[1] + radius * math.sin(turn + math.tau * corner / corners),
        )
        for corner in range(corners)
    ]
    pen = (dice.randint(0, 200), 0, dice.randint(0, 90)) if dice.random() < 0.34 else (30, 30, 30)
    ImageDraw.Draw(picture).line([*points, points[0]], fill=pen, width=2 + corners)
    return picture if pen[0] != 30 else picture.convert("L")
