"""What a data set is to everything after its reader: rows of images, in the order of their table.

A row says all that splits, samplers and labels need; no layout is known here.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

NAMED = 20  # images that a one-line error names; the log has them all


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled image."""

    name: str  # as its table or folder has it, the same on every machine
    path: Path
    target: int
    person: str = ""  # whom it shows; a+b: both, mixed
    labels: tuple[str, ...] = ()  # what a split may balance by beside the class
    origin: str = ""  # of an extra row, which only trains
    trains: bool = True  # otherwise it only validates
    odds: tuple[float, ...] = ()  # of each class, where the training label is drawn
    years: int = -1  # how old the person is; -1: nobody says


@dataclass(frozen=True, slots=True)
class Images:
    """Where the images are, what each shows, and what the classes are called."""

    paths: tuple[Path, ...]
    targets: tuple[int, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]  # as the table has them
    digest: str  # of names and targets: the same split of other data would be another split
    persons: tuple[str, ...] = ()  # of each image; nothing where the source knows none
    labels: tuple[tuple[str, ...], ...] = ()
    origins: tuple[str, ...] = ()  # "" for the source's own rows
    only_validate: frozenset[int] = frozenset()
    odds: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    bad: frozenset[int] = frozenset()  # in no part: missing, broken, or there twice
    years: tuple[int, ...] = ()  # how old each person is; nothing where the source knows no ages
    numbers: tuple[int, ...] = ()  # what is learnt of each image instead of its class

    @property
    def own(self) -> int:
        """How many rows are the source's own; extra ones come after them."""
        return len(self.origins) - sum(map(bool, self.origins)) if self.origins else len(self.names)

    def to_learn(self, answers: str) -> Self:
        """The same with labels as a model answers. Of ages its digest is another one: those that
        are corrected within their group count then.
        """
        if answers != "years":
            return self
        text = hashlib.sha256(f"{self.digest}\n{self.years}".encode())
        return replace(self, numbers=self.years, digest=text.hexdigest())


def gathered(rows: Sequence[Row], classes: tuple[str, ...]) -> Images:
    """The columns of rows; own rows first."""
    return Images(
        paths=tuple(row.path for row in rows),
        targets=tuple(row.target for row in rows),
        classes=classes,
        names=tuple(row.name for row in rows),
        digest=digest_of(rows),
        persons=tuple(row.person for row in rows) if any(row.person for row in rows) else (),
        labels=tuple(row.labels for row in rows) if any(row.labels for row in rows) else (),
        origins=tuple(row.origin for row in rows),
        only_validate=frozenset(n for n, row in enumerate(rows) if not row.trains),
        odds={n: row.odds for n, row in enumerate(rows) if row.odds},
        years=tuple(row.years for row in rows) if rows and rows[0].years >= 0 else (),
    )


def digest_of(rows: Iterable[Row]) -> str:
    """The same for rows that train the same; a checkpoint goes on only with its own."""
    text = hashlib.sha256()
    for row in rows:
        more = [row.person, row.origin, *(f"{odd:.9g}" for odd in row.odds)]
        more += [] if row.trains else ["only validates"]
        tail = "\t" + "\t".join(more) if any(more) else ""
        text.update(f"{row.name}\t{row.target}{tail}\n".encode())
    return text.hexdigest()


def enumerate_some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
