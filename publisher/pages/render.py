"""The tables of `queue list` and `queue results`: values in, lines of pieces out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from publisher.desk.clock import brief
from publisher.desk.columns import Column, layout, shown_in
from publisher.desk.text import Line, Piece, line, piece
from publisher.outlook import progress, standing
from publisher.outlook.obstacles import closed, gib, resumed_by, signed
from publisher.outlook.snapshot import Snapshot
from publisher.pages.folding import Folded, why_folded
from schemas.errors import count
from schemas.run import State

if TYPE_CHECKING:
    from publisher.results.ranking import Result
    from queue_worker.queue import Row, WorkerView

# Never colour alone: a symbol and the word, and the style on top.
LOOKS = {
    State.RUNNING: (">", "live"),
    State.QUEUED: (".", ""),
    State.HELD: ("=", "warn"),
    State.WAITING: ("~", ""),
    State.FINISHED: ("+", "good"),
    State.FAILED: ("x", "bad"),
    State.CANCELLED: ("-", "dim"),
    State.SKIPPED: ("/", "dim"),
}
BAR = 7
NAMED_WORKERS = 4
WIDE = 110  # from here on there is room for bars

LIST = (
    Column("ID"),
    Column("NAME", least=14, want=20, middle=True),
    Column("STATUS"),
    Column("PROGRESS"),
    Column("BEST", drop=1),
    Column("PRIO", drop=5, right=True),
    Column("GPUS", drop=6, right=True),
    Column("MEMORY", drop=7, right=True),
    Column("GPU", drop=3),
    Column("OWNER", drop=4),
    Column("TIME", drop=2, right=True),
    Column("WHY / ETA", least=20, want=44, below=True),
)
OWNER = [column.title for column in LIST].index("OWNER")


def status(state: State, *, dim: bool = False) -> Piece:
    """`x failed`; of what needs nobody any more without the colour that calls."""
    symbol, style = LOOKS[state]
    return Piece(f"{symbol} {state}", "dim" if dim else style)


def list_lines(
    seen: Snapshot, width: int, entries: Sequence[Row | Folded] | None = None
) -> list[Line]:
    """The table of the rows, and under it what there is in all."""
    if not any(seen.counts.values()):
        return [line("nothing was ever submitted; begin with: publisher submit FILE")]
    shown = seen.rows if entries is None else entries
    if not shown:
        return [line("no such runs"), *summary(seen)]
    rows = [_row(entry, seen, owners=True, wide=width >= WIDE) for entry in shown]
    if OWNER not in shown_in(LIST, rows, width):
        rows = [_row(entry, seen, owners=False, wide=width >= WIDE) for entry in shown]
    return [*layout(LIST, rows, width), *summary(seen)]


def _row(entry: Row | Folded, seen: Snapshot, *, owners: bool, wide: bool) -> list[Piece]:
    """A line; whose a batch is stands in it, where there is no column of owners."""
    if isinstance(entry, Folded):
        return _batch_row(entry, seen, owners=owners)
    return _list_row(entry, seen, wide=wide)


def _list_row(row: Row, seen: Snapshot, *, wide: bool) -> list[Piece]:
    seen_to = row.id in seen.retried
    return [
        piece(row.id, "bold"),
        piece(row.name),
        status(row.state, dim=seen_to),
        piece(_progress(row, seen, wide=wide)),
        piece(progress.best_text(row.best)),
        piece(row.priority or ""),
        piece(row.gpus if row.gpus > 1 else ""),
        piece(gib(row.memory_mb) if row.memory_mb >= 1024 else ""),  # less fits anywhere
        piece(row.worker),
        piece(row.user),
        piece(brief(progress.elapsed(row, seen.now))),
        piece(standing.why(row, seen), "bad" if row.state is State.FAILED and not seen_to else ""),
    ]


def _batch_row(entry: Folded, seen: Snapshot, *, owners: bool) -> list[Piece]:
    """`k3p9aa  lr-sweep x12  > running  3/12`: the runs that ended, of those there are."""
    card = entry.batch.card
    return [
        piece(card.id, "bold"),
        piece(f"{card.name} x{entry.runs}"),
        status(entry.state),
        piece(f"{entry.ended}/{entry.runs}"),
        piece(progress.best_text(entry.best)),
        *[piece("")] * 4,
        piece(card.user),
        piece(brief((entry.ended_at or seen.now) - entry.batch.submitted_at)),
        piece(why_folded(entry, seen, owners=owners), "bad" if entry.state is State.FAILED else ""),
    ]


def _progress(row: Row, seen: Snapshot, *, wide: bool) -> str:
    if row.state is State.QUEUED:
        return f"#{seen.ahead[row.id] + 1}" if row.id in seen.ahead else ""
    epochs = progress.done(row.progress)
    if row.state is State.RUNNING and wide and epochs:
        filled = round(progress.share(row.progress) * BAR)
        return f"{'#' * filled}{'-' * (BAR - filled)} {epochs}"
    return epochs


def summary(seen: Snapshot) -> list[Line]:
    """`1 running, 2 queued; 9 finished` and `Workers: v100:0 busy, v100:1 DRAINING`."""
    open_states = (State.RUNNING, State.QUEUED, State.HELD, State.WAITING)
    ended_states = (State.FINISHED, State.FAILED, State.CANCELLED, State.SKIPPED)
    groups = [_counted(seen, states) for states in (open_states, ended_states)]
    runs = "; ".join(group for group in groups if group)
    held = [line(Piece(text, "warn")) for text in wide_holds(seen)]
    return [line(""), line(runs), line(f"Workers: {_workers(seen.workers, seen)}"), *held]


def wide_holds(seen: Snapshot) -> list[str]:
    """Holds and drains that are wider than a batch: nobody should wonder why nothing starts."""
    return [
        f"{control.scope if control.scope != 'all' else 'everything'}"
        f" {'held' if control.kind == 'hold' else 'drained'} {signed(control)}"
        for control in seen.controls
        if control.kind != "cap" and not control.scope.startswith("batch:")
    ]


def _counted(seen: Snapshot, states: Sequence[State]) -> str:
    return ", ".join(f"{seen.counts[s]} {s}" for s in states if seen.counts.get(s))


def _workers(workers: Sequence[WorkerView], seen: Snapshot) -> str:
    if len(workers) <= NAMED_WORKERS:
        named = [f"{worker.card.lane} {doing(worker, seen)}" for worker in workers]
        return ", ".join(named) or "none is alive"
    counted = Counter(doing(worker, seen) for worker in workers)
    return ", ".join(f"{number} {word}" for word, number in counted.most_common())


def doing(worker: WorkerView, seen: Snapshot) -> str:
    """A word for a worker."""
    if not worker.alive:
        return "SILENT"
    if reason := closed(worker.card, seen.controls):
        return "HELD" if reason.startswith("is held") else "DRAINING"
    if worker.card.busy_with and not worker.run:
        return "WAITING"  # for others on its card, or for room on its disk
    return "busy" if worker.run else "idle"


def not_shown(hidden: int, batches: Sequence[str] = ()) -> list[Line]:
    """What a short list leaves out, and how to see it."""
    if hidden <= 0:
        return []
    of = "".join(f" -b {batch}" for batch in batches)
    return [line(Piece(f"{count(hidden, 'run')} not shown: queue list{of} --all", "dim"))]


def hint(entries: Sequence[Row | Folded], seen: Snapshot) -> list[Line]:
    """What to type next: for a worker that a breaker has paused, at the newest failure that nobody
    has seen to, into a batch.
    """
    runs = [entry for entry in entries if not isinstance(entry, Folded)]
    failed = [r.id for r in runs if r.state is State.FAILED and r.id not in seen.retried]
    folded = [entry.batch.card.id for entry in entries if isinstance(entry, Folded)]
    texts = [f"once it is mended: {command}" for command in resumed_by(seen.controls)]
    texts += [f"why it failed: queue show {failed[0]}"] if failed else []
    texts += [f"its runs one by one: queue list -b {folded[0]}"] if folded else []
    return [line(Piece(text, "dim")) for text in texts]


RESULTS = (
    Column("#", right=True),
    Column("BEST"),
    Column("EPOCHS", drop=1),
    Column("TIME", drop=2, right=True),
    Column("GPU", drop=3),
    Column("OWNER", drop=4),
    Column("ID"),
    Column("NAME", least=14, want=20, middle=True),
    Column("WHY", least=20, want=44, below=True),
)


def results_lines(results: Sequence[Result], now: float, width: int) -> list[Line]:
    """A ranking; failed runs are named below it, never left out."""
    if not results:
        return [line("no run has finished or failed yet")]
    return layout(RESULTS, [_results_row(result, now) for result in results], width)


def _results_row(result: Result, now: float) -> list[Piece]:
    row, again = result.row, result.retry
    failed = row.state is State.FAILED
    why = f"failed: {row.error or row.cause}" if failed else row.error
    if again:
        why = standing.retried(row.id, {row.id: again}) + (row.error or str(row.cause))
    return [
        piece(result.place or "-"),
        piece(progress.best_text(result.best), "" if failed else "good"),
        piece(progress.done(row.progress)),
        piece(brief(progress.elapsed(row, now))),
        piece(row.worker),
        piece(row.user),
        piece(row.id, "bold"),
        piece(row.name),
        # a finished run with an error is a gather run that lacks a part
        piece(why, "" if again else "bad"),
    ]
