"""What a submit or a retry would queue: configs and flags in, planned runs out.

Pure: reads no file, asks no server, and makes no id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from schemas.errors import TransitionRefused, UsageError
from schemas.run import ENDED, Run, State
from schemas.takeover import Takeover, takeover

if TYPE_CHECKING:
    from schemas.config import TrainConfig
    from schemas.source import Loaded

NAME_LENGTH = 64
UNNAMED = ("name", "note", "notify", "model.name")  # overrides that a made name leaves out


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the flags of a submit say about every run of it."""

    user: str
    name: str = ""
    priority: int = 0
    notify: str = ""
    hold: bool = False
    batch: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A run that is about to be queued; it lacks only its id."""

    name: str
    user: str
    config: dict[str, Any]
    overrides: tuple[str, ...] = ()
    priority: int = 0
    notify: str = ""
    batch: str = ""
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


def new_runs(configs: Sequence[Loaded], wishes: Wishes) -> list[Planned]:
    """One run for each config."""
    if wishes.name and len(configs) > 1:
        raise UsageError(
            f"--name is the name of one run, and {len(configs)} files were given",
            fix="name them in their files, or leave the names to trainq",
        )
    return [
        Planned(
            name=slug(wishes.name) if wishes.name else run_name(loaded.config, loaded.overrides),
            user=wishes.user,
            config=loaded.config.canonical(),
            overrides=loaded.overrides,
            priority=wishes.priority,
            notify=wishes.notify or loaded.config.notify or "",
            batch=wishes.batch,
            held_by=wishes.user if wishes.hold else "",
            held_reason="submitted with --hold" if wishes.hold else "",
        )
        for loaded in configs
    ]


def check_ended(run: Run) -> None:
    """Only what has ended can be done again; anything else may still finish."""
    if run.state in ENDED:
        return
    held = run.state is State.HELD
    fix = f"queue release {run.id}" if held else f"queue cancel {run.id} --wait, then retry"
    raise TransitionRefused(
        f"run {run.id} is {run.state}: retry is for a run that has ended", fix=fix
    )


def again(old: Run, loaded: Loaded, user: str, start: Start) -> Planned:
    """A new run from an ended one; its config is the old one under the new overrides."""
    renamed = any(override.startswith("name=") for override in loaded.overrides)
    return Planned(
        name=(loaded.config.name if renamed else None) or next_name(old.name),
        user=user,
        config=loaded.config.canonical(),
        overrides=(*old.overrides, *loaded.overrides),
        priority=old.priority,
        notify=loaded.config.notify or old.notify,
        batch=old.batch,
        retry_of=old.id,
        start_from=start.start_from,
        runs_root=start.runs_root,
    )


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
    model = PurePath(config.model.name).name.split(".")[0]
    parts = [model, *(_part(override) for override in overrides)]
    return slug("-".join(part for part in parts if part))


def slug(text: str) -> str:
    """The nearest legal name."""
    legal = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    return legal[:NAME_LENGTH].rstrip("-._") or "run"


def next_name(name: str) -> str:
    """The name of a retry: `vit-s`, `vit-s-r2`, `vit-s-r3`."""
    counted = re.search(r"-r(\d+)$", name)
    suffix = f"-r{int(counted[1]) + 1 if counted else 2}"
    stem = name[: counted.start()] if counted else name
    return stem[: NAME_LENGTH - len(suffix)] + suffix


def _part(override: str) -> str:
    key, _, value = override.partition("=")
    if key in UNNAMED:
        return ""
    leaf = key.removesuffix(".kind").rsplit(".", 1)[-1]
    return f"{leaf}{value}" if value[:1].isdigit() else f"{leaf}-{value}"


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys as dotted ones: `optim.lr`."""
    pairs: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            pairs |= {f"{key}.{inner}": deep for inner, deep in flat(value).items()}
        else:
            pairs[key] = value
    return pairs
