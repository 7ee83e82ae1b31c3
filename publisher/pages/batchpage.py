"""A batch on one page, `queue show BATCH`: where it stands and what failed alike. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publisher.desk.clock import brief, of_day
from publisher.desk.text import Line, Piece, headline, labelled
from publisher.outlook.obstacles import control_of, signed
from publisher.outlook.progress import best_text
from publisher.pages.folding import Folded, best_of, counted, counts
from publisher.pages.render import LOOKS
from schemas.errors import count
from schemas.run import ENDED, State

if TYPE_CHECKING:
    from queue_worker.queue import BatchView, Control, Row

FAILURES = 5  # different ones that are shown
VALUES = 16  # of an axis that are all shown


@dataclass(frozen=True, slots=True)
class BatchPage:
    """All that a batch's page shows."""

    batch: BatchView
    rows: Sequence[Row]
    now: float
    controls: Sequence[Control]


def batch_lines(page: BatchPage, width: int) -> list[Line]:
    """The whole page."""
    card = page.batch.card
    whole = Folded(page.batch, page.rows)
    symbol, style = LOOKS[whole.state]
    state = Piece(f"{symbol} {whole.state.upper()} {whole.ended} of {whole.runs} ended", style)
    rows = [headline(card.name, card.id, state, width)]
    for label, texts in (
        ("Runs", [counted(page.batch), *_missing(page.batch)]),
        ("Held", _held(page)),
        ("Who", [_who(page)]),
        ("Axes", [f"{key}: {_axis(values)}" for key, values in card.axes.items()]),
        ("Best", _best(page.rows)),
        ("Failed", _failures(page.rows)),
    ):
        rows += labelled(label, texts, width)
    return rows


def _missing(batch: BatchView) -> list[str]:
    if not batch.open:
        return ["its submit is not complete, nothing of it starts; submit it again, or cancel it"]
    lacking = batch.card.total - sum(batch.counts.values())
    if lacking > 0 and batch.card.kind == "search":
        return [f"{count(lacking, 'trial')} to come: publisher search -b {batch.card.id}"]
    return [f"{count(lacking, 'run')} of it has no record any more"] if lacking > 0 else []


def _held(page: BatchPage) -> list[str]:
    card = page.batch.card
    scopes = (f"batch:{card.id}", f"user:{card.user}", "all")
    found = [control_of(page.controls, "hold", scope) for scope in scopes]
    return [f"{one.scope} {signed(one)}" for one in found if one]


def _who(page: BatchPage) -> str:
    card = page.batch.card
    facts = [
        f"owner {card.user}",
        f"kind {card.kind}",
        f"at most {card.max_parallel} at a time" if card.max_parallel else "",
        f"submitted {of_day(page.batch.submitted_at, page.now)}",
        f"GPU time {brief(spent)}" if (spent := sum(r.ran_s * r.gpus for r in page.rows)) else "",
    ]
    return "   ".join(fact for fact in facts if fact)


def _axis(values: Sequence[Any]) -> str:
    """`1e-3, 3e-4`, and of many values their ends: a thousand seeds are no reading matter."""
    if len(values) <= VALUES:
        return ", ".join(map(_value, values))
    first, second, *_, last = map(_value, values)
    return f"{first}, {second} ... {last} ({len(values)} values)"


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _best(rows: Sequence[Row]) -> list[str]:
    best = best_of(rows)
    if best is None:
        return []
    winner = next(row for row in rows if row.best == best and counts(row))
    return [f"{best_text(best)} at epoch {best.epoch}: {winner.id} {winner.name}"]


def _failures(rows: Sequence[Row]) -> list[str]:
    """Each different failure once, with how many runs had it; last what was tried again."""
    tried = {row.retry_of for row in rows}
    alike: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.id in tried):
        if row.state is State.FAILED:
            again = "retried: " if row.id in tried else ""
            alike.setdefault(f"{again}{row.cause}: {row.error}", []).append(row.id)
    told = [f"{' '.join(ids[:3])}{' ...' * (len(ids) > 3)}  {why}" for why, ids in alike.items()]
    more = [f"and {len(told) - FAILURES} other failures"] if len(told) > FAILURES else []
    return told[:FAILURES] + more


def next_of(page: BatchPage) -> list[str]:
    """What to type next."""
    name = page.batch.card.id
    held = control_of(page.controls, "hold", f"batch:{name}")
    going = any(state not in ENDED for state in page.batch.counts)
    return [
        f"queue list -b {name}",
        *([f"queue release -b {name}"] if held else []),
        *([f"queue cancel -b {name}"] if going else [f"queue results -b {name}"]),
    ]
