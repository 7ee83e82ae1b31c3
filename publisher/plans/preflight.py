"""The pre-flight at submit: a child with torch answers, a cache remembers. Never loads torch.

Whatever goes wrong here costs a line, never a submit: the worker makes the pre-flight then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from publisher.desk import console
from publisher.plans.fitting import fitted
from publisher.plans.plan import Planned
from schemas import code
from schemas.errors import count
from schemas.preflight import ELSEWHERE, Answer, Ask, key_of
from schemas.rundir import write_atomic
from schemas.settings import Settings

if TYPE_CHECKING:
    from queue_worker.queue import WorkerCard

LIBRARIES = ("torch", "timm")
TRAINER = ("-P", "-m", "trainer")  # what lies in the current folder is not our trainer


def foresee(
    planned: Sequence[Planned], cards: Sequence[WorkerCard], settings: Settings
) -> list[Planned]:
    """The plan with what each run will need; refused when something of it cannot run."""
    if not settings.preflight_s:
        return list(planned)
    if not (versions := libraries()):
        console.talk(["no torch here: the worker makes the pre-flight"])
        return list(planned)
    versions = [code.version(), *versions]
    keys = keys_of(planned, versions)
    firsts = {key: run for run, key in zip(planned, keys, strict=True) if key}
    asks = {
        key: Ask(key=key, config=run.config, gpus=run.needs.gpus) for key, run in firsts.items()
    }
    cache = Cache(settings.state.expanduser() / "preflight")
    answers = cache.known(asks)
    if unknown := [ask for ask in asks.values() if ask.key not in answers]:
        told = ask_child(unknown, settings.preflight_s)
        cache.keep(told.values())
        answers = {**answers, **told}
        console.talk(missing(unknown, told, settings.preflight_s))
    result = fitted(planned, keys, answers, cards)
    console.talk(result.notes)
    return result.planned


def keys_of(planned: Sequence[Planned], versions: Sequence[str]) -> list[str]:
    """What decides about the memory of each; empty for a run of which nothing is to be asked.

    Cells of a sweep share the very sections that are equal: those need not be looked through again.
    """
    made: dict[tuple[int, ...], str] = {}
    keys: list[str] = []
    for run in planned:
        config, gpus = run.config, run.needs.gpus
        same = (gpus, *(id(part) for name, part in config.items() if name not in ELSEWHERE))
        if run.kind != "train" or run.preflight:
            keys.append("")
        else:
            keys.append(made.get(same) or made.setdefault(same, key_of(config, gpus, versions)))
    return keys


def libraries() -> list[str]:
    """The versions of what a pre-flight imports, without importing it; empty where one lacks."""
    found = []
    for name in LIBRARIES:
        spec = find_spec(name)
        if not spec or not spec.origin:
            return []
        found.append(Path(spec.origin).with_name("version.py").read_text())
    return found


class Cache:
    """Answers of earlier pre-flights, a small file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def known(self, keys: Iterable[str]) -> dict[str, Answer]:
        """What was answered before; a file that is damaged is no answer."""
        answers: dict[str, Answer] = {}
        for key in keys:
            try:
                answers[key] = Answer.model_validate_json(self._file(key).read_bytes())
            except (OSError, ValidationError):
                continue
        return answers

    def keep(self, answers: Iterable[Answer]) -> None:
        """Remember; what failed may go well next time. A disk that is full costs only time."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for answer in answers:
                if not answer.failed:
                    write_atomic(self._file(answer.key), answer.model_dump_json().encode())
        except OSError:
            return

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"


def ask_child(asks: Sequence[Ask], limit_s: float) -> dict[str, Answer]:
    """What one child answers within the time; it loads torch once for all questions."""
    console.tell_now(f"pre-flight of {count(len(asks), 'model')} ...")
    said = "".join(ask.model_dump_json() + "\n" for ask in asks)
    try:
        done = subprocess.run(
            [sys.executable, *TRAINER, "preflight", "--asks"],
            input=said.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            timeout=limit_s,
            check=False,
        ).stdout
    except subprocess.TimeoutExpired as late:
        done = late.stdout or b""
    except OSError:
        done = b""
    console.tell_now("")
    return {answer.key: answer for line in done.splitlines() for answer in _answer(line)}


def _answer(line: bytes) -> list[Answer]:
    try:
        return [Answer.model_validate_json(line)]
    except ValidationError:  # half a line: its time was over
        return []


def missing(asked: Sequence[Ask], told: Mapping[str, Answer], limit_s: float) -> list[str]:
    """One quiet line about what the worker has to find out."""
    silent = [ask for ask in asked if ask.key not in told]
    failed = [answer.failed for answer in told.values() if answer.failed]
    if not silent and not failed:
        return []
    why = f": {failed[0]}" if failed else f" (TRAINQ_PREFLIGHT_S={limit_s:g})"
    made = len(asked) - len(silent) - len(failed)
    return [f"pre-flight: {made} of {len(asked)} made{why}; the worker makes the rest"]
