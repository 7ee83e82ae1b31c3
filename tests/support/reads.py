"""What `--json` promises: keys and types. A key that goes, or comes unsaid, fails a test."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from schemas.run import State


class Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


Pair = tuple[float, float]


class Eta(Exact):
    start_s: Pair | None
    end_s: Pair | None


class Best(Exact):
    metric: str
    value: float
    epoch: int


class Progress(Exact):
    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float | None
    images_per_s: float | None
    eta_s: float | None
    doing: str


class Parent(Exact):
    id: str
    on: Literal["ok", "any"]


class Row(Exact):
    id: str
    name: str
    state: State
    user: str
    priority: int
    batch: str
    fold: int | None
    kind: Literal["train", "gather"]
    after: list[Parent]
    gpus: int
    memory_mb: int
    needs_host: str
    time_limit_s: float
    ran_s: float
    retry_of: str
    attempt: int
    worker: str
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    elapsed_s: float
    ahead: int | None
    why: str
    eta: Eta
    progress: Progress
    best: Best | None
    checkpoint_step: int
    wish: str | None
    ended_by: str
    cause: str | None
    error: str


class Worker(Exact):
    lane: str
    host: str
    gpu: str
    gpu_name: str
    alive: bool
    draining: bool
    run: str
    seen_at: str


class Batch(Exact):
    id: str
    name: str
    user: str
    kind: str
    total: int
    axes: dict[str, list[Any]]
    max_parallel: int
    counts: dict[State, int]
    submitted_at: str
    open: bool


class Control(Exact):
    kind: str
    scope: str
    by: str
    reason: str
    at: str
    value: int


class List(Exact):
    schema_version: Literal[1]
    now: str
    matching: int
    counts: dict[State, int]
    workers: list[Worker]
    batches: list[Batch]
    controls: list[Control]
    runs: list[Row]


class WhyOfWorker(Exact):
    lane: str
    answer: Literal["takes", "behind", "busy", "shared", "closed", "unfit"]
    sentence: str
    first: list[str]


class Why(Exact):
    schema_version: Literal[1]
    id: str
    name: str
    state: State
    user: str
    ahead: int | None
    why: str
    eta: Eta
    workers: list[WhyOfWorker]
    notes: list[str]
    commands: list[str]


class Attempt(Exact):
    number: int
    worker: str
    began: str
    ended: str | None
    how: str
    saved: str


class Event(Exact):
    id: str
    kind: str
    at: str
    by: str
    attempt: int
    cause: str | None
    text: str


class Difference(Exact):
    here: str
    there: str


class Show(BaseModel):
    """What it adds to the record of a run, whose fields are those of `schemas.run.Run`."""

    schema_version: Literal[1]
    id: str
    state: State
    submitted_at: str
    ended: bool
    ahead: int | None
    why: str
    eta: Eta
    commands: list[str]
    children: dict[str, State]
    attempts: list[Attempt]
    best_of_batch: str | None
    differs_from_best: dict[str, Difference]
    events: list[Event]
    metrics: list[dict[str, Any]]
    config: dict[str, Any]
