"""The growing log of an attempt, read as lines. Knows only a file."""

import os
from contextlib import suppress
from pathlib import Path

CHUNK = 256 * 1024  # bytes a look; a trainer that floods its log is read at leisure
LINE_LIMIT = 2000  # characters


class Tail:
    """What came since the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._partial = b""

    def lines(self, *, rest: bool = False) -> list[str]:
        """New whole lines; with `rest` the end of what is left, an unfinished last line too."""
        if rest:
            self._skip_to_the_end()
        fresh = self._read(CHUNK)
        *whole, self._partial = (self._partial + fresh).split(b"\n")
        if self._partial and (rest or len(self._partial) > CHUNK):
            whole.append(self._partial)
            self._partial = b""
        return [_text(line) for line in whole]

    @property
    def offset(self) -> int:
        """Bytes seen so far: when it moves, something is alive."""
        return self._offset

    def _skip_to_the_end(self) -> None:
        """Of a flood only the last chunk is worth its memory; the file keeps all."""
        with suppress(OSError):
            behind = self.path.stat().st_size - CHUNK
            if behind > self._offset:
                self._offset, self._partial = behind, b""

    def _read(self, limit: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                fresh = file.read(limit)
        except FileNotFoundError:
            return b""
        self._offset += len(fresh)
        return fresh


def last_line(path: Path, size: int = 4096) -> str:
    """The last line with something in it; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - size))
            rows = [_text(row).strip() for row in file.read().split(b"\n")]
    except OSError:
        return ""
    return next((row for row in reversed(rows) if row), "")


def append(path: Path, data: bytes) -> None:
    """Add to a log that has no other writer any more."""
    with path.open("ab") as file:
        file.write(data)


def _text(line: bytes) -> str:
    """One line as a person would see it: of a progress bar, its last state."""
    shown = line.rstrip(b"\r").rsplit(b"\r", 1)[-1]
    return shown.decode("utf-8", "replace")[:LINE_LIMIT]
