"""What is said while things happen: the event stream, and the worker's talk with its trainer.

The stream is the audit log and the outbox. The lines are JSON on the trainer's pipes; worker and
trainer share nothing else but the run folder and the exit code.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from schemas.preflight import Preflight
from schemas.run import Best, Cause, Progress, Record, Seconds, State


class EventKind(StrEnum):
    """One per transition script, and a few facts beside them."""

    SUBMITTED = "submitted"
    CLAIMED = "claimed"
    CHECKPOINT = "checkpoint"
    CANCEL_ASKED = "cancel_asked"
    REQUEUED = "requeued"
    HELD = "held"
    RELEASED = "released"
    READY = "ready"  # everything it waited for has ended
    MOVED = "moved"  # its priority, or its place
    EDITED = "edited"
    CONTROL = "control"  # of a batch, a person, a worker or all; `run` is empty
    PAUSED = "paused"  # a circuit breaker: a worker or a batch is held; `run` is the last straw
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    STARTED_OVER = "started_over"  # its checkpoint is on a runs root that has no worker alive
    QUARANTINED = "quarantined"
    PRUNED = "pruned"  # old ended runs were forgotten; `run` is empty
    RESTORED = "restored"  # its record was lost with Redis and read from its folder


END_EVENTS = frozenset(
    {EventKind.FINISHED, EventKind.FAILED, EventKind.CANCELLED, EventKind.SKIPPED}
)


class Event(Record):
    """One line of the audit log; `id` is the stream entry's, `at` is Redis TIME."""

    id: str
    kind: EventKind
    run: str = ""  # empty: a control concerns more than one
    at: Seconds
    by: str = ""  # who: a user, or a worker lane
    attempt: int = 0
    cause: Cause | None = None
    text: str = ""


# in the environment of whatever an attempt starts: which trainer of which worker it belongs to; of
# those who still send a finished run elsewhere with the second word at its end
MARK, FOLLOWER = "TRAINQ_TRAINER", ".follower"


class ExitCode(IntEnum):
    """How a trainer ends. All else and any signal, is judged by `queue_worker.attempts.outcome`."""

    FINISHED = 0
    CODE = 1
    CONFIG = 2
    DATA = 3
    CUDA_OOM = 4
    DIVERGED = 5
    SAVED = 75  # ended after a checkpoint: cancel, drain, or its worker fell silent


# ---- worker -> trainer, on the trainer's stdin -------------------------------------------------

BEAT = b"b\n"  # "my parent runs"; it does not say that the lease is good
FENCED = b"F\n"  # the lease is lost: leave now, save nothing


class Part(Record):
    """One of the runs that a gather run sums up, as its record was when the gathering began."""

    run: str
    state: State | None = None  # None: there is no record any more
    fold: int | None = None
    folds: int = 0  # into how many its data were cut
    weights: str = ""  # in its run's folder: the best ones, beside what they said
    metric: str = ""  # which chose its best epoch
    metrics: dict[str, float] = Field(default_factory=dict)  # of that epoch
    split: str = ""  # sha256 of its split file
    data: str = ""  # digest of its table of images


class Order(Record):
    """The one JSON line that turns a warm trainer into the trainer of an attempt."""

    run: str
    token: str
    name: str = ""  # what people call it, where it is shown elsewhere
    batch: str = ""
    shown_as: str = ""  # its id there; empty: the run's own
    kind: Literal["train", "gather"] = "train"
    parts: tuple[Part, ...] = ()  # of a gather run
    gpus: int = 1  # with more, the attempt is as many processes, one for each device
    run_dir: str
    attempt_dir: str  # already made, exclusively, by the worker
    data_root: str
    cache_root: str = ""  # absolute; decoded images are kept there; empty: with the runs
    resume: str = ""  # absolute path of a checkpoint folder; empty: from step 0
    runs_root: str = ""  # absolute; what runs share is kept there; empty: in the run folder
    init_from: str = ""  # of a retry: absolute path of the old run's checkpoint
    micro_batch: int = 0
    precision: str = ""
    foresee: bool = False  # nobody has predicted what the run needs: do it first
    memory_mb: int = 0  # that the run asked for; 0: it did not
    gpu_memory_mb: int = 0  # of each device
    silence_s: float = 0  # beats missing for longer than this: save and exit 75; 0 = no worker
    env: dict[str, str] = Field(default_factory=dict)


# ---- trainer -> worker, on a pipe that is not the trainer's stdout -------------------------------


class Warm(Record):
    """Imports are done; waiting for an order."""

    kind: Literal["warm"] = "warm"
    torch: str
    cuda: str = ""


class Alive(Record):
    """Work happened (files read, a batch, a step): feeds the stall watchdog and the display."""

    kind: Literal["alive"] = "alive"
    progress: Progress


class Epoch(Record):
    """One row of metrics."""

    kind: Literal["epoch"] = "epoch"
    epoch: int
    step: int
    metrics: dict[str, float]
    best: Best | None = None


class Saved(Record):
    """A checkpoint is complete on disk, checked and renamed into place."""

    kind: Literal["saved"] = "saved"
    path: str  # relative to the run folder
    step: int


class Chosen(Record):
    """A choice that later attempts must repeat."""

    kind: Literal["chosen"] = "chosen"
    precision: str
    micro_batch: int


class Foreseen(Record):
    """What the run will need, found out before its first step."""

    kind: Literal["foreseen"] = "foreseen"
    preflight: Preflight


Line = Annotated[Warm | Alive | Epoch | Saved | Chosen | Foreseen, Field(discriminator="kind")]
LINE: TypeAdapter[Line] = TypeAdapter(Line)


def parse_line(raw: bytes) -> Line:
    """A line of the trainer's pipe as a value; raises pydantic.ValidationError on anything else."""
    return LINE.validate_json(raw)


def metrics_row(line: Epoch) -> dict[str, Any]:
    """The row as it stands in metrics.csv and in Redis."""
    return {"epoch": line.epoch, "step": line.step, **line.metrics}
