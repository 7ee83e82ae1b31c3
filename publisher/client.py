"""The Python API: `from publisher.client import Client`, in a script or a notebook.

The same path into the queue, the same words and the same errors as the command line.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from publisher.desk import console
from publisher.desk.options import (
    MOST_FOLDS,
    MOST_GPUS,
    MOST_SEEDS,
    PRIORITIES,
    host_of,
    parent_of,
    seconds_of,
    states_of,
)
from publisher.desk.selectors import find_batch
from publisher.pages import card
from publisher.pages.watching import last_state_of_line, until_ended, verdict
from publisher.plans.given import override_texts, read_config
from publisher.plans.plan import Needs, Planned, Wishes, new_runs
from publisher.plans.sending import notify_of, place
from publisher.results.frames import frame
from publisher.results.gathered import run_rows
from schemas import code
from schemas.amounts import megabytes_of
from schemas.errors import TrainqError, UsageError
from schemas.run import ENDED, UNDONE, Run, State
from schemas.settings import Settings
from schemas.sweep import Spread

if TYPE_CHECKING:
    from pandas import DataFrame

    from queue_worker.queue import Queue
    from schemas.config import TrainConfig


class Client:
    """Somebody at their desk; the settings are those of the environment and `.env`."""

    def __init__(self, settings: Settings | None = None) -> None:
        from queue_worker.queue import Queue

        self.settings = settings or console.settings()
        self.queue = Queue.connect(self.settings, announce=lambda text: console.talk([text]))

    def submit(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | TrainConfig,
        *texts: str,
        sweep: Mapping[str, Sequence[Any]] | None = None,
        seeds: int = 0,
        folds: int = 0,
        name: str = "",
        priority: int = 0,
        after: str | RunHandle | Sequence[str | RunHandle] = (),
        on: str = "",
        gpus: int = 1,
        memory: str = "",
        time_limit: str = "",
        max_parallel: int = 0,
        hold: bool = False,
        notify: str = "",
        again: bool = False,
        **overrides: Any,
    ) -> RunHandle | BatchHandle:
        """Check every word of a config and queue all that it describes, as `publisher submit`.

        Overrides are texts (`"optim.lr=3e-4"`), keywords (`optim__lr=3e-4`, `seed=3`), or sections
        (`optim={"lr": 3e-4}`).
        """
        _within("seeds", seeds, 0, MOST_SEEDS)
        _within("folds", folds, 0, MOST_FOLDS)
        _within("gpus", gpus, 1, MOST_GPUS)
        _within("priority", priority, -PRIORITIES, PRIORITIES)
        _within("max_parallel", max_parallel, 0, 2**31)
        limit, megabytes = seconds_of(time_limit, "time_limit"), megabytes_of(memory, "memory")
        needs = Needs(host_of(on, "on"), gpus, megabytes, limit)
        wishes = Wishes(
            self.settings.user,
            name,
            priority,
            notify_of(notify, "notify"),
            hold,
            needs,
            max_parallel,
        )
        parents = [parent_of(str(word)) for word in _several(after)]
        said = [*texts, *override_texts(overrides, sweep or {})]
        configs = read_config(config, said, Spread(bool(sweep), seeds, folds))
        planned = new_runs(configs, wishes, code.version())
        how = (wishes, parents, self.settings)
        sent, batch = place(self.queue, configs, planned, *how, again=again, agree=_agreed)
        runs = [RunHandle(self, one.receipt.id) for one in sent]
        return BatchHandle(self, batch.id, batch.name, runs) if batch else runs[0]

    def run(self, name: str) -> RunHandle:
        """A run that is there: an id, a unique beginning of one, a name, @last or @failed."""
        return RunHandle(self, self.queue.resolve(name, user=self.settings.user))

    def results(
        self,
        batch: str | BatchHandle = "",
        *,
        mine: bool = False,
        states: str | Collection[str] | None = None,
    ) -> DataFrame:
        """A row a run, failed ones too: `config.*`, `metrics.*` of its best epoch, time, cost."""
        chosen = [states] if isinstance(states, str) else list(states or ())
        wanted = states_of(chosen) if chosen else None
        rows = self.queue.list(
            states=wanted,
            user=self.settings.user if mine else "",
            batch=find_batch(self.queue, str(batch)) if batch else "",
        )
        return self._frame([row.id for row in rows])

    def _frame(self, ids: Sequence[str]) -> DataFrame:
        return frame(run_rows(self.queue, ids, self.settings.runs))

    def __repr__(self) -> str:
        return f"<trainq client of {self.settings.user} at {self.queue.place.address}>"


class RunHandle:
    """One run; everything it says is asked anew, so it is never out of date."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client, self.id = client, run_id

    @property
    def _queue(self) -> Queue:
        return self._client.queue

    @property
    def record(self) -> Run:
        """All that is known of it."""
        return self._queue.get(self.id)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def state(self) -> State:
        return self.record.state

    @property
    def done(self) -> bool:
        """Whether it has ended, however it did."""
        return self.state in ENDED

    @property
    def result(self) -> dict[str, Any]:
        """What the trainer measured at the best epoch; empty until the run has finished."""
        return dict(self.record.result)

    def wait(self, timeout: float | None = None) -> RunHandle:
        """Stay until it has ended; raises what `queue wait` says of a run that did not finish."""
        _until_finished(self._queue, [self.id], timeout)
        return self

    def metrics(self) -> DataFrame:
        """A row an epoch."""
        return frame(self._queue.metrics(self.id))

    def logs(self) -> str:
        """The last lines of all its attempts."""
        lines, _ = self._queue.log(self.id)
        return "\n".join(map(last_state_of_line, lines))

    def cancel(self, reason: str = "") -> RunHandle:
        """Ask it to end, with a checkpoint where it runs."""
        self._queue.cancel(self.id, by=self._client.settings.user, reason=reason)
        return self

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        try:
            return card.run_text(self.record)
        except TrainqError as error:
            return f"<run {self.id}: {error}>"

    def _repr_html_(self) -> str:
        try:
            run = self.record
            retried = self._queue.retried([self.id] if run.state in UNDONE else [])
            return card.run_html(run, self._queue.now(), retried.get(self.id))
        except TrainqError as error:
            return card.error_html(self.id, error)


class BatchHandle(Sequence[RunHandle]):
    """The runs of one submit."""

    def __init__(self, client: Client, batch_id: str, name: str, runs: Sequence[RunHandle]) -> None:
        self._client, self.id, self.name, self.runs = client, batch_id, name, tuple(runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: Any) -> Any:
        return self.runs[index]

    def __iter__(self) -> Iterator[RunHandle]:
        return iter(self.runs)

    @property
    def states(self) -> dict[str, State]:
        """How each of its runs stands, by id."""
        return self._client.queue.states([run.id for run in self.runs])

    def wait(self, timeout: float | None = None) -> BatchHandle:
        """Stay until all have ended; raises when one of them did not finish."""
        _until_finished(self._client.queue, [run.id for run in self.runs], timeout)
        return self

    def results(self) -> DataFrame:
        """A row a run, also of those that were added by a retry."""
        return self._client.results(batch=self.id)

    def cancel(self, reason: str = "") -> BatchHandle:
        """Ask all of them to end: those that wait first, or a freed worker would take one."""
        states = self.states
        for run in sorted(self.runs, key=lambda run: states.get(run.id) is State.RUNNING):
            run.cancel(reason)
        return self

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<batch {self.id} {self.name}: {len(self)} runs>"

    def _repr_html_(self) -> str:
        ids = [run.id for run in self.runs]
        try:
            found = self._client.queue.runs(ids)
            runs = [found[run_id] for run_id in ids if run_id in found]
            retried = self._client.queue.retried(run.id for run in runs if run.state in UNDONE)
            return card.batch_html(self.id, self.name, runs, retried)
        except TrainqError as error:
            return card.error_html(self.id, error)


def _until_finished(queue: Queue, ids: Sequence[str], timeout: float | None) -> None:
    if error := verdict(until_ended(queue, ids, limit_s=timeout)):
        raise error


def _several(after: str | RunHandle | Sequence[str | RunHandle]) -> Sequence[str | RunHandle]:
    return [after] if isinstance(after, str | RunHandle) else after


def _agreed(planned: Sequence[Planned]) -> None:
    """Who writes a program means every run of it."""


def _within(what: str, value: object, least: int, most: int) -> None:
    """As the command line refuses a flag."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= most:  # type: ignore[operator] # it is an int
        raise UsageError(f"{what}={value!r} is no whole number from {least} to {most}")
