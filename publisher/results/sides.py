"""One side of `publisher diff`: what is known of a run, or of a file that may become one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from publisher.desk.dotted import flat
from schemas import code
from schemas.run import Run
from schemas.rundir import RunsRoot
from schemas.source import load

FACTS = ("device", "python", "cuda", "cudnn", "host", "system", "threads", "deterministic")
SHOWN = 12  # characters of a commit or a hash


@dataclass(frozen=True, slots=True)
class Side:
    """Flat values by key; a part of which nothing is known is empty."""

    label: str
    about: str
    config: Mapping[str, Any]
    code: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    commit: str = ""


def of_file(path: Path) -> Side:
    """A file, as it would run with the source that is installed here."""
    config = load(path).config
    return Side(path.name, str(path), flat(config.canonical()), {"trainer": code.version()})


def of_run(run: Run, environment: Mapping[str, Any]) -> Side:
    """A run, with what its folder, where it can be seen from here, told of its attempt."""
    source = environment.get("code") or {}
    kept = {
        "commit": str(source.get("commit", ""))[:SHOWN],
        "uncommitted": str(source.get("diff", ""))[:SHOWN],
        "untracked": ", ".join(sorted(source.get("untracked") or {})),
    }
    told = {"trainer": run.ran_code or run.code, **{k: v for k, v in kept.items() if v}}
    facts = {name: environment[name] for name in FACTS if environment.get(name)}
    return Side(
        label=run.id,
        about=f"{run.id} {run.name}: {run.state}",
        config=flat(run.config),
        code={key: value for key, value in told.items() if value},
        environment={**_recorded(run), **facts, **(environment.get("versions") or {})},
        metrics=_metrics(run),
        commit=str(source.get("commit", "")),
    )


def _recorded(run: Run) -> dict[str, Any]:
    """What the record knows of where it ran."""
    known = {
        "worker": run.worker,
        "precision": run.precision,
        "micro_batch": run.micro_batch,
        "gpus": run.gpus if run.attempt else 0,
        "data": run.data_fingerprint[:SHOWN],
    }
    return {name: value for name, value in known.items() if value}


def _metrics(run: Run) -> dict[str, Any]:
    best = {f"best {run.best.metric}": run.best.value} if run.best else {}
    epoch = {"best epoch": run.best.epoch} if run.best else {}
    measured = {k: v for k, v in flat(run.result).items() if isinstance(v, int | float)}
    cost = {"GPU hours": round(run.ran_s * run.gpus / 3600, 3)} if run.ran_s else {}
    peak = {"peak MB": run.peak_mb} if run.peak_mb else {}
    return {**best, **epoch, **measured, **cost, **peak}


def environment_of(run: Run, runs: Path) -> Mapping[str, Any]:
    """What the attempt wrote down of its machine; empty where its folder is not on this one."""
    folder = RunsRoot(runs).run(run.id)
    token = run.result_attempt or run.token
    tokens = [token] if token else []
    found = sorted(folder.attempts.glob("*-*"), key=lambda path: folder.attempt(path.name).number)
    tokens += [path.name for path in reversed(found)]
    for each in tokens:
        try:
            facts = json.loads(folder.attempt(each).environment.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict):
            return facts
    return {}
