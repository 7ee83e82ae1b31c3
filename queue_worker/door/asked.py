"""What people may ask of the door, checked before any of it goes to a script."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError

from queue_worker.door.records import LanePart, Priority, RunId, dump, mistake
from schemas.errors import UsageError
from schemas.run import Kind, Parent, Record


class Asked(Record):
    """What a person asks for: a value that cannot be is their mistake, not ours."""

    @classmethod
    def asked(cls, **values: Any) -> Self:
        """The values, or what is wrong with them."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise UsageError(f"{mistake(error)}; nothing was queued or changed") from error


class Submission(Asked):
    """A run to be queued; client-made id and nonce let the door recognise a repeat."""

    id: RunId
    nonce: Annotated[str, StringConstraints(min_length=1)]
    name: Annotated[str, StringConstraints(min_length=1)]
    user: Annotated[LanePart, StringConstraints(min_length=1)]
    config: dict[str, Any]
    kind: Kind = "train"
    overrides: tuple[str, ...] = ()
    digest: str = ""
    code: str = ""
    fold: Annotated[int, Field(ge=0)] | None = None
    priority: Priority = 0
    notify: str = ""
    batch: LanePart = ""
    after: tuple[Parent, ...] = ()
    retry_of: str = ""
    start_from: str = ""
    runs_root: LanePart = ""
    needs_host: LanePart = ""
    gpus: Annotated[int, Field(ge=1, le=64)] = 1
    memory_mb: Annotated[int, Field(ge=0)] = 0
    time_limit_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    preflight: dict[str, Any] = Field(default_factory=dict)
    held_by: str = ""  # submit straight into held
    held_reason: str = ""


class Change(Asked):
    """What may be changed of a pending run; what is None stays."""

    priority: Priority | None = None
    after: tuple[Parent, ...] | None = None
    needs_host: LanePart | None = None
    time_limit_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    config: dict[str, Any] | None = None  # with it its digest, and what it was made with
    digest: str | None = None
    overrides: tuple[str, ...] | None = None
    name: Annotated[str, StringConstraints(min_length=1)] | None = None
    notify: str | None = None
    memory_mb: Annotated[int, Field(ge=0)] | None = None  # of another config there is another
    preflight: dict[str, Any] | None = None


def told_apart(records: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], list[dict[str, str]]]:
    """What all of them have alike, and of each what is its own: the first is sent once."""
    alike = reduce(and_, (record.items() for record in records))
    return dict(alike), [dict(record.items() - alike) for record in records]


class Pieces:
    """Configs as pieces of text, `"key":value` each; what several share is written, and sent, once.

    A value is known by which it is, not by what it equals, so it is kept: its id stays its own.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[tuple[str, int], tuple[int, Any]] = {}

    def of(self, config: Mapping[str, Any]) -> list[int]:
        """Which pieces make this config, in order; the first is 1."""
        return [self._place(key, value) for key, value in config.items()]

    def _place(self, key: str, value: Any) -> int:
        known = self._places.get((key, id(value)))
        if known is None:
            self.texts.append(f"{dump(key)}:{dump(value)}")
            known = self._places[key, id(value)] = len(self.texts), value
        return known[0]
