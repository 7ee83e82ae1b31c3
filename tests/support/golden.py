"""Screens that are kept as files: what a person sees, to the letter."""

from collections.abc import Iterable
from pathlib import Path

from publisher.text import Line, plain

FOLDER = Path(__file__).parents[1] / "golden"


def golden(name: str) -> str:
    """The screen that is kept under this name."""
    return (FOLDER / f"{name}.txt").read_text().removesuffix("\n")


def screen(lines: Iterable[Line]) -> str:
    """Lines as a terminal without colours shows them."""
    return "\n".join(plain(line).rstrip() for line in lines)
