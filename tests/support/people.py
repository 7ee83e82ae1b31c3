"""A small data set in the users' mask layout: drawn people whom a split that leaks would betray."""

import runpy
from pathlib import Path

DRAWER = Path(__file__).parents[2] / "examples" / "mask" / "people.py"


def draw_people(folder: Path, people: int = 12, answered: int = 0, side: int = 32) -> Path:
    """`train/images` with a folder a person, drawn by the example's own script."""
    runpy.run_path(str(DRAWER))["draw"](folder, people=people, answered=answered, side=side)
    return folder
