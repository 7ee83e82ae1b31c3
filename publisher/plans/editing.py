"""What an edit changes of a run: from wanted values to the door's arguments and words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from publisher.desk.clock import brief
from publisher.desk.dotted import flat
from publisher.plans.plan import Needs, Planned, foreseen, refuse_uneven
from publisher.results.difference import changes
from schemas.errors import TransitionRefused, UsageError
from schemas.run import Run

if TYPE_CHECKING:
    from schemas.source import Loaded

ASKED = ("name", "priority", "after", "needs_host", "time_limit_s")
SPLIT = "data.split."


@dataclass(frozen=True, slots=True)
class Edit:
    """The change of one run: arguments of `Queue.edit`, and the same in words."""

    run: Run
    values: Mapping[str, Any]
    told: str

    def __bool__(self) -> bool:
        return bool(self.values)


def edit_of(run: Run, wanted: Mapping[str, Any], loaded: Loaded | None = None) -> Edit:
    """What has to be changed so that the run is as wanted; keys that are not named stay."""
    values = {key: value for key, value in wanted.items() if getattr(run, key) != value}
    old, new = words(run), words(run.model_copy(update=dict(values)))
    told = [f"{key} {old[key]} -> {new[key]}" for key in old if old[key] != new[key]]
    if loaded:
        changed, said = _config_edit(run, loaded)
        values, told = {**changed, **values}, [*said, *told]
    return Edit(run, values, "; ".join(told))


def _config_edit(run: Run, loaded: Loaded) -> tuple[dict[str, Any], list[str]]:
    config = loaded.config.canonical()
    found = changes(flat(run.config), flat(config))
    if not found:
        return {}, []
    if (run.fold is not None or run.kind == "gather") and any(
        change.key.startswith(SPLIT) for change in found
    ):
        raise UsageError(
            f"run {run.id} belongs to a k-fold: its data.split stays",
            fix=f"queue cancel -b {run.batch}, then submit it anew",
        )
    refuse_uneven(loaded, run.gpus)
    keys = {change.key for change in found}
    kept = [text for text in run.overrides if text.partition("=")[0] not in keys]
    given = {text.partition("=")[0]: text for text in loaded.overrides}
    said = [
        given.get(each.key, f"{each.key}={_value(each.b)}") for each in found if each.b is not None
    ]
    values = {
        "config": config,
        "overrides": (*kept, *said),
        "digest": loaded.config.experiment() if run.kind == "train" else "",
        **({"name": loaded.config.name} if "name" in keys and loaded.config.name else {}),
        **({"notify": loaded.config.notify or ""} if "notify" in keys else {}),
    }
    return values, [f"{each.key} {_value(each.a)} -> {_value(each.b)}" for each in found]


def planned_of(edit: Edit) -> Planned:
    """The run as it would be submitted with its new config, for a pre-flight."""
    run, config = edit.run, edit.values["config"]
    memory, preflight = foreseen(run, config)
    needs = Needs(run.needs_host, run.gpus, memory, run.time_limit_s)
    return Planned(run.name, run.user, config, run.kind, needs=needs, preflight=preflight)


def with_needs(edit: Edit, planned: Planned) -> Edit:
    """The edit with what its new config was found to need."""
    needs = {"memory_mb": planned.needs.memory_mb, "preflight": planned.preflight}
    return replace(edit, values={**edit.values, **needs})


def words(run: Run) -> dict[str, str]:
    """What may be edited beside the config, as people read it."""
    return {
        "name": run.name,
        "priority": str(run.priority),
        "after": " ".join(parents(run)) or "none",
        "on": run.needs_host or "any host",
        "time limit": brief(run.time_limit_s) if run.time_limit_s else "none",
    }


def parents(run: Run) -> list[str]:
    """`7f3k2p` or `7f3k2p:any`, as --after takes it."""
    return [each.id + (":any" if each.on == "any" else "") for each in run.after]


def demand_unchanged(before: Run, now: Run) -> None:
    """Nobody else may have edited it while it was open here."""
    if any(getattr(before, key) != getattr(now, key) for key in (*ASKED, "config")):
        raise TransitionRefused(
            f"run {now.id} was changed by somebody else meanwhile; it was left as it is now",
            fix=f"queue show {now.id}, then publisher edit {now.id} again",
        )


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value or '""'
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def refusal_of(run: Run) -> str:
    """Why a config cannot be edited any more; empty where it can."""
    return "" if run.attempt == 0 else "it has begun, its checkpoint is of the config that it has"


def named(edits: Sequence[Edit]) -> list[str]:
    """A line for each run that would change."""
    return [f"{each.run.id} {each.run.name}: {each.told}" for each in edits if each]
