"""Leads a search in the queue: reads its runs, asks for advice, queues trials and gives some up.

It keeps nothing: whoever leads next reads the same runs. The advice comes from a child with Optuna.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from publisher.desk import console
from publisher.pages.watching import ending, patiently
from publisher.plans.given import read_config
from publisher.plans.plan import Batch, Planned, Wishes, new_runs
from publisher.plans.preflight import TRAINER, foresee, libraries
from publisher.plans.sending import alive, send
from publisher.search.trials import PRUNED, by_a_person, next_number, trial_id, trial_of
from schemas import code
from schemas.components.search import Search
from schemas.config import TrainConfig
from schemas.errors import IdTaken, TrainqError, count
from schemas.run import ENDED, Run
from schemas.search import Advice, Ask, Trial, best, over_of, room
from schemas.settings import Settings
from schemas.sweep import Spread

if TYPE_CHECKING:
    from queue_worker.queue import Queue

POLL_S = 1.0


@dataclass
class Leader:
    """Whoever leads a search now."""

    queue: Queue
    batch: Batch
    config: TrainConfig
    overrides: tuple[str, ...]  # that the person typed
    wishes: Wishes
    settings: Settings
    told: set[str] = field(default_factory=set)  # ended runs that were printed
    ended: dict[str, Trial] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)

    @property
    def search(self) -> Search:
        return self.config.search

    @property
    def metric(self) -> str:
        return self.config.evaluate.metric

    def lead(self) -> list[Run]:
        """Until all trials have ended; the best ones last."""
        asked: tuple[object, ...] = ()
        began = patiently(self.queue.now)
        while True:
            runs = self.runs()
            trials = [self.trial(run) for run in runs]
            self.tell(runs)
            if stopped := [run for run in runs if by_a_person(run) and _since(run, began)]:
                raise self.given_up(stopped[0])
            new = room(self.search, trials)
            going = any(trial.state == "going" for trial in trials)
            if not going and not new:
                return runs
            if (question := (trials, new)) != asked:
                if not self.follow(self.advice(trials, new), runs, trials) and not going:
                    return runs  # nothing is left to try
                asked = question
            time.sleep(POLL_S)

    def runs(self) -> list[Run]:
        """The trials, in the order in which they were queued."""
        rows = patiently(self.queue.list, batch=self.batch.id)
        records = patiently(self.queue.runs, [row.id for row in rows])
        return sorted(records.values(), key=lambda run: run.seq)

    def trial(self, run: Run) -> Trial:
        if run.id not in self.ended:
            rows = patiently(self.queue.metrics, run.id)
            trial = trial_of(run, self.search, self.metric, rows, self.judged.get(run.id, 0))
            if run.state not in ENDED:
                return trial
            self.ended[run.id] = trial
        return self.ended[run.id]

    def advice(self, trials: list[Trial], new: int) -> Advice:
        return ask_child(
            Ask(
                search=self.search,
                metric=self.metric,
                seed=self.config.seed,
                trials=tuple(trials),
                new=new,
            )
        )

    def follow(self, advice: Advice, runs: list[Run], trials: list[Trial]) -> bool:
        """Give up what should be, queue what is new; whether anything was to do."""
        for place in advice.prune:
            epoch, value = max(trials[place].values.items())
            why = f"{PRUNED}: {self.metric} {value:.4g} after epoch {epoch}"
            patiently(self.queue.cancel, runs[place].id, by=self.wishes.user, reason=why)
        for run, trial in zip(runs, trials, strict=True):
            self.judged[run.id] = max(trial.values, default=0)
        ids = [run.id for run in runs]
        for over in advice.new:
            number = next_number(self.batch.id, ids)
            ids.append(trial_id(self.batch.id, number))
            self.submit(over, number, first=not runs)
        return bool(advice.new or advice.prune)

    def submit(self, over: tuple[str, ...], number: int, *, first: bool) -> None:
        planned = self.planned(over, number)
        if libraries():
            planned = foresee(planned, alive(self.queue), self.settings)
        run_id = trial_id(self.batch.id, number)
        try:  # the same id again: whoever came first has queued it, and the next look finds it
            patiently(send, self.queue, planned, self.batch if first else None, once(run_id))
        except IdTaken:
            return
        console.talk([f"trial {number} is queued as {run_id}: {' '.join(over)}"])

    def planned(self, over: tuple[str, ...], number: int) -> list[Planned]:
        (loaded,) = read_config(self.config, over, Spread())
        loaded = replace(loaded, overrides=(*self.overrides, *over))
        (run,) = new_runs([loaded], replace(self.wishes, name=""), code.version())
        return [replace(run, name=f"{self.batch.name[:58]}-t{number}", batch=self.batch.id)]

    def tell(self, runs: list[Run]) -> None:
        """What has ended since the last look."""
        fresh = [run for run in runs if run.state in ENDED and run.id not in self.told]
        self.told |= {run.id for run in fresh}
        console.out(" ".join((ending(run), *over_of(self.search, run.overrides))) for run in fresh)

    def given_up(self, run: Run) -> TrainqError:
        return TrainqError(
            f"{run.id} was cancelled by {run.wish_by or run.ended_by}: no more trials are queued",
            fix=f"publisher search -b {self.batch.id} goes on",
        )

    def summary(self, runs: list[Run]) -> list[str]:
        """The best of all trials, and how they ended."""
        trials = [self.trial(run) for run in runs]
        found = best(self.metric, trials)
        ends = [f"{count(len(trials), 'trial')}"] + [
            f"{number} {state}"
            for state in ("done", "pruned", "failed")
            if (number := sum(trial.state == state for trial in trials))
        ]
        if not found:
            return [", ".join(ends)]
        place, value = found
        words = " ".join(trials[place].over)
        return [", ".join(ends), f"best: {runs[place].id} {self.metric} {value:.4g} {words}"]


def _since(run: Run, began: float) -> bool:
    return (run.ended_at or 0) >= began


def once(run_id: str) -> Callable[[], str]:
    """This id for one try; a second one means that somebody has it."""
    left = [run_id]

    def make() -> str:
        if not left:
            raise IdTaken(f"{run_id} is there already")
        return left.pop()

    return make


def ask_child(ask: Ask) -> Advice:
    """The answer of a process that has Optuna."""
    done: Any = subprocess.run(
        [sys.executable, *TRAINER, "suggest"],
        input=ask.model_dump_json().encode(),
        capture_output=True,
        check=False,
    )
    try:
        return Advice.model_validate_json(done.stdout)
    except ValidationError as error:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        fix = 'pip install "trainq[search]"' if "optuna" in said[-1] else ""
        raise TrainqError(f"no advice: {said[-1]}", fix=fix) from error
