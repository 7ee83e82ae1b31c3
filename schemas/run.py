"""What a run is: its states, the moves between them, why runs end, and the records everyone reads.

Knows no Redis: `queue_worker.queue` turns hashes into these values and back.
"""

import re
import secrets
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

SCHEMA = 2  # of the run record; a worker leaves a record with a later number alone and says so

ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # base32 without i, l, o, u
ID_LENGTH = 6
ID_PATTERN = re.compile(rf"^[{ID_ALPHABET}]{{{ID_LENGTH}}}$")
TOKEN_PATTERN = re.compile(r"^\d+-[0-9a-f]{8}$")


class State(StrEnum):
    """Where a run stands. Lost, stalled, position and ETA are derived, never stored."""

    WAITING = "waiting"  # for its parents
    QUEUED = "queued"  # may be claimed
    HELD = "held"  # somebody said not yet
    RUNNING = "running"  # a worker holds its lease
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # a parent failed


ENDED = frozenset({State.FINISHED, State.FAILED, State.CANCELLED, State.SKIPPED})
PENDING = frozenset({State.WAITING, State.QUEUED, State.HELD})
UNDONE = frozenset({State.FAILED, State.SKIPPED})  # ended, and nobody wished it: a retry answers it

# The one transition table. Every script in queue_worker/door/lua makes exactly one of these moves.
TRANSITIONS: MappingProxyType[State, frozenset[State]] = MappingProxyType(
    {
        State.WAITING: frozenset({State.QUEUED, State.HELD, State.CANCELLED, State.SKIPPED}),
        State.QUEUED: frozenset({State.RUNNING, State.WAITING, State.HELD, State.CANCELLED}),
        State.HELD: frozenset({State.QUEUED, State.WAITING, State.CANCELLED, State.SKIPPED}),
        # back to queued: lease lost, drain, fault; to held: quarantine and circuit breakers
        State.RUNNING: frozenset(
            {State.FINISHED, State.FAILED, State.CANCELLED, State.QUEUED, State.HELD}
        ),
        **{state: frozenset() for state in ENDED},  # ended states are final
    }
)


class Cause(StrEnum):
    """Why an attempt ended, when it did not simply finish."""

    CONFIG = "config"
    DATA = "data"
    CODE = "code"
    CUDA_OOM = "cuda_oom"
    HOST_OOM = "host_oom"
    DIVERGED = "diverged"
    STALLED = "stalled"
    TIMEOUT = "timeout"
    GPU_FAULT = "gpu_fault"
    HOST_LOST = "host_lost"
    CANCELLED = "cancelled"
    DRAINED = "drained"


class Wish(StrEnum):
    """What is asked of a running run; every renewal hears it. Of these a record keeps a cancel."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"  # its time limit is reached
    DRAIN = "drain"  # its worker, or that one's host, is being emptied


def new_id() -> str:
    """A fresh run id, the same everywhere: folder, Slack, W&B."""
    return "".join(ID_ALPHABET[byte % 32] for byte in secrets.token_bytes(ID_LENGTH))


def new_nonce() -> str:
    """The random half of a token, and what makes a repeated submit or claim recognisable."""
    return secrets.token_hex(4)


class Record(BaseModel):
    """Frozen, exact: the base of everything that crosses a process boundary."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # since the epoch, by Redis TIME


class Progress(Record):
    """How far a running attempt is; small, rewritten often."""

    step: int = 0
    steps: int = 0
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    images_per_s: float | None = None
    eta_s: float | None = None
    doing: str = ""  # "reading data", "training", "evaluating", "saving"


class Best(Record):
    """The best value so far of the metric that the config names."""

    metric: str
    value: float
    epoch: int


Kind = Literal["train", "gather"]  # a gather puts the results of its parents together


class Parent(Record):
    """A run that another one waits for."""

    id: Annotated[str, StringConstraints(pattern=ID_PATTERN.pattern)]
    on: Literal["ok", "any"] = "ok"  # that it finishes, or that it ends at all


class Run(Record):
    """A config in the queue, as everybody reads it."""

    id: str
    schema_number: int = SCHEMA
    name: str
    user: str
    state: State
    kind: Kind = "train"
    seq: int = 0  # microseconds since the epoch, each run its own: the order of submission
    priority: int = 0
    shift: int = 0  # microseconds in line that `queue move --first` and its like have added
    config: dict[str, Any]
    overrides: tuple[str, ...] = ()
    digest: str = ""  # of the experiment: the config without seed, name, note and notify
    code: str = ""  # version of the trainer's source where it was submitted
    ran_code: str = ""  # the same where its last attempt ran
    fold: int | None = None
    notify: str = ""  # "", "#channel", "@me", "none"
    batch: str = ""
    retry_of: str = ""
    start_from: str = ""  # of a retry: "<run>/<checkpoint>" inside runs_root
    after: tuple[Parent, ...] = ()
    skipped_for: str = ""  # the parent that did not finish
    needs_host: str = ""  # "<host>" or a worker's lane
    gpus: int = 1
    memory_mb: int = 0  # that it needs on each GPU; 0: nobody knows
    preflight: dict[str, Any] = Field(default_factory=dict)  # schemas.preflight.Preflight, if made
    peak_mb: int = 0  # measured
    time_limit_s: float = 0  # of all attempts together; 0: none
    ran_s: float = 0  # of all attempts so far
    data_fingerprint: str = ""
    submitted_at: Seconds
    started_at: Seconds | None = None  # of the first attempt
    ended_at: Seconds | None = None
    attempt: int = 0
    token: str = ""  # of the live attempt, "<attempt>-<nonce>"; empty unless running
    worker: str = ""  # the lane that runs it, "<host>:<gpu>"
    lease_until: Seconds | None = None
    checkpoint: str = ""  # relative to the run folder; only `checkpoint.lua` writes it
    checkpoint_step: int = 0
    runs_root: str = ""  # id of the runs root that holds the checkpoint
    crashes: int = 0  # deaths that were not the run's own fault
    stalls: int = 0
    micro_batch: int = 0  # 0: as the config says; set after CUDA_OOM
    precision: str = ""  # what the first attempt chose; reused by every later one
    wish: Wish | None = None
    wish_by: str = ""
    wish_reason: str = ""
    held_by: str = ""
    held_reason: str = ""
    ended_by: str = ""
    cause: Cause | None = None
    error: str = ""  # one line for people
    progress: Progress = Progress()
    best: Best | None = None
    result: dict[str, Any] = Field(default_factory=dict)  # the trainer's metrics of a finished run
    result_attempt: str = ""  # token of the attempt whose result counts

    @model_validator(mode="after")
    def each_state_has_its_fields(self) -> "Run":
        """A record that contradicts itself is quarantined, not guessed at."""
        if self.state is State.RUNNING and not TOKEN_PATTERN.match(self.token):
            raise ValueError("a running run needs the token of its attempt")
        if self.state is not State.RUNNING and self.token:
            raise ValueError(f"a {self.state} run cannot have a live attempt")
        if (self.state in ENDED) != (self.ended_at is not None):
            raise ValueError(f"ended_at does not fit the state {self.state}")
        if self.state is State.FAILED and self.cause is None:
            raise ValueError("a failed run needs a cause")
        if self.state is State.HELD and not self.held_by:
            raise ValueError("a held run needs who holds it")
        return self
