"""What a pre-flight means for a plan: what each run asks of a GPU, and what is refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from publisher.outlook.obstacles import gib
from publisher.plans.plan import Needs, Planned
from schemas.errors import UsageError, count
from schemas.preflight import Answer, Preflight, declared_mb, judge, remedy

if TYPE_CHECKING:
    from queue_worker.queue import WorkerCard

TOLD = 3  # warnings of one submit


@dataclass(frozen=True, slots=True)
class Fitted:
    """A plan whose runs know what they need, and what people should know about it."""

    planned: list[Planned]
    notes: list[str]


def fitted(
    planned: Sequence[Planned],
    keys: Sequence[str],
    answers: Mapping[str, Answer],
    cards: Sequence[WorkerCard],
) -> Fitted:
    """The plan with its predictions; a UsageError when something of it cannot run anywhere."""
    refuse(planned, keys, answers)
    seen = {key: answer.preflight for key, answer in answers.items() if answer.preflight}
    by_need = {(key, run.needs): run for run, key in zip(planned, keys, strict=True) if key in seen}
    warnings: list[str] = []
    for (key, needs), run in by_need.items():
        warnings += weighed(run, seen[key], roomiest(cards, needs))
    plain = {key: preflight.model_dump(mode="json") for key, preflight in seen.items()}
    runs = [
        asking(run, plain[key], seen[key]) if key in seen else run
        for run, key in zip(planned, keys, strict=True)
    ]
    return Fitted(runs, [*summary(list(seen.values())), *dict.fromkeys(warnings[:TOLD])])


def refuse(planned: Sequence[Planned], keys: Sequence[str], answers: Mapping[str, Answer]) -> None:
    """Stop at the first that cannot run at all."""
    for run, key in zip(planned, keys, strict=True):
        if key in answers and (what := answers[key].refused):
            alike = keys.count(key)
            which = run.name if alike == 1 else f"{run.name} and {count(alike - 1, 'more run')}"
            raise UsageError(f"{what}; nothing was queued", where=which, fix=answers[key].fix)


def asking(run: Planned, plain: dict[str, Any], seen: Preflight) -> Planned:
    """What somebody said by hand counts; else what was predicted."""
    if run.needs.memory_mb:
        return replace(run, preflight={**plain, "by_hand": True})
    needs = replace(run.needs, memory_mb=declared_mb(seen))
    return replace(run, preflight=plain, needs=needs)


def roomiest(cards: Sequence[WorkerCard], needs: Needs) -> WorkerCard | None:
    """The largest GPU that a run could get, if every one that it could get is known."""
    able = [
        card
        for card in cards
        if needs.gpus <= card.gpus and needs.needs_host in ("", card.host, card.lane)
    ]
    if not all(card.memory_mb for card in able):  # a CPU has no limit that we know
        return None
    return max(able, key=lambda card: card.memory_mb, default=None)


def weighed(run: Planned, seen: Preflight, card: WorkerCard | None) -> Iterator[str]:
    """A warning where it is tight; a UsageError where no worker could hold it."""
    if not card:
        return
    verdict = judge(seen, card.memory_mb)
    held = f"{gib(seen.peak_mb)} of the {gib(card.memory_mb)} of {card.lane}"
    if verdict.word == "too big" and not run.needs.memory_mb:
        raise UsageError(
            f"{run.name} would need {held}, the roomiest GPU here; nothing was queued",
            fix=f"{remedy(seen, verdict)}; --memory SIZE overrules the prediction",
        )
    if verdict.word != "fits":
        way = remedy(seen, verdict)
        yield f"tight: {run.name} would need {held}" + (f"; more room: {way}" if way else "")


def summary(seen: Sequence[Preflight]) -> list[str]:
    """One line about all predictions of a submit."""
    if not seen:
        return []
    low, high = min(p.peak_mb for p in seen), max(p.peak_mb for p in seen)
    much = gib(high) if low == high else f"{gib(low)} to {gib(high)}"
    kinds = " and ".join(sorted({"AMP" if p.precision == "amp" else "fp32" for p in seen}))
    notes = dict.fromkeys(note for p in seen for note in p.notes)
    return ["; ".join([f"predicted: {much} of GPU memory in {kinds}", *list(notes)[:TOLD]])]
