"""What a submit or a retry would queue: configs and flags in, planned runs out.

Pure: reads no file, asks no server, and makes no id.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from schemas.components.data import KFold
from schemas.config import Scribe
from schemas.contradictions import learning
from schemas.errors import TransitionRefused, UsageError
from schemas.preflight import key_of
from schemas.run import ENDED, UNDONE, Kind, Parent, Run, State
from schemas.takeover import Takeover, takeover

if TYPE_CHECKING:
    from queue_worker.queue import Row
    from schemas.config import TrainConfig
    from schemas.source import Loaded

BatchKind = Literal["files", "sweep", "folds", "seeds", "search"]

NAME_LENGTH = 64
FOLD = "data.split.fold="
SPLIT = ("data.split.kind", "data.split.folds")  # the fold alone tells
UNNAMED = ("name", "note", "notify", "model.name")  # overrides that a made name leaves out


@dataclass(frozen=True, slots=True)
class Needs:
    """Where a run can run, and for how long."""

    needs_host: str = ""
    gpus: int = 1
    memory_mb: int = 0
    time_limit_s: float = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Runs that belong together."""

    id: str
    name: str
    user: str
    kind: BatchKind
    total: int
    axes: dict[str, list[Any]]
    max_parallel: int = 0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the flags of a submit say about every run of it."""

    user: str
    name: str = ""
    priority: int = 0
    notify: str = ""
    hold: bool = False
    needs: Needs = Needs()
    max_parallel: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """For another planned run, by its place in the plan."""

    index: int
    on: Literal["ok", "any"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A run that is about to be queued; it lacks only its id."""

    name: str
    user: str
    config: dict[str, Any]
    kind: Kind = "train"
    overrides: tuple[str, ...] = ()
    digest: str = ""
    code: str = ""
    fold: int | None = None
    priority: int = 0
    notify: str = ""
    batch: str = ""
    after: tuple[Parent, ...] = ()
    waits: tuple[Wait, ...] = ()  # for others of the plan, which have no id yet
    needs: Needs = Needs()
    preflight: dict[str, Any] = field(default_factory=dict)
    retry_of: str = ""
    start_from: str = ""
    runs_root: str = ""
    held_by: str = ""
    held_reason: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a retry begins, and why there; `start_from` is empty for step 0."""

    start_from: str
    runs_root: str
    reason: str


def new_runs(configs: Sequence[Loaded], wishes: Wishes, code: str = "") -> list[Planned]:
    """One run for each config, and one that gathers each k-fold."""
    if wishes.name and len(configs) > 1 and not all(loaded.cell for loaded in configs):
        raise UsageError(
            f"--name is the name of one run, and {len(configs)} files were given",
            fix="name them in their files, or leave the names to trainq",
        )
    scribe = Scribe()
    planned = [_new_run(loaded, wishes, code, scribe) for loaded in configs]
    return _named_apart([*planned, *_gatherings(configs, planned)])


def _new_run(loaded: Loaded, wishes: Wishes, code: str, scribe: Scribe) -> Planned:
    refuse_uneven(loaded, wishes.needs.gpus)
    config = loaded.config
    values, digest = scribe.write(config)
    stem = slug(wishes.name) if wishes.name else config.name or ""
    folds = isinstance(config.data.split, KFold) and bool(loaded.cell)
    return Planned(
        name=cell_name(stem, loaded) if stem else run_name(config, loaded.overrides),
        user=wishes.user,
        config=values,
        overrides=loaded.overrides,
        digest=digest,
        code=code,
        fold=config.data.split.fold if isinstance(config.data.split, KFold) and folds else None,
        priority=wishes.priority,
        notify=wishes.notify or config.notify or "",
        needs=wishes.needs,
        held_by=wishes.user if wishes.hold else "",
        held_reason="submitted with --hold" if wishes.hold else "",
    )


def refuse_uneven(loaded: Loaded, gpus: int) -> None:
    """Its trainer would refuse a batch that these GPUs cannot share; better now than then."""
    config = loaded.config
    for found in learning.of_the_gpus(config.data.batch_size, config.mix, gpus):
        origin = loaded.origins[found.key]
        raise UsageError(found.text, where="" if origin == "default" else origin, fix=found.help)


def waiting_for(
    planned: Sequence[Planned], parents: Sequence[tuple[str, Literal["ok", "any"]]]
) -> list[Planned]:
    """The same plan, to begin when these runs have ended; who waits within it waits already."""
    if not parents:
        return list(planned)
    after = tuple(Parent(id=run_id, on=on) for run_id, on in parents)
    return [run if run.waits else replace(run, after=after) for run in planned]


def _gatherings(configs: Sequence[Loaded], planned: Sequence[Planned]) -> list[Planned]:
    """For the folds of one cell a run that puts their results together when all have ended."""
    families: dict[tuple[str, ...], list[int]] = {}
    for index, loaded in enumerate(configs):
        if any(text.startswith(FOLD) for text in loaded.cell):
            alike = tuple(text for text in loaded.overrides if not text.startswith(FOLD))
            families.setdefault(alike, []).append(index)
    return [
        replace(
            planned[members[0]],
            kind="gather",
            name=re.sub(r"-fold0", "", planned[members[0]].name, count=1),
            overrides=alike,
            digest="",
            fold=None,
            waits=tuple(Wait(index, "any") for index in members),
            needs=Needs(),
        )
        for alike, members in families.items()
    ]


def _named_apart(planned: Sequence[Planned]) -> list[Planned]:
    """A name that would be used twice gets a number."""
    used: dict[str, int] = {}
    apart: list[Planned] = []
    for run in planned:
        used[run.name] = times = used.get(run.name, 0) + 1
        suffix = f"-{times}" if times > 1 and len(planned) > 1 else ""
        stem = run.name[: NAME_LENGTH - len(suffix)]
        apart.append(replace(run, name=stem + suffix) if suffix else run)
    return apart


def batch_of(
    configs: Sequence[Loaded], planned: Sequence[Planned], wishes: Wishes, batch_id: str
) -> Batch | None:
    """What the runs of one submit are together; one alone is no batch."""
    if len(planned) < 2:
        return None
    axes: dict[str, dict[str, None]] = {}  # the values of each in order, each once
    for loaded in configs:
        for text in loaded.cell:
            key, _, value = text.partition("=")
            axes.setdefault(key, {})[value] = None
    varied: dict[str, list[Any]] = {key: [*v] for key, v in axes.items() if len(v) > 1}
    kind: BatchKind = "sweep" if varied else "files"
    if set(varied) == {"seed"}:
        kind = "seeds"
    if set(varied) - {"seed"} == {FOLD.removesuffix("=")}:
        kind = "folds"
    first = configs[0].config
    name = slug(wishes.name) if wishes.name else first.name or run_name(first, ())
    return Batch(batch_id, name, wishes.user, kind, len(planned), varied, wishes.max_parallel)


def check_ended(run: Run) -> None:
    """Only what has ended can be done again; anything else may still finish."""
    if run.state in ENDED:
        return
    held = run.state is State.HELD
    fix = f"queue release {run.id}" if held else f"queue cancel {run.id} --wait, then retry"
    raise TransitionRefused(
        f"run {run.id} is {run.state}: retry is for a run that has ended", fix=fix
    )


def again(old: Run, loaded: Loaded, user: str, start: Start, code: str = "") -> Planned:
    """A new run from an ended one; its config is the old one under the new overrides."""
    refuse_uneven(loaded, old.gpus)
    memory, preflight = foreseen(old, loaded.config.canonical())
    renamed = any(override.startswith("name=") for override in loaded.overrides)
    return Planned(
        name=(loaded.config.name if renamed else None) or next_name(old.name),
        user=user,
        config=loaded.config.canonical(),
        kind=old.kind,
        overrides=(*old.overrides, *loaded.overrides),
        digest=loaded.config.experiment() if old.kind == "train" else "",
        code=code,
        fold=old.fold,
        priority=old.priority,
        notify=loaded.config.notify or old.notify,
        batch=old.batch,
        after=old.after,
        needs=Needs(old.needs_host, old.gpus, memory, old.time_limit_s),
        preflight=preflight,
        retry_of=old.id,
        start_from=start.start_from,
        runs_root=start.runs_root,
    )


def foreseen(old: Run, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """The memory that a retry asks for and why: another shape needs another prediction."""
    if not old.preflight or key_of(config, old.gpus, ()) == key_of(old.config, old.gpus, ()):
        return old.memory_mb, old.preflight
    return old.memory_mb if old.preflight.get("by_hand") else 0, {}


def wired(planned: Sequence[Planned]) -> list[Planned]:
    """Retries of parent and child together: the new child waits for the new parent."""
    places = {run.retry_of: index for index, run in enumerate(planned)}
    return [
        replace(
            run,
            after=tuple(parent for parent in run.after if parent.id not in places),
            waits=tuple(
                Wait(places[parent.id], parent.on) for parent in run.after if parent.id in places
            ),
        )
        for run in planned
    ]


def within(limit_s: float, planned: Sequence[Planned]) -> list[Planned]:
    """The same runs under another time limit; 0 leaves each its own."""
    return [
        replace(run, needs=replace(run.needs, time_limit_s=limit_s or run.needs.time_limit_s))
        for run in planned
    ]


def to_retry(rows: Sequence[Row]) -> list[str]:
    """Of a batch: what failed or was skipped and was not tried again, and what sums that up."""
    tried = {row.retry_of for row in rows}
    left = sorted((row for row in rows if row.id not in tried), key=lambda row: row.seq)
    failed = {row.id for row in left if row.state in UNDONE}
    sums = {
        row.id
        for row in left
        if row.kind == "gather" and row.state in ENDED and failed & {p.id for p in row.after}
    }
    return [row.id for row in left if row.id in failed | sums]


def start_of(old: Run, config: Mapping[str, Any], *, fresh: bool) -> Start:
    """Whether a retry with this config can go on from where the old run was."""
    if fresh:
        return _from_the_start("as asked")
    if old.state is State.FINISHED:
        return _from_the_start("a finished run keeps only its best weights")
    start_from = f"{old.id}/{old.checkpoint}" if old.checkpoint else old.start_from
    if not start_from:
        return _from_the_start(f"{old.id} has no checkpoint")
    much, key = takeover(old.config, config)
    if much is Takeover.NOTHING:
        return _from_the_start(f"{key} changed, the checkpoint does not fit")
    step = f"step {old.checkpoint_step} of {old.id}" if old.checkpoint else start_from
    if much is Takeover.WEIGHTS:
        reason = f"from step 0 with the weights of {step}: {key} changed"
        return Start(start_from, old.runs_root, reason)
    return Start(start_from, old.runs_root, f"goes on from {step}")


def _from_the_start(why: str) -> Start:
    return Start("", "", f"from the start: {why}")


def run_name(config: TrainConfig, overrides: Sequence[str]) -> str:
    """The config's own name, or a readable one: `resnet10t-lr1e-3`."""
    if config.name:
        return config.name
    parts = [_short(config.model.name), *(_part(override) for override in overrides)]
    return slug("-".join(part for part in parts if part))


def cell_name(stem: str, loaded: Loaded) -> str:
    """The config's own name, and what makes this cell differ."""
    parts = [stem, *(_part(text, of_model=True) for text in loaded.cell)]
    return slug("-".join(part for part in parts if part))


def slug(text: str) -> str:
    """The nearest legal name: an accent is left out, anything else that is not legal is a dash."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    legal = re.sub(r"[^a-z0-9._-]+", "-", plain.lower()).strip("-._")
    return legal[:NAME_LENGTH].rstrip("-._") or "run"


def next_name(name: str) -> str:
    """The name of a retry: `vit-s`, `vit-s-r2`, `vit-s-r3`."""
    counted = re.search(r"-r(\d+)$", name)
    suffix = f"-r{int(counted[1]) + 1 if counted else 2}"
    stem = name[: counted.start()] if counted else name
    return stem[: NAME_LENGTH - len(suffix)] + suffix


@cache
def _short(model: str) -> str:
    return PurePath(model).name.split(".")[0]


@cache
def _part(override: str, *, of_model: bool = False) -> str:
    key, _, value = override.partition("=")
    if key in SPLIT or (key in UNNAMED and not (of_model and key == "model.name")):
        return ""
    if key == "model.name":
        return _short(value)
    leaf = key.removesuffix(".kind").rsplit(".", 1)[-1]
    return f"{leaf}{value}" if value[:1].isdigit() else f"{leaf}-{value}"
