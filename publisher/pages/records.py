"""Runs as programs read them: stable keys, ISO times beside seconds, a schema number. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from publisher.desk.clock import iso
from publisher.desk.text import clean
from publisher.outlook import progress, standing
from publisher.outlook.snapshot import Snapshot
from publisher.results.ranking import Result

if TYPE_CHECKING:
    from publisher.outlook.lengths import Eta
    from queue_worker.queue import BatchView, Control, Row, WorkerView

CSV_KEYS = (
    *("id", "name", "state", "user", "priority", "batch", "retry_of"),
    *("retried_as", "retried_state", "attempt", "worker"),
    *("submitted_at", "started_at", "ended_at", "elapsed_s", "ahead", "why", "cause", "error"),
    *("progress.epoch", "progress.epochs", "best.metric", "best.value", "best.epoch"),
)
RESULT_KEYS = (
    *("place", "id", "name", "state", "user", "metric", "value", "best_epoch", "epochs"),
    *("duration_s", "worker", "batch", "retry_of", "retried_as", "retried_state"),
    *("ended_at", "cause", "error"),
)


def list_record(seen: Snapshot, matching: int) -> dict[str, Any]:
    """The whole of `queue list --json`."""
    return {
        "now": iso(seen.now),
        "matching": matching,
        "counts": {str(state): number for state, number in seen.counts.items()},
        "workers": [worker_record(worker) for worker in seen.workers],
        "batches": [batch_record(batch) for batch in seen.batches.values()],
        "controls": [control_record(control) for control in seen.controls],
        "runs": [row_record(row, seen) for row in seen.rows],
    }


def row_record(row: Row, seen: Snapshot) -> dict[str, Any]:
    """One run of a list."""
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "user": row.user,
        "priority": row.priority,
        "batch": row.batch,
        "fold": row.fold,
        "kind": row.kind,
        "after": [parent.model_dump() for parent in row.after],
        "gpus": row.gpus,
        "memory_mb": row.memory_mb,
        "needs_host": row.needs_host,
        "time_limit_s": row.time_limit_s,
        "ran_s": row.ran_s,
        "retry_of": row.retry_of,
        **retry_record(seen.retried.get(row.id)),
        "attempt": row.attempt,
        "worker": row.worker,
        "submitted_at": iso(row.submitted_at),
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at),
        "elapsed_s": round(progress.elapsed(row, seen.now), 3),
        "ahead": seen.ahead.get(row.id),
        "why": standing.why(row, seen),
        "eta": eta_record(seen.etas.get(row.id)),
        "progress": row.progress.model_dump(),
        "best": row.best.model_dump() if row.best else None,
        "checkpoint_step": row.checkpoint_step,
        "wish": row.wish,
        "ended_by": row.ended_by,
        "cause": row.cause,
        "error": row.error,
    }


def retry_record(last: Row | None) -> dict[str, Any]:
    """What came of trying a failed or skipped run again; null where nobody has."""
    return {
        "retried_as": last.id if last else None,
        "retried_state": last.state if last else None,
    }


def eta_record(eta: Eta | None) -> dict[str, Any]:
    """Seconds from now, at the earliest and at the latest; null where nothing is known."""
    start, end = (eta.start, eta.end) if eta else (None, None)
    return {
        "start_s": [round(start.early, 1), round(start.late, 1)] if start else None,
        "end_s": [round(end.early, 1), round(end.late, 1)] if end else None,
    }


def result_record(result: Result) -> dict[str, Any]:
    """One run of the results."""
    row, best = result.row, result.best
    return {
        "place": result.place,
        "id": row.id,
        "name": row.name,
        "state": row.state,
        "user": row.user,
        "metric": best.metric if best else None,
        "value": best.value if best else None,
        "best_epoch": best.epoch if best else None,
        "epochs": row.progress.epochs,
        "duration_s": round(progress.elapsed(row, 0), 3),
        "worker": row.worker,
        "batch": row.batch,
        "retry_of": row.retry_of,
        **retry_record(result.retry),
        "ended_at": iso(row.ended_at),
        "cause": row.cause,
        "error": row.error,
    }


def worker_record(worker: WorkerView) -> dict[str, Any]:
    """One worker of a list."""
    card = worker.card
    return {
        "lane": card.lane,
        "host": card.host,
        "gpu": card.gpu,
        "gpu_name": card.gpu_name,
        "alive": worker.alive,
        "draining": card.draining,
        "run": worker.run,
        "seen_at": iso(worker.seen_at),
    }


def batch_record(batch: BatchView) -> dict[str, Any]:
    """One batch, without its runs."""
    return {
        **batch.card.model_dump(mode="json"),
        "counts": {str(state): number for state, number in batch.counts.items()},
        "retried": {str(state): number for state, number in batch.retried.items()},
        "submitted_at": iso(batch.submitted_at),
        "open": batch.open,
    }


def control_record(control: Control) -> dict[str, Any]:
    """A hold, a drain or a cap."""
    return {**control.model_dump(mode="json"), "at": iso(control.at)}


def as_csv(records: Iterable[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """A header and a row each; nested values as `best.value`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(keys)
    for record in records:
        writer.writerow([_cell(_at(record, key)) for key in keys])
    return buffer.getvalue().removesuffix("\n")


def as_jsonl(records: Iterable[Mapping[str, Any]]) -> str:
    """One JSON object a line."""
    return "\n".join(json.dumps(record) for record in records)


def _at(record: Mapping[str, Any], key: str) -> Any:
    if key in record:
        return record[key]
    value: Any = record
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _cell(value: Any) -> str:
    return "" if value is None else clean(str(value))
