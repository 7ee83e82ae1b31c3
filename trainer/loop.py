"""The epoch loop: steps, looks, evaluations, checkpoints, and the one way out of the middle."""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from schemas.config import TrainConfig
from schemas.events import Chosen, Epoch, Saved
from schemas.run import Best
from schemas.rundir import RunDir
from trainer import checkpoint
from trainer.checkpoint import Checkpoint, Shelf
from trainer.data.images import Images
from trainer.data.loader import Batch
from trainer.data.plan import Plan
from trainer.ending import enough
from trainer.faults import Diverged, Leave, Leaving
from trainer.judge import predictions
from trainer.judge.metrics import Evaluation, evaluate, ranked
from trainer.judge.predictions import Predictions
from trainer.learn.learner import Learner
from trainer.report import Report, write_metrics
from trainer.saving import Saver
from trainer.state import State
from trainer.tracking import choosing

LOG = logging.getLogger(__name__)


class Pace:
    """Images a second and the time left, by this attempt's own clock."""

    def __init__(self) -> None:
        self.images = self.steps = 0
        self.seconds = self.mark = 0.0
        self.first = 0.0  # the end of the first step, which is slower than all others

    def begin(self) -> None:
        """Training goes on, after a start or an evaluation."""
        self.mark = time.monotonic()

    def step(self, images: int) -> None:
        now = time.monotonic()
        self.seconds, self.mark = self.seconds + now - self.mark, now
        self.images, self.steps = self.images + images, self.steps + 1
        self.first = self.first or now

    def rate(self) -> float | None:
        return self.images / self.seconds if self.seconds else None

    def left(self, steps: int) -> float | None:
        """Seconds until the end, evaluations and checkpoints included."""
        if self.steps < 2:
            return None
        return steps * (time.monotonic() - self.first) / (self.steps - 1)


class Loop:
    """One attempt's way through a run."""

    def __init__(
        self,
        config: TrainConfig,
        images: Images,
        plan: Plan,
        learner: Learner,
        state: State,
        shelf: Shelf,
        run_dir: RunDir,
        facts: dict[str, Any],
        report: Report,
        leave: Leave,
    ) -> None:
        self.config, self.images, self.plan = config, images, plan
        self.learner, self.state = learner, state
        self.shelf, self.run_dir, self.facts = shelf, run_dir, facts
        self.report, self.leave, self.pace, self.saver = report, leave, Pace(), Saver()
        self.saved_step, self.saved_at = state.step, time.monotonic()

    def run(self, batches: Generator[Batch, None, None]) -> None:
        """Epoch by epoch; whoever asks us to leave gets a checkpoint at the next step boundary."""
        # a garbage collection would wait for loader processes in vain
        with self.saver, closing(batches):
            try:
                while self.state.epoch < self.plan.epochs and not self.enough():
                    self.report.alive(doing="training")
                    self.pace.begin()
                    while self.state.step < (self.state.epoch + 1) * self.plan.steps_per_epoch:
                        self.saver.look()
                        if self.due():
                            self.save()
                        self.leave.check()
                        self.step(*next(batches))
                    self.close_epoch(batches)
                self.saver.settle()
                if self.config.evaluate.keep_last and self.learner.crew.leads:
                    self.shelf.keep_last(Checkpoint(self.meta(), self.learner.weights()))
            except Leaving:
                self.saver.settle()
                if self.state.step > self.saved_step:  # a position that no checkpoint has
                    self.save()
                self.saver.settle()
                raise

    def enough(self) -> bool:
        """Whether no further epoch is worth it; all processes say the same."""
        train, (seconds, *_) = self.config.train, self.learner.crew.gather(self.seconds())
        why = enough(self.config.evaluate, self.state.rows, seconds, train.limit_s)
        if why:
            self.report.facts["ended_early"] = why
            LOG.info("ends after epoch %s: %s", self.state.epoch, why)
        return bool(why)

    def seconds(self) -> float:
        """Of training, in this attempt and in those that it goes on from."""
        return self.state.seconds + self.pace.seconds

    def step(self, images: Tensor, targets: Tensor) -> None:
        loss = self.learner.step(images, targets, self.state.step)
        self.state.tally.add(loss, self.state.step)
        if self.learner.micro_batch != self.facts["micro_batch"]:
            self.choose()
        self.state.step += 1
        self.pace.step(len(images) * self.learner.crew.size)
        if self.state.step % self.config.train.log_every == 0:
            self.look()
        self.report.alive(step=self.state.step)

    def choose(self) -> None:
        """Memory was too small: what the next attempts and the record must know."""
        self.facts["micro_batch"] = self.report.facts["micro_batch"] = self.learner.micro_batch
        precision, micro_batch = self.learner.precision, self.learner.micro_batch
        self.report.tell(Chosen(precision=precision, micro_batch=micro_batch))

    def look(self) -> float | None:
        """The mean loss of the epoch so far; waits for the device."""
        total, counted, _, worst, since = self.state.tally.numbers()
        if worst >= self.config.train.nan_limit:
            raise Diverged(
                f"the loss was no number {worst:.0f} times in a row, from step {since:.0f} on",
                self.config.optim.lr,
                int(since),
            )
        mean = total / counted if counted else None
        self.report.images_per_s = self.pace.rate()
        self.report.alive(
            loss=mean,
            images_per_s=self.report.images_per_s,
            eta_s=self.pace.left(self.plan.steps - self.state.step),
        )
        return mean

    def close_epoch(self, batches: Iterator[Batch]) -> None:
        """Evaluate, keep the best weights, report the row. Leaving in here redoes it all."""
        mean = self.look()
        values = {"lr": self.learner.rate(self.state.step - 1)} | (
            {} if mean is None else {"train_loss": mean}
        )
        found = None
        if self.plan.evaluates(self.state.epoch):
            self.report.alive(doing="evaluating")
            classes = len(self.images.classes)
            found = evaluate(self.learner, self.validation(batches), classes)
            values |= found.values
        self.saver.settle()
        self.state.epoch += 1
        self.state.tally.next_epoch()
        before, good = self.state.top, None
        if found and self.learner.crew.leads:
            good = self.judge(found)
            self.show(found)
        self.state.rows.append({"epoch": self.state.epoch, "step": self.state.step, **values})
        self.learner.heed(self.state.rows)
        if self.learner.crew.leads:
            write_metrics(self.shelf.attempt.metrics, self.state.rows)
        self.report.alive(epoch=self.state.epoch)
        line = Epoch(epoch=self.state.epoch, step=self.state.step, metrics=values)
        if good is None:
            self.closed(line, before, kept=False)
            return
        keep = partial(self.shelf.keep_best, self.state.step, good, self.steps_of(self.state.top))
        self.saver.write(keep, partial(self.closed, line, before))

    def closed(self, line: Epoch, before: list[Best], kept: bool) -> None:
        """A good value counts once its weights are on disk, and beside them what they said."""
        if not kept:
            self.state.top = before
        self.report.epoch(line.model_copy(update={"best": self.state.best}))

    def validation(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches of one evaluation, with a chance to leave between them."""
        number = sum(1 for _ in self.plan.validation())
        for batch in islice(batches, number):
            self.leave.check()
            self.saver.look()
            self.report.alive()
            yield batch

    def judge(self, found: Evaluation) -> Checkpoint | None:
        """The weights of an epoch that is among the best so far, to be kept."""
        metric, values = self.config.evaluate.metric, found.values
        if metric not in values:
            return None
        new = Best(metric=metric, value=values[metric], epoch=self.state.epoch)
        self.state.top = ranked(self.state.top, new, self.config.evaluate.keep)
        if new not in self.state.top:
            return None
        said = Predictions.of(self.images, self.plan.validated, found.true, found.probabilities)
        more = {predictions.VALIDATION: said.packed()}
        return Checkpoint(self.meta(), self.learner.weights(self.learner.judged), more=more)

    def steps_of(self, top: Sequence[Best]) -> list[int]:
        """Where their epochs ended."""
        return [best.epoch * self.plan.steps_per_epoch for best in top]

    def show(self, found: Evaluation) -> None:
        """The evaluation's pictures, for those who are told of this run."""
        if choosing.asked_for(self.config.track):
            which, epoch = self.plan.validated, self.state.epoch
            sight = choosing.chosen(self.config.track, epoch, self.images, which, found)
            self.report.tracking.sight(sight)

    def due(self) -> bool:
        """By steps or by time; never twice at the same step."""
        if self.state.step == self.saved_step or not self.learner.crew.leads:
            return False
        every = self.config.train.save_every_steps
        if every and self.state.step % every == 0:
            return True
        # while one is being written the next would have to wait
        over = time.monotonic() - self.saved_at >= self.config.train.save_every_s
        return over and not self.saver.busy

    def save(self) -> None:
        """A checkpoint to go on from; when the disk refuses, the run goes on without it."""
        self.saver.settle()
        self.look()  # a run that is diverging keeps its last good checkpoint
        self.report.doing("saving")
        memory = {**self.learner.memory(), "tally": self.state.tally.numbers()}
        whole = Checkpoint(self.meta(), self.learner.weights(), memory)
        step = self.state.step
        self.saver.write(partial(self.shelf.save, step, whole), partial(self.saved, step))
        self.saved_at = time.monotonic()
        self.report.alive(doing="training")

    def saved(self, step: int, folder: Path | None) -> None:
        """A checkpoint is on disk; none when the disk refused."""
        if folder:
            self.saved_step = step
            self.report.tell(Saved(path=self.run_dir.relative(folder), step=step))

    def meta(self) -> dict[str, Any]:
        """What people and later attempts can read of a checkpoint without torch."""
        return {
            "schema": checkpoint.SCHEMA,
            "step": self.state.step,
            "epoch": self.state.epoch,
            "seconds": self.seconds(),
            "best": self.state.best.model_dump() if self.state.best else None,
            "top": [best.model_dump() for best in self.state.top],
            "top_steps": self.steps_of(self.state.top),
            "rows": list(self.state.rows),  # it is written while they become more
            **self.facts,
        }
