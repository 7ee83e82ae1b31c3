"""What `queue watch` shows: one run on a screen, and changes as lines for a pipe. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from publisher.desk.clock import of_day
from publisher.desk.text import Line, Piece, line, piece
from publisher.outlook import progress, standing
from publisher.pages.page import event_text, title
from publisher.pages.reasons import Reasons, reason_lines
from publisher.pages.watching import last_state_of_line
from schemas.run import ENDED, Run, State

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import Row
    from schemas.events import Event

BAR, LEAST_BAR = 30, 6
VALUE = 6  # cells of one value of the metric


@dataclass(frozen=True, slots=True)
class Watched:
    """All that the screen of one run shows."""

    run: Run
    seen: Snapshot
    reasons: Reasons
    metrics: Sequence[Mapping[str, Any]]
    log: Sequence[str]


def run_lines(one: Watched, width: int, height: int) -> list[Line]:
    """The head, what it does, and as many of its last lines as fit."""
    run = one.run
    if run.state in (State.QUEUED, State.HELD, State.WAITING):
        head = reason_lines(one.reasons, width)
    else:
        head = [title(run, one.seen.now, width), *_doing(run, one.seen, width)]
        head += _curve(run, one.metrics, width)
    foot = line(Piece(leaving(run), "dim"))
    room = max(height - len(head) - 4, 0)
    lines = (
        [line(piece(last_state_of_line(raw)[:width])) for raw in one.log[-room:]] if room else []
    )
    return [*head, line(""), *lines, line(""), foot]


def leaving(run: Run) -> str:
    """What Ctrl-C means here."""
    if run.state in ENDED:
        return f"all of it: queue show {run.id}"
    goes = "runs on" if run.state is State.RUNNING else "stays in line"
    return f"Ctrl-C leaves, it {goes}.  Cancel it: queue cancel {run.id}"


def _doing(run: Run, seen: Snapshot, width: int) -> list[Line]:
    if run.state is not State.RUNNING:
        text = standing.why(run, seen)
        return [line("  ", Piece(text, "bad" if run.state is State.FAILED else ""))] if text else []
    now = run.progress
    facts = [
        progress.done(now),
        f"{now.images_per_s:.0f} img/s" if now.images_per_s else "",
        f"loss {progress.number(now.loss)}" if now.loss is not None else "",
        standing.why(run, seen),
    ]
    told = "  ".join(fact for fact in facts if fact)
    cells = max(min(width - len(told) - 6, BAR), LEAST_BAR)  # when it is done must not be cut off
    filled = round(progress.share(now) * cells)
    return [line("  ", f"[{'#' * filled}{'-' * (cells - filled)}]  " if now.steps else "", told)]


def _curve(run: Run, metrics: Sequence[Mapping[str, Any]], width: int) -> list[Line]:
    """The metric that counts, epoch by epoch, as many of the last as fit."""
    best = run.best
    if best is None:
        return []
    values = [row[best.metric] for row in metrics if isinstance(row.get(best.metric), int | float)]
    top = Piece(f"best {progress.number(best.value)} at epoch {best.epoch}", "good")
    room = width - len(best.metric) - top.width - 10
    most = max(room // VALUE, 1)
    told = " ".join(progress.number(value) for value in values[-most:])
    more = "... " if len(values) > most else ""
    return [line("  ", piece(f"{best.metric}  {more}{told}  "), top)]


# ---- lines for a pipe ----------------------------------------------------------------------------


def standing_line(row: Row | Run, seen: Snapshot) -> str:
    """`12:03:11  7f3k2q vit-s running 3/20, acc 0.812, done in 15m-20m`."""
    facts = [
        f"{row.id} {row.name} {row.state} {progress.done(row.progress)}".rstrip(),
        progress.best_text(row.best),
        standing.why(row, seen),
    ]
    return f"{of_day(seen.now, seen.now)}  {', '.join(fact for fact in facts if fact)}"


def change_line(event: Event, name: str, now: float) -> str:
    """`12:03:11  7f3k2q vit-s claimed by v100:0 (attempt 1)`."""
    at, _, said = event_text(event, now).partition("  ")
    whose = f"{event.run} {name} ".lstrip() if event.run else ""
    return f"{at}  {whose}{said}"
