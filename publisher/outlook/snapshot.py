"""What a list knows at one moment: rows, and what is needed to explain them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas.run import State

if TYPE_CHECKING:
    from publisher.outlook.lengths import Eta
    from queue_worker.queue import BatchView, Control, Row, WorkerView


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Rows in scheduling order, and what is needed to explain them."""

    now: float
    rows: Sequence[Row]
    ahead: Mapping[str, int]  # of every queued run among the rows: how many go before it
    counts: Mapping[State, int]  # of all runs, shown or not
    workers: Sequence[WorkerView]
    controls: Sequence[Control] = ()
    batches: Mapping[str, BatchView] = field(default_factory=dict)
    running: Sequence[Row] = ()  # all that run, shown or not: caps count them
    parents: Mapping[str, State] = field(default_factory=dict)  # of the waiting rows
    etas: Mapping[str, Eta] = field(default_factory=dict)  # where somebody looked at the line
    retried: Mapping[str, Row] = field(default_factory=dict)  # what came of failed ones' retries
    line: Sequence[Row] = ()  # for one run's page: the queued runs before it, in their order

    @property
    def alive(self) -> list[WorkerView]:
        return [worker for worker in self.workers if worker.alive]
