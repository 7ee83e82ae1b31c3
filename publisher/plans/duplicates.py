"""Which planned runs are there already: the same experiment under another id. Pure.

Failed, cancelled and skipped runs are no answer to a question, so they stand in nobody's way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from publisher.plans.plan import Planned
from schemas.errors import UsageError, count
from schemas.run import Parent, Run, State

DEAD = frozenset({State.FAILED, State.CANCELLED, State.SKIPPED})
Found = Mapping[str, Sequence[Run]]  # digest -> runs that have it, newest first


@dataclass(frozen=True, slots=True)
class Sorted:
    """What is new, and what need not be done again."""

    fresh: list[Planned]
    known: dict[int, Run]  # index of a planned run -> the run that is the same
    notes: list[str]


def sort_out(planned: Sequence[Planned], found: Found) -> Sorted:
    """Leave out what is there already; who gathers it waits for the run that is there."""
    known = {
        index: twin
        for index, run in enumerate(planned)
        if run.kind == "train" and (twin := _twin(run, found.get(run.digest, ())))
    }
    kept = [index for index in range(len(planned)) if index not in known]
    moved = {index: place for place, index in enumerate(kept)}
    fresh = [_without(planned[index], known, moved) for index in kept]
    if not any(run.kind == "train" for run in fresh):
        fresh = []
    return Sorted(fresh, known, _notes(planned, known, found))


def tried_already(retries: Sequence[Planned], found: Found) -> list[str]:
    """Of each run that was tried again with the same config before: what became of that."""
    twins = [
        _twin(run, [other for other in found.get(run.digest, ()) if other.retry_of == run.retry_of])
        for run in retries
    ]
    return [f"{t.retry_of} was tried again already: {described(t)}" for t in twins if t]


def _without(run: Planned, known: Mapping[int, Run], moved: Mapping[int, int]) -> Planned:
    there = [Parent(id=known[w.index].id, on=w.on) for w in run.waits if w.index in known]
    waits = tuple(replace(w, index=moved[w.index]) for w in run.waits if w.index not in known)
    return replace(run, waits=waits, after=(*run.after, *there))


def _twin(run: Planned, others: Sequence[Run]) -> Run | None:
    """The newest run that would end the same way."""
    alike = (other for other in others if other.state not in DEAD and _same_code(run, other))
    return next((o for o in alike if o.config.get("seed") == run.config.get("seed")), None)


def _same_code(run: Planned, other: Run) -> bool:
    return not run.code or not other.code or run.code == other.code


def _notes(planned: Sequence[Planned], known: Mapping[int, Run], found: Found) -> list[str]:
    if known and len(planned) > 1:
        first = next(iter(known.values()))
        runs = sum(run.kind == "train" for run in planned)
        return [
            f"{len(known)} of {count(runs, 'run')} are known ({described(first)}, ...): "
            "left out; --again queues them too"
        ]
    if known or len(planned) != 1:
        return []
    others = [o for o in found.get(planned[0].digest, ()) if o.state not in DEAD]
    if not others:
        return []
    differs = "its seed" if _same_code(planned[0], others[0]) else "the code that trains it"
    return [f"differs only in {differs} from {described(others[0])}"]


def refusal(known: Mapping[int, Run]) -> UsageError:
    """Nothing is new."""
    first = next(iter(known.values()))
    what = f"same as {described(first)}"
    if len(known) > 1:
        what = f"all {len(known)} runs are known: the first is the {what}"
    return UsageError(f"{what}; nothing was queued", fix="--again queues it all the same")


def described(run: Run) -> str:
    """`7f3k2q of ana, finished, accuracy 0.913`."""
    best = f", {run.best.metric} {run.best.value:.4g}" if run.best else ""
    return f"{run.id} of {run.user}, {run.state}{best}"
