"""Why a run stands where it stands, worker by worker: what `queue why` answers. Pure.

The claim decides the same in Lua; every worker gets one sentence, never just "pending".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from publisher.desk.clock import brief
from publisher.desk.text import Line, Piece, headline, labelled
from publisher.outlook.fairness import penalty_s
from publisher.outlook.obstacles import claimed_mb, closed, forbidden, gib, misfit, resumed_by
from publisher.outlook.progress import done
from publisher.outlook.snapshot import Snapshot
from publisher.outlook.standing import why
from publisher.pages.page import mend
from publisher.pages.render import LOOKS
from schemas.run import Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Row, Share, WorkerCard, WorkerView

NAMED = 3  # runs before it that a sentence names
LABEL = 9  # cells of the column that names the workers
NOTICEABLE_S = 360  # GPU time of a person that is worth a line

# takes: it would start it now; behind: it is free, but others go first; busy: it trains another;
# shared: somebody else has its card; closed: held or drained; unfit: it lacks what the run needs
Answer = Literal["takes", "behind", "busy", "shared", "closed", "unfit"]


@dataclass(frozen=True, slots=True)
class Reason:
    """What one worker says to a run that waits."""

    lane: str
    answer: Answer
    sentence: str
    first: tuple[str, ...] = ()  # the runs that go before it here


@dataclass(frozen=True, slots=True)
class Reasons:
    """All that is said about one run."""

    run: Run
    why: str
    workers: Sequence[Reason] = ()
    notes: Sequence[str] = ()
    commands: Sequence[str] = ()


def reasons_of(run: Run, seen: Snapshot, people: Sequence[Share], half_life_s: float) -> Reasons:
    """The answer for a run in any state."""
    workers = [reason(run, one, seen) for one in seen.alive] if run.state is State.QUEUED else []
    return Reasons(
        run=run,
        why=_where(run) + (why(run, seen) or _ended_well(run)),
        workers=workers,
        notes=_notes(run, seen, people, half_life_s),
        commands=next_commands(run, seen),
    )


def reason(run: Run | Row, worker: WorkerView, seen: Snapshot) -> Reason:
    """The first thing that keeps this worker from starting the run now."""
    card = worker.card
    answer, said, first = _first_reason(run, worker, seen)
    return Reason(card.lane, answer, said + _other_source(run, card), first)


def _first_reason(
    run: Run | Row, worker: WorkerView, seen: Snapshot
) -> tuple[Answer, str, tuple[str, ...]]:
    card = worker.card
    if misfit(run, card):
        return "unfit", f"cannot take it: {_lacks(run, card)}", ()
    if shut := closed(card, seen.controls):
        return "closed", f"takes nothing new: {shut}", ()
    if card.busy_with and not worker.run:
        return "shared", f"takes nothing just now: {card.busy_with}", ()
    first = _before(card, seen)
    unseen = seen.ahead.get(run.id, 0) > len(seen.line)  # of a long line only the first are read
    named = _named(first, unseen=unseen) if first else ""
    if worker.run:
        return "busy", f"trains {_trained(worker.run, seen)}{_then(run, named, seen)}", _ids(first)
    if barred := forbidden(run, seen):
        return "behind", f"is free, but {barred}", ()
    if first:
        return "behind", f"is free, but {named} first", _ids(first)
    return "takes", "is free and takes it now", ()


def _before(card: WorkerCard, seen: Snapshot) -> list[Row]:
    """The runs before it that this worker could take."""
    return [row for row in seen.line if not misfit(row, card) and not forbidden(row, seen)]


def _ids(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(row.id for row in rows)


def _trained(run_id: str, seen: Snapshot) -> str:
    """`7f3k2q vit-s of bo, 14/20, done in 18m`."""
    row = next((one for one in seen.running if one.id == run_id), None)
    if row is None:
        return run_id
    facts = (f"{row.id} {row.name} of {row.user}", done(row.progress), why(row, seen))
    return ", ".join(fact for fact in facts if fact)


def _then(run: Run | Row, named: str, seen: Snapshot) -> str:
    if forbidden(run, seen):
        return ""
    return f"; then {named} first" if named else "; this one is next"


def _named(rows: Sequence[Row], *, unseen: bool) -> str:
    """`7f3k2p goes` or `7f3k2p, 7f3k2q, 7f3k2r and 4 more go`."""
    at_least = "at least " if unseen else ""
    more = f" and {at_least}{len(rows) - NAMED} more" if len(rows) > NAMED else ""
    verb = "goes" if len(rows) == 1 else "go"
    return f"{', '.join(row.id for row in rows[:NAMED])}{more} {verb}"


def _lacks(run: Run | Row, card: WorkerCard) -> str:
    """What the worker would have to have, beside what it has."""
    if run.gpus > card.gpus:
        return f"needs {run.gpus} GPUs, it holds {card.gpus}"
    if 0 < card.offer_mb < claimed_mb(run):
        whole = f" of {gib(card.memory_mb)}" if card.memory_mb > card.offer_mb else ""
        others = card.busy_with or card.shared_with
        said = f" ({others})" if others else ""
        return f"needs {gib(claimed_mb(run))}, it offers {gib(card.offer_mb)}{whole}{said}"
    if run.checkpoint_step and run.runs_root != card.runs_root:
        return f"its checkpoint (step {run.checkpoint_step}) is on another host's disk"
    return misfit(run, card)


def _other_source(run: Run | Row, card: WorkerCard) -> str:
    """Whose code would run, when that is not the submitter's."""
    submitted = run.code if isinstance(run, Run) else ""
    if not submitted or not card.code or submitted == card.code:
        return ""
    return f" (its trainer is {card.code}, submitted with {submitted})"


def _notes(run: Run, seen: Snapshot, people: Sequence[Share], half_life_s: float) -> list[str]:
    """What is true beside the workers: parents, fair share, priority."""
    notes = [f"{parent} is {state}" for parent, state in seen.parents.items()]
    if run.state is not State.QUEUED:
        return notes if run.state is State.WAITING else []
    if not seen.alive:
        silent = [f"{one.card.lane} {brief(seen.now - one.seen_at)}" for one in seen.workers]
        notes = [f"silent for: {', '.join(silent)}"] if silent else []
    person = next((one for one in people if one.user == run.user), None)
    back = penalty_s(person, half_life_s) if person else 0
    if back >= NOTICEABLE_S and any(row.user != run.user for row in seen.line):
        notes.append(
            f"{run.user} used {brief(back)} of GPU time lately: that far back stand these runs"
        )
    return notes


def _where(run: Run) -> str:
    """`on v100:0, 14/20, ` of a running one."""
    facts = (f"on {run.worker}", done(run.progress)) if run.state is State.RUNNING else ()
    return "".join(f"{fact}, " for fact in facts if fact)


def _ended_well(run: Run) -> str:
    """For a run about which nothing is left to say."""
    if run.state is not State.FINISHED:
        return str(run.state)
    took = (
        f" after {brief(run.ended_at - run.started_at)}" if run.ended_at and run.started_at else ""
    )
    return f"it has finished{f' on {run.worker}' if run.worker else ''}{took}"


def next_commands(run: Run, seen: Snapshot) -> list[str]:
    """What to type next."""
    shut = bool(seen.alive) and all(closed(one.card, seen.controls) for one in seen.alive)
    if run.state is State.QUEUED and shut and (resumes := resumed_by(seen.controls)):
        return resumes
    if mends := mend(run):
        return [command for command, _ in mends]
    if run.state is State.RUNNING:
        return [f"queue logs {run.id} -f"]
    if run.state is State.QUEUED:
        return [f"queue wait {run.id}", f"queue move {run.id} --first"]
    if run.state is State.WAITING:
        return [f"queue why {parent.id}" for parent in run.after[:1]]
    return [f"queue show {run.id}"]


def reason_lines(told: Reasons, width: int) -> list[Line]:
    """The page of `queue why`: the run, why, then a line for each worker."""
    run = told.run
    symbol, style = LOOKS[run.state]
    state = Piece(f"{symbol} {run.state.upper()}", style)
    rows: list[Line] = [headline(run.name, run.id, state, width)]
    sentences = [("why", [told.why]), *((one.lane, [one.sentence]) for one in told.workers)]
    indent = max(LABEL, *(len(label) + 2 for label, _ in sentences)) + 2
    for label, texts in [*sentences, ("also", told.notes)]:
        rows += labelled(label, texts, width, indent)
    return rows
