"""What a submit or a retry says afterwards, to people and to programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from publisher.desk.columns import Column, layout
from publisher.desk.text import Line, line, piece
from publisher.outlook.lengths import Eta, Span, in_words
from publisher.pages.records import eta_record
from publisher.plans.plan import Batch, Planned
from schemas.errors import count
from schemas.run import State

if TYPE_CHECKING:
    from queue_worker.queue import Receipt

COLUMNS = (
    Column("ID"),
    Column("NAME", least=14),
    Column("PLACE", least=30),
)

WOULD = (Column("NAME", least=14), Column("PRIORITY"), Column("OVERRIDES", least=30))
BATCH = (Column("ID"), Column("NAME", least=14), Column("RUNS"), Column("PLACE", least=30))


@dataclass(frozen=True, slots=True)
class Sent:
    """A run that was queued, where it stands, and how it will begin."""

    run: Planned
    receipt: Receipt
    start: str = ""
    eta: Eta | None = None  # where somebody looked at the line


def sent_lines(sent: Sequence[Sent], width: int) -> list[Line]:
    """A line a run: id, name, place; and how it begins, below where there is no room beside it."""
    rows = [[piece(one.receipt.id, "bold"), piece(one.run.name), piece(place(one))] for one in sent]
    told = zip(layout(COLUMNS, rows, width)[1:], sent, strict=True)
    return [part for row, one in told for part in _begins(row, one.start, width)]


def _begins(row: Line, start: str, width: int) -> list[Line]:
    beside = [*row, *line("  ", start)] if start else row
    if sum(part.width for part in beside) <= width:
        return [beside]
    return [row, line("  ", start)]


def batch_lines(sent: Sequence[Sent], batch: Batch, width: int) -> list[Line]:
    """A batch is one line: id, name, how many runs, and where the first of them stands."""
    queued = (one for one in sent if one.receipt.state is State.QUEUED)
    trains = sum(one.run.kind == "train" for one in sent)
    what = count(trains, "fold" if batch.kind == "folds" else "run")
    if summaries := len(sent) - trains:
        what += f" and {summaries} summar{'y' if summaries == 1 else 'ies'}"
    start = place(next(queued, sent[0]))
    row = [piece(batch.id, "bold"), piece(batch.name), piece(what), piece(start + _all_done(sent))]
    return layout(BATCH, [row], width)[1:]


def place(one: Sent) -> str:
    """`queued, 2 ahead, starts in 40m-1h10m`."""
    receipt = one.receipt
    if receipt.state is not State.QUEUED:
        return str(receipt.state)
    said = f"queued, {receipt.ahead} ahead" if receipt.ahead else "queued, next"
    return said + starts(one.eta)


def starts(eta: Eta | None) -> str:
    """`, starts in 40m-1h10m`; nothing where nobody looked."""
    if eta is None:
        return ""
    if eta.start is None:
        return "; no estimate yet of its start"
    return f", starts in {in_words(eta.start)}" if eta.start.late >= 1 else ", starts now"


def _all_done(sent: Sequence[Sent]) -> str:
    """`; all done in 3h-4h`, when that is known of each."""
    ends = [one.eta.end for one in sent if one.eta and one.eta.end]
    if len(ends) < len(sent):
        return ""
    last = Span(max(end.early for end in ends), max(end.late for end in ends))
    return f"; all done in {in_words(last)}"


def next_steps(sent: Sequence[Sent], batch: Batch | None = None) -> list[str]:
    """What to type now."""
    whole = f"-b {batch.id}" if batch else " ".join(one.receipt.id for one in sent)
    first = sent[0].receipt
    if first.state is State.HELD:
        return [f"Let go: queue release {whole}"]
    look = f"Look: queue list {whole}" if batch else f"Follow: queue logs {first.id} -f"
    return [look, f"Cancel: queue cancel {whole}"]


def would_lines(planned: Sequence[Planned], width: int) -> list[Line]:
    """What a dry run shows: names, and what each run would be."""
    rows = [
        [
            piece(run.name, "bold"),
            piece(f"priority {run.priority}"),
            piece(" ".join(run.overrides)),
        ]
        for run in planned
    ]
    return layout(WOULD, rows, width)[1:]


def nothing_queued(planned: Sequence[Planned]) -> str:
    """The last word of a dry run."""
    return f"{count(len(planned), 'run')} would be queued; --dry-run queues nothing"


def sent_record(sent: Sequence[Sent], batch: Batch | None) -> dict[str, Any]:
    """The whole of `--json`."""
    return {
        "batch": asdict(batch) if batch else None,
        "runs": [
            {
                "id": one.receipt.id,
                "state": one.receipt.state,
                "ahead": one.receipt.ahead,
                **_planned_record(one.run),
                "batch": batch.id if batch else one.run.batch,
                "start": one.start,
                "eta": eta_record(one.eta),
            }
            for one in sent
        ],
    }


def would_record(planned: Sequence[Planned]) -> dict[str, Any]:
    """The whole of `--json` of a dry run: nothing has an id yet."""
    return {"dry_run": True, "runs": [_planned_record(run) for run in planned]}


def _planned_record(run: Planned) -> dict[str, Any]:
    return {
        "name": run.name,
        "priority": run.priority,
        "notify": run.notify,
        "kind": run.kind,
        "fold": run.fold,
        "retry_of": run.retry_of,
        "start_from": run.start_from,
        "memory_mb": run.needs.memory_mb,
        "preflight": run.preflight or None,
        "overrides": list(run.overrides),
    }
