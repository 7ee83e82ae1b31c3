"""Runs of the queue as rows of one table, for the API and for `queue export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publisher.results.sides import environment_of
from publisher.results.tables import run_row

if TYPE_CHECKING:
    from queue_worker.queue import Queue


def run_rows(queue: Queue, ids: Sequence[str], runs: Path) -> list[dict[str, Any]]:
    """A row a run, in this order; its commit is known where its folder is on this machine."""
    cards = {view.card.lane: view.card.gpu_name for view in queue.workers()}
    found, here = queue.runs(ids), runs.is_dir()
    rows = []
    for run in (found[run_id] for run_id in ids if run_id in found):
        code = environment_of(run, runs).get("code") if here and run.attempt else None
        rows.append(run_row(run, cards, str((code or {}).get("commit", ""))))
    return rows
