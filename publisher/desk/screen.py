"""A screen that is drawn again in its place, and leaves the terminal as it was. Knows no runs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from publisher.desk import console
from publisher.desk.text import Line

STYLES = {
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "live": "cyan",
    "dim": "dim",
    "bold": "bold",
}


class Show(Protocol):
    """Draws these lines; what does not fit below is left out."""

    def __call__(self, lines: Sequence[Line]) -> None: ...


def can_redraw() -> bool:
    """Whether stdout is a terminal that can be drawn on."""
    return sys.stdout.isatty() and console.live()


def size() -> tuple[int, int]:
    """Columns and rows of the terminal, now."""
    found = shutil.get_terminal_size()
    return found.columns, found.lines


@contextmanager
def redrawn() -> Iterator[Show]:
    """The alternate screen; the one before comes back, whatever happens."""
    from rich.console import Console  # 60 ms that only a watcher needs
    from rich.live import Live
    from rich.text import Text

    terminal = Console(file=sys.stdout, force_terminal=True, highlight=False, soft_wrap=True)
    styles = STYLES if console.colours(sys.stdout) else {}  # rich would keep bold and dim

    def text_of(lines: Sequence[Line]) -> Text:
        shown = Text(no_wrap=True, overflow="crop")
        for number, line in enumerate(lines[: size()[1] - 1]):
            shown.append("\n" if number else "")
            for part in line:
                shown.append(part.text, style=styles.get(part.style, ""))
        return shown

    drawn = ""
    with Live("", console=terminal, screen=True, auto_refresh=False) as live:

        def show(lines: Sequence[Line]) -> None:
            nonlocal drawn
            text = text_of(lines)
            if repr(text.markup) != drawn:  # nothing is written while nothing changes
                drawn = repr(text.markup)
                live.update(text, refresh=True)

        yield show
