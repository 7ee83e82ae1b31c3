"""What a submit or a retry would queue: configs and flags in, submissions out.

Pure: reads no file, asks no server, and makes no id.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from schemas.config import NOTIFY, TrainConfig
from schemas.errors import UsageError
from schemas.run import ENDED, Run, State

OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")
NAME_LENGTH = 64
UNNAMED = ("name", "note", "notify", "model.name")  # overrides that a made name leaves out

# Keys whose change makes an old checkpoint worthless: other weights, other images, another order.
STARTS_OVER = ("model", "seed", "data.source", "data.split", "data.img_size", "data.batch_size")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a retry begins, and why there; `start_from` is empty for step 0."""

    start_from: str
    runs_root: str
    reason: str


def split_arguments(items: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files and the `key=value` overrides of a command line, in any order."""
    overrides = [item for item in items if OVERRIDE.match(item)]
    files = [item for item in items if not OVERRIDE.match(item)]
    return files, overrides


def check_notify(text: str) -> str:
    """The value of `--notify`, or a refusal that shows what it may be."""
    if text and not re.fullmatch(NOTIFY, text):
        raise UsageError(f"--notify '{text}' is nobody", fix="#channel, @me or none")
    return text


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
    stem, found, number = re.fullmatch(r"(.*?)(-r(\d+))?", name, re.DOTALL).group(1, 2, 3)
    suffix = f"-r{int(number) + 1 if found else 2}"
    return stem[: NAME_LENGTH - len(suffix)] + suffix


def _part(override: str) -> str:
    key, _, value = override.partition("=")
    if key in UNNAMED:
        return ""
    leaf = key.rsplit(".", 1)[-1]
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
