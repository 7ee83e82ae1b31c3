"""Screens as they should look, in `tests/golden`; GOLDEN=write makes them again, to look at."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from publisher.desk.text import Line, plain

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def looks_like(name: str, lines: Sequence[Line], width: int) -> None:
    """The lines are those of `<name>_<width>.txt`, and none is wider."""
    shown = "".join(plain(line) + "\n" for line in lines)
    file = FOLDER / f"{name}_{width}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(shown)
    assert shown == file.read_text()
    assert all(sum(part.width for part in line) <= width for line in lines)


def golden(name: str) -> str:
    """The screen that is kept under this name."""
    return (FOLDER / f"{name}.txt").read_text().removesuffix("\n")


def screen(lines: Iterable[Line]) -> str:
    """Lines as a terminal without colours shows them."""
    return "\n".join(plain(line).rstrip() for line in lines)
