"""What `--json` promises: keys and types. A key that goes, or comes unsaid, fails a test."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from schemas.run import State


class Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


Pair = tuple[float, float]


class Read(Exact):
    """Everything that `--json` prints begins with the number of its schema."""

    schema_version: Literal[1]


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
    retried_as: str | None
    retried_state: State | None
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
    retried: dict[State, int]
    submitted_at: str
    open: bool


class Control(Exact):
    kind: str
    scope: str
    by: str
    reason: str
    at: str
    value: int


class List(Read):
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


class Why(Read):
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


class Result(Exact):
    place: int | None
    id: str
    name: str
    state: State
    user: str
    metric: str | None
    value: float | None
    best_epoch: int | None
    epochs: int
    duration_s: float
    worker: str
    batch: str
    retry_of: str
    retried_as: str | None
    retried_state: State | None
    ended_at: str | None
    cause: str | None
    error: str


class Results(Read):
    results: list[Result]


class Member(Result):
    fold: int | None
    kind: Literal["train", "gather"]


class ShowBatch(Read, Batch):
    held: Control | None
    runs: list[Member]


class Cell(Exact):
    id: str
    name: str
    state: State
    fold: int | None
    seed: int | None
    value: float | None
    cause: str | None
    error: str


class Experiment(Exact):
    place: int | None
    label: str
    differs: dict[str, Any]
    metric: str | None
    mean: float | None
    spread: float | None
    n: int
    of: int
    min: float | None
    max: float | None
    gpu_hours: float
    runs: list[Cell]
    missing: list[str]


class Experiments(Read):
    batch: str
    experiments: list[Experiment]


class Compared(BaseModel):
    """And a key for each `config.*` that differs, each `metrics.*` and its `.spread`."""

    model_config = ConfigDict(extra="allow")
    experiment: str
    runs: str
    missing: str
    n: int
    of: int
    gpu_hours: float


class Compare(Read):
    experiments: list[Compared]


class Person(Exact):
    user: str
    used_s: float
    running: int
    pending: int
    oldest_s: float
    back_s: float
    cap: int


class Share(Read):
    half_life_s: float
    people: list[Person]


class Prune(Read):
    dry_run: bool
    runs: list[str]
    folders: list[str]
    kept: dict[str, str]


class Restored(Exact):
    id: str
    name: str
    state: State
    restored: bool
    checkpoint_step: int
    how: str


class LeftOut(Exact):
    folder: str
    why: str


class Rebuild(Read):
    dry_run: bool
    runs: list[Restored]
    left_out: list[LeftOut]


class Problem(Exact):
    message: str
    file: str
    line: int
    column: int
    width: int
    key: str
    excerpt: str
    help: str


class Given(Exact):
    cell: list[str]
    digest: str
    config: dict[str, Any] | None = None
    origins: dict[str, str] | None = None


class File(Exact):
    """Of one run its digest and config; of several these of each cell."""

    file: str
    ok: bool
    problems: list[Problem]
    digest: str | None = None
    config: dict[str, Any] | None = None
    origins: dict[str, str] | None = None
    cells: list[Given] | None = None


class Validate(Read):
    ok: bool
    files: list[File]


class Change(Exact):
    key: str
    a: Any
    b: Any
    delta: float | None


class Diff(Read):
    a: str
    b: str
    config: list[Change]
    code: list[Change]
    environment: list[Change]
    metrics: list[Change]
    files: list[str]


class Setting(Exact):
    name: str
    value: str
    source: str


class Finding(Exact):
    subject: str
    level: Literal["ok", "warn", "FAIL"]
    text: str
    fix: str


class Doctor(Read):
    settings: list[Setting]
    findings: list[Finding]


class SentBatch(Exact):
    id: str
    name: str
    user: str
    kind: str
    total: int
    axes: dict[str, list[Any]]
    max_parallel: int


class Sent(Exact):
    id: str
    name: str
    state: State
    ahead: int | None
    priority: int
    notify: str
    batch: str
    kind: Literal["train", "gather"]
    fold: int | None
    retry_of: str
    start_from: str
    start: str
    memory_mb: int
    preflight: dict[str, Any] | None
    eta: Eta
    overrides: list[str]


class Submit(Read):
    batch: SentBatch | None
    runs: list[Sent]


class Host(Exact):
    lane: str
    host: str
    gpu: str
    gpu_name: str
    gpus: int
    memory_mb: int
    offer_mb: int
    busy_with: str
    shared_with: str
    state: Literal["silent", "held", "drained", "leaving", "busy", "waiting", "idle"]
    alive: bool
    seen_at: str
    run: str
    control: Control | None
    user: str
    code: str
    versions: dict[str, str]


class Workers(Read):
    workers: list[Host]


class Needs(Exact):
    peak_mb: int
    precision: Literal["fp32", "amp"]
    parameters: int
    trainable: int
    gmacs: float
    img_size: int
    batch_size: int
    accumulate: int
    gpus: int
    classes: int
    fixed_mb: float
    image_mb: float
    input_mb: float
    gradient_mb: float
    notes: list[str]
    by_hand: bool
    key: str


class Verdict(Exact):
    word: Literal["fits", "tight", "too big"]
    share: float
    gpu_mb: int
    batch: int
    accumulate: int


class Foreseen(Read):
    preflight: Needs | None
    refused: str
    fix: str
    failed: str
    verdict: Verdict | None
