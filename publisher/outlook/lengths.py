"""How long a run will take, from what like runs took: a range, or nothing at all. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from publisher.desk.clock import brief
from schemas.run import State

if TYPE_CHECKING:
    from queue_worker.queue import Row

NEWEST = 8  # like runs that count
# the factors by which a run may be faster or slower than those it is compared with
SAME = (0.9, 1.15)  # the same experiment, on this worker
ALIKE = (0.8, 1.3)  # the same model for as many epochs
SCALED = (0.6, 1.6)  # the same model for other epochs
ELSEWHERE = (0.7, 1.5)  # on another worker, besides
UNSURE = (0.05, 0.3)  # of what a running one says: at its end, and more at its beginning


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds: at the earliest and at the latest."""

    early: float
    late: float

    def __add__(self, other: Span) -> Span:
        return Span(self.early + other.early, self.late + other.late)

    def times(self, factors: tuple[float, float]) -> Span:
        return Span(self.early * factors[0], self.late * factors[1])

    def less(self, seconds: float) -> Span:
        return Span(max(self.early - seconds, 0.0), max(self.late - seconds, 0.0))

    def at_most(self, seconds: float) -> Span:
        return Span(min(self.early, seconds), min(self.late, seconds))


@dataclass(frozen=True, slots=True)
class Eta:
    """From now on; None where nothing is known."""

    start: Span | None = None  # of a pending run
    end: Span | None = None


@dataclass(frozen=True, slots=True)
class Took:
    """How long a run took, and where."""

    worker: str
    seconds: float
    epochs: int = 0


Shape = tuple[str, int]  # the kind of a run and its GPUs: only like shapes are compared


class History:
    """Runs that finished, newest first, and the model and epochs of these and others."""

    def __init__(self, past: Iterable[Row], sizes: Mapping[str, tuple[str, int]]) -> None:
        self._sizes = sizes
        self._twins: defaultdict[tuple[str, Shape], list[Took]] = defaultdict(list)
        self._models: defaultdict[tuple[str, Shape], list[Took]] = defaultdict(list)
        self._known: dict[tuple[str, str, int, Shape, str], Span | None] = {}
        for row in past:
            model, epochs = sizes.get(row.id, ("", 0))
            took = Took(row.worker, row.ran_s, epochs)
            if row.ran_s > 0 and row.digest:
                self._twins[row.digest, _shape(row)].append(took)
            if row.ran_s > 0 and epochs:
                self._models[model, _shape(row)].append(took)

    def length(self, row: Row, lane: str) -> Span | None:
        """How long all of it takes on this worker."""
        key = (row.digest, *self._sizes.get(row.id, ("", 0)), _shape(row), lane)
        if key not in self._known:  # of a long line most are alike
            self._known[key] = self._length(*key)
        return self._known[key]

    def _length(self, digest: str, model: str, epochs: int, shape: Shape, lane: str) -> Span | None:
        if twins := self._twins.get((digest, shape)):
            return _range(twins, lane).times(SAME)
        found = self._models.get((model, shape), [])
        if exact := [took for took in found if took.epochs == epochs]:
            return _range(exact, lane).times(ALIKE)
        scaled = [replace(took, seconds=took.seconds * epochs / took.epochs) for took in found]
        return _range(scaled, lane).times(SCALED) if scaled else None


def _shape(row: Row) -> Shape:
    return row.kind, row.gpus


def _range(times: Sequence[Took], lane: str) -> Span:
    """From the fastest to the slowest of the newest, of this worker if it did any."""
    here = [took.seconds for took in times if took.worker == lane][:NEWEST]
    counted = here or [took.seconds for took in times][:NEWEST]
    span = Span(min(counted), max(counted))
    return span if here else span.times(ELSEWHERE)


def left(row: Row, history: History) -> Span | None:
    """What is left of a running one: by its own speed, else by what like runs took."""
    steps = row.progress.steps
    done = min(row.progress.step / steps, 1.0) if steps else 0.0
    if row.progress.eta_s is not None:
        doubt = UNSURE[0] + UNSURE[1] * (1 - done)
        own = row.progress.eta_s
        span: Span | None = Span(own * (1 - doubt), own * (1 + doubt))
    else:
        whole = history.length(row, row.worker)
        span = whole.less(row.ran_s) if whole else None
    return _limited(row, span)


def to_come(row: Row, lane: str, history: History) -> Span | None:
    """How long a pending one will take on this worker; what a checkpoint has is done."""
    whole = history.length(row, lane)
    steps = row.progress.steps
    if whole and row.checkpoint_step and steps:
        undone = max(1 - row.checkpoint_step / steps, 0.0)
        whole = whole.times((undone, undone))
    return _limited(row, whole)


def _limited(row: Row, span: Span | None) -> Span | None:
    """Not beyond its time limit: then it saves and ends."""
    if not row.time_limit_s:
        return span
    rest = max(row.time_limit_s - row.ran_s, 0.0)
    return span.at_most(rest) if span else None


def in_words(span: Span) -> str:
    """`17m-21m`, or `~18m` when both ends read alike."""
    early, late = brief(span.early), brief(span.late)
    return f"~{late}" if early == late else f"{early}-{late}"


def needs_sizes(rows: Iterable[Row], past: Sequence[Row]) -> list[str]:
    """The runs whose twin is not among the past ones, so that their model is to be looked up."""
    known = {row.digest for row in past if row.digest}
    live = (State.RUNNING, State.QUEUED, State.WAITING)
    return [row.id for row in rows if row.state in live and row.digest not in known]
