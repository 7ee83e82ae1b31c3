"""A pass over images as it lies on the disk while it is made: stretches of whole batches, so that
an interrupted pass goes on in its middle. Knows no models.
"""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from schemas.rundir import write_atomic
from trainer.judge.predictions import Probabilities

KEPT_S = 5.0  # what is lost when the process is killed outright

Rest = Callable[[int], Iterator[Probabilities]]  # the batches from this image on


def whole(file: Path, images: int, rest: Rest) -> Probabilities:
    """All of a pass; only what is not there yet is made."""
    if (all_of_it := read(file)) is not None:
        return all_of_it
    made = list(found(file))
    start = sum(map(len, made))
    if start < images:
        made += kept(file, start, rest(start))
    together: Probabilities = np.concatenate(made)
    write(file, together)
    for stretch in file.parent.glob(f"{file.stem}.from-*.npy"):
        stretch.unlink()
    return together


def found(file: Path) -> Iterator[Probabilities]:
    """The stretches of an interrupted pass, as far as they follow each other."""
    start = 0
    while (stretch := read(beginning_at(file, start))) is not None and len(stretch):
        yield stretch
        start += len(stretch)


def kept(file: Path, start: int, batches: Iterator[Probabilities]) -> list[Probabilities]:
    """The rest, kept as it comes; on the way out of an interruption too."""
    made: list[Probabilities] = []
    waiting: list[Probabilities] = []

    def keep() -> None:
        together: Probabilities = np.concatenate(waiting)
        write(beginning_at(file, start + sum(map(len, made))), together)
        made.append(together)
        waiting.clear()

    since = time.monotonic()
    try:
        for batch in batches:
            waiting.append(batch)
            if time.monotonic() - since >= KEPT_S:
                keep()
                since = time.monotonic()
    finally:
        if waiting:
            keep()
    return made


def beginning_at(file: Path, start: int) -> Path:
    return file.with_name(f"{file.stem}.from-{start}.npy")


def read(file: Path) -> Probabilities | None:
    """Nothing where it is not there, or damaged: then it is made again."""
    try:
        made: Probabilities = np.load(io.BytesIO(file.read_bytes()), allow_pickle=False)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return made


def write(file: Path, made: Probabilities) -> None:
    packed = io.BytesIO()
    np.save(packed, made)
    write_atomic(file, packed.getvalue())
