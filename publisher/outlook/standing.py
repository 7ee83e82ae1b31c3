"""Why a run stands where it stands, in one line for people. Pure.

"Lost", "position" and "why" are derived here and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from publisher.desk.clock import brief
from publisher.outlook.lengths import in_words
from publisher.outlook.obstacles import closed, misfit, obstacle
from schemas.run import ENDED, State, Wish

if TYPE_CHECKING:
    from publisher.outlook.snapshot import Snapshot
    from queue_worker.queue import Row
    from schemas.run import Run


def why(row: Row | Run, seen: Snapshot) -> str:
    """Why a run stands where it stands, in one line for people."""
    match row.state:
        case State.RUNNING:
            return _why_running(row, seen)
        case State.QUEUED:
            return _why_queued(row, seen)
        case State.HELD:
            return f"held by {row.held_by}" + (f": {row.held_reason}" if row.held_reason else "")
        case State.WAITING:
            return _why_waiting(row, seen)
        case State.FAILED:
            return retried(row.id, seen.retried) + (row.error or str(row.cause or ""))
        case State.CANCELLED:
            return _why_cancelled(row)
        case State.SKIPPED:
            return retried(row.id, seen.retried) + (row.error or "a parent did not finish")
        case State.FINISHED:
            return row.error  # of a gather run that lacks a part
        case _:
            return ""


def retried(run_id: str, last: Mapping[str, Row]) -> str:
    """`retried as 7f3k2q, running: `: somebody has seen to what follows."""
    return f"retried as {last[run_id].id}, {last[run_id].state}: " if run_id in last else ""


def _why_running(row: Row | Run, seen: Snapshot) -> str:
    now = seen.now
    if row.wish is Wish.CANCEL:
        return f"cancel asked by {row.wish_by}" + _quoted(row.wish_reason)
    if row.lease_until is not None and row.lease_until < now:
        return f"worker silent, lease over for {brief(now - row.lease_until)}"
    parts = [f"attempt {row.attempt}"] if row.attempt > 1 else []
    progress = row.progress
    if progress.doing not in ("", "training"):
        parts.append(progress.doing)
    elif not progress.epochs:
        parts.append("starting")
    if end := ends_in(row, seen):
        parts.append(f"done in {end}")
    if row.time_limit_s:
        parts.append(f"limit in {brief(row.time_limit_s - row.ran_s)}")
    return ", ".join(parts)


def _why_waiting(row: Row | Run, seen: Snapshot) -> str:
    """The parents that have not ended yet; `any` only where it is not the usual `ok`."""
    pending = [
        f"{parent.id}{':any' if parent.on == 'any' else ''}"
        + (f" ({state})" if (state := seen.parents.get(parent.id)) else "")
        for parent in row.after
        if seen.parents.get(parent.id) not in ENDED
    ]
    if not pending:
        return "waits for its parents"
    more = f" and {len(pending) - 2} more" if len(pending) > 2 else ""
    return f"waits for {', '.join(pending[:2])}{more}"


def _why_queued(row: Row | Run, seen: Snapshot) -> str:
    reason = obstacle(row, seen) or _in_line(row, seen)
    resumes = f"; resumes at step {row.checkpoint_step}" if row.checkpoint_step else ""
    return reason + resumes


def ends_in(row: Row | Run, seen: Snapshot) -> str:
    """`15m-20m`: what is left of a running one, as the forecast or at least itself says."""
    eta = seen.etas.get(row.id)
    if eta and eta.end:
        return in_words(eta.end)
    return brief(row.progress.eta_s) if row.progress.eta_s is not None else ""


def _placed(place: str, after: str, row: Row | Run, seen: Snapshot) -> str:
    """`next, in 40m-1h10m, after 7f3k2q`: what matters most stands first, where nothing is cut."""
    eta = seen.etas.get(row.id)
    if eta and eta.start and eta.start.late < 1:
        return f"{place}, any moment{after}"
    if eta and eta.start:
        return f"{place}, in {in_words(eta.start)}{after}"
    return f"{place}{after}" + ("; no estimate yet" if seen.etas else "")


def _in_line(row: Row | Run, seen: Snapshot) -> str:
    if ahead := seen.ahead.get(row.id, 0):
        return _placed(f"{ahead} ahead", "", row, seen)
    taking = [
        worker
        for worker in seen.alive
        if not misfit(row, worker.card) and not closed(worker.card, seen.controls)
    ]
    if not all(worker.run for worker in taking):
        return "starts now"
    if len(taking) == 1:
        return _placed("next", f", after {taking[0].run}", row, seen)
    return _placed("next", f"; all {len(taking)} workers busy", row, seen)


def _why_cancelled(row: Row | Run) -> str:
    by = row.wish_by or row.ended_by
    kept = " (checkpoint kept)" if row.checkpoint_step else ""
    return (f"by {by}" if by else "") + _quoted(row.wish_reason) + kept


def _quoted(reason: str) -> str:
    return f': "{reason}"' if reason else ""
