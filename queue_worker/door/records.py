"""What crosses the door: the values that callers give and get, and how a hash becomes a run.

Knows field names of the run hash, but neither keys nor a connection.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from schemas.events import Event
from schemas.run import (
    ID_PATTERN,
    TRANSITIONS,
    Best,
    Cause,
    Kind,
    Parent,
    Progress,
    Record,
    Run,
    Seconds,
    State,
    Wish,
)

LOG_LINES = 2000  # kept per run
LOG_WIDTH = 2000  # characters of a line

Priority = Annotated[int, Field(ge=-1000, le=1000)]
# part of a lane's name, whose parts are divided by bars
LanePart = Annotated[str, StringConstraints(pattern=r"^[^|\x00-\x1f]*$", max_length=200)]
RunId = Annotated[str, StringConstraints(pattern=ID_PATTERN.pattern)]


class Receipt(Record):
    """What became of a submission."""

    id: str
    state: State
    ahead: int  # queued runs before it
    repeated: bool  # an earlier call had queued it already


class WorkerCard(Record):
    """How a worker announces itself, with every claim and every tick."""

    lane: str  # "<host>:<gpu>": a fixed name; a lock on the host guards that one worker bears it
    host: str
    gpu: str
    boot_id: str
    pid: int
    runs_root: LanePart
    gpus: Annotated[int, Field(ge=1)] = 1  # devices that it holds
    memory_mb: int = 0
    offer_mb: int = 0  # memory of each device that a run may use now; 0: no limit is known
    busy_with: str = ""  # why it takes nothing just now, as a line for people
    shared_with: str = ""  # who else computes on its GPUs, though it takes runs
    gpu_name: str = ""
    code: str = ""  # version of the trainer's source that it runs
    versions: dict[str, str] = Field(default_factory=dict)
    user: str = ""
    started_at: float
    draining: bool = False
    doing: str = ""  # run id


class WorkerView(Record):
    """A worker as others see it; it is alive while `seen_at` is younger than a lease."""

    card: WorkerCard
    seen_at: Seconds
    run: str  # the run whose lease it holds, or ""
    alive: bool


class Claim(Record):
    """The right to one attempt of a run."""

    run: Run
    token: str
    rq_job: str | None  # None: RQ's keys are broken, which never stops a run


class Renewal(Record):
    """The answer to a renewed lease; `unknown` means no record at all: keep training."""

    answer: Literal["ok", "lost", "unknown"]
    wish: Wish | None = None
    wish_by: str = ""
    wish_reason: str = ""


class Verdict(StrEnum):
    """The answer of every script that compares a token."""

    DONE = "done"
    ALREADY = "already"  # done before, by this same token
    LOST = "lost"  # the token is not the live one: fenced


class Ending(Record):
    """How an attempt ends: exactly one of the moves out of running."""

    state: State
    cause: Cause | None = None
    error: str = ""
    by: str = ""
    best: Best | None = None
    result: dict[str, Any] = Field(default_factory=dict)
    result_attempt: str = ""  # the token whose result counts, when not this attempt's own
    progress: Progress | None = None
    micro_batch: Annotated[int, Field(ge=0)] = 0  # of the next attempt; 0: as before
    crashed: bool = False
    stalled: bool = False
    began: bool = True  # it came to its first step; a host where nothing does is paused
    peak_mb: Annotated[int, Field(ge=0)] = 0
    data_fingerprint: str = ""

    @model_validator(mode="after")
    def is_a_move_out_of_running(self) -> Self:
        """What the record could not hold is refused here, where the mistake is."""
        if self.state not in TRANSITIONS[State.RUNNING]:
            raise ValueError(f"an attempt cannot end as {self.state}")
        if self.state is State.FAILED and self.cause is None:
            raise ValueError("a failed run needs a cause")
        return self


class BatchCard(Record):
    """Runs that were submitted together: a sweep, a k-fold, several files."""

    id: Annotated[LanePart, StringConstraints(min_length=1)]
    name: Annotated[str, StringConstraints(min_length=1)]
    user: Annotated[LanePart, StringConstraints(min_length=1)]
    kind: Literal["files", "sweep", "folds", "seeds", "search"] = "files"
    total: Annotated[int, Field(ge=1)]
    axes: dict[str, list[Any]] = Field(default_factory=dict)  # what differs between its runs
    max_parallel: Annotated[int, Field(ge=0)] = 0  # 0: no limit


class BatchView(Record):
    """A batch as others see it."""

    card: BatchCard
    counts: dict[State, int]
    retried: dict[State, int] = Field(default_factory=dict)  # of `counts`: were tried again
    submitted_at: Seconds
    open: bool  # False: its submit is not complete, nothing of it starts


ControlKind = Literal["hold", "drain", "cap"]


class Control(Record):
    """Something a person, or a circuit breaker, has decided about more than one run."""

    kind: ControlKind
    scope: str  # all, user:<name>, batch:<id>, worker:<lane>, host:<name>
    by: str
    reason: str = ""
    at: Seconds
    value: int = 0  # of a cap: runs at a time


class Share(Record):
    """What one person used lately, and what that does to their place in line."""

    user: str
    used_s: float  # GPU seconds, halved every half-life
    running: int
    pending: int
    oldest_s: float  # for how long the first of the pending ones has waited


class Report(Record):
    """What the tick thread sends while an attempt runs."""

    number: Annotated[int, Field(ge=0)] = 0  # counts from 1 in an attempt; a repeat adds no lines
    progress: Progress | None = None
    log: tuple[str, ...] = ()
    metrics: tuple[dict[str, Any], ...] = ()
    best: Best | None = None
    precision: str = ""
    micro_batch: int = 0
    preflight: dict[str, Any] = Field(default_factory=dict)  # made here, where nobody had before


class Row(Record):
    """The columns of a run that a list needs: no config."""

    id: str
    name: str
    user: str
    state: State
    kind: Kind = "train"
    seq: int = 0
    priority: int = 0
    shift: int = 0
    digest: str = ""
    batch: str = ""
    fold: int | None = None
    after: tuple[Parent, ...] = ()
    skipped_for: str = ""
    retry_of: str = ""
    needs_host: str = ""
    gpus: int = 1
    memory_mb: int = 0
    time_limit_s: float = 0
    ran_s: float = 0
    submitted_at: Seconds
    started_at: Seconds | None = None
    ended_at: Seconds | None = None
    attempt: int = 0
    worker: str = ""
    lease_until: Seconds | None = None
    checkpoint_step: int = 0
    runs_root: str = ""
    crashes: int = 0
    wish: Wish | None = None
    wish_by: str = ""
    wish_reason: str = ""
    held_by: str = ""
    held_reason: str = ""
    ended_by: str = ""
    cause: Cause | None = None
    error: str = ""
    progress: Progress = Progress()
    best: Best | None = None


JSON_FIELDS = frozenset({"config", "overrides", "progress", "best", "result", "after", "preflight"})
# rows.lua answers these: plain text first, then JSON; state and lease are always there
ROW_JSON = [name for name in Row.model_fields if name in JSON_FIELDS]
ROW_TEXT = [name for name in Row.model_fields if name not in {*JSON_FIELDS, "id", "lease_until"}]
ROWS: TypeAdapter[list[Row]] = TypeAdapter(list[Row])


def dump(value: Any) -> str:
    """Compact JSON, as it is stored."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def plain(record: Record) -> dict[str, Any]:
    """A record as JSON values; a NaN stays one, so that what is read is what was said."""
    return record.model_dump(mode="json")


def one_line(text: str, width: int = 2000) -> str:
    """What people wrote or a program said, as one line that any terminal and JSON can carry."""
    words = " ".join(text.split())
    return carried(words if len(words) <= width else words[: width - 3] + "...")


def carried(text: str) -> str:
    """Text that JSON and Lua can carry: half a surrogate pair becomes a question mark."""
    return text.encode(errors="replace").decode()


def kept_lines(lines: Sequence[str]) -> list[str]:
    """The last lines of a log, as far as Redis keeps them."""
    return [line[:LOG_WIDTH] for line in lines[-LOG_LINES:]]


def epochs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Rows of metrics as their hash holds them."""
    return [(str(row["epoch"]), dump(row)) for row in rows]


def rq_time() -> str:
    """Now, as RQ writes it; only RQ's own view shows it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def paired(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """A hash as a script answers it: name, value, name, value."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def text_of(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """A hash as text; bytes that are no UTF-8 become visible marks."""
    return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in fields.items()}


def run_of(run_id: str, fields: Mapping[bytes, bytes], lease_until: float | None) -> Run:
    """The run that a hash describes; ValueError when it describes none."""
    texts = text_of(fields).items()
    known = {name: text for name, text in texts if text and name in Run.model_fields}
    try:
        parsed = {n: json.loads(text) if n in JSON_FIELDS else text for n, text in known.items()}
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error
    lease = {} if lease_until is None else {"lease_until": lease_until}
    return Run.model_validate({**parsed, **lease, "id": run_id})


def card_of(text: object) -> WorkerCard | None:
    """The card that a worker left, or None for anything else; a newer worker may say more."""
    try:
        said = json.loads(text) if isinstance(text, bytes) else {}
        known = {name: said[name] for name in said if name in WorkerCard.model_fields}
        return WorkerCard.model_validate(known)
    except (ValueError, TypeError, RecursionError):  # not even JSON, or no card
        return None


def control_of(what: str, text: str) -> Control | None:
    """The control that a field of the hash describes, or None for anything else."""
    kind, _, scope = what.partition(":")
    try:
        return Control.model_validate({**json.loads(text), "kind": kind, "scope": scope})
    except (ValueError, TypeError):
        return None


def batch_of(
    card: bytes, at: bytes, opened: bytes, counts: dict[State, int], retried: dict[State, int]
) -> BatchView | None:
    """The batch that the parts of its hash describe, or None."""
    try:
        return BatchView(
            card=BatchCard.model_validate_json(card),
            counts={state: number for state, number in counts.items() if number},
            retried={state: number for state, number in retried.items() if number},
            submitted_at=float(at),
            open=opened != b"0",
        )
    except ValueError:
        return None


def batched(flat: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """A flat answer of a script, cut into its entries."""
    return (flat[start : start + size] for start in range(0, len(flat), size))


def mistake(error: ValueError) -> str:
    """The first thing that is wrong with a record, in one line."""
    if not isinstance(error, ValidationError):
        return one_line(str(error))
    first = error.errors(include_url=False)[0]
    return one_line(f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}")


def event_of(entry: tuple[bytes, Mapping[bytes, bytes]]) -> Event | None:
    """The event that a stream entry tells; None for what others have put there."""
    filled = {name: text for name, text in text_of(entry[1]).items() if text}
    try:
        return Event.model_validate({**filled, "id": entry[0].decode()})
    except ValidationError:
        return None


def rows_of(lines: bytes) -> list[Row]:
    """The rows that `rows.lua` wrote, one a line; a broken record is left out."""
    try:
        return ROWS.validate_json(b"[" + lines.replace(b"\n", b",") + b"]")
    except ValidationError:
        return [row for line in lines.split(b"\n") for row in _one_row(line)]


def _one_row(line: bytes) -> list[Row]:
    try:
        return ROWS.validate_json(b"[" + line + b"]")
    except ValidationError:
        return []
