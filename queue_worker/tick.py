"""The tick: every call to Redis while a trainer lives, each at its time, whatever Redis does.

Renews the lease, carries reports and checkpoints out and wishes in, reaps, and writes the end: that
until it is written, whatever else is wished. It runs in a thread of its own.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import redis
from rq.job import Job

from queue_worker import standing
from queue_worker.attempts import outcome, sweep
from queue_worker.attempts.attempt import Attempt
from queue_worker.door.records import Verdict, WorkerCard
from queue_worker.queue import Queue
from queue_worker.routine import Routine
from queue_worker.rqbook import Book
from schemas.errors import QueueUnreachable
from schemas.events import Saved
from schemas.run import Wish
from schemas.settings import Settings

log = logging.getLogger(__name__)

AWAY = (redis.ConnectionError, redis.TimeoutError, QueueUnreachable)
AGAIN_S = 0.5  # between two tries while Redis is away
LEAVE_S = 10.0  # for the last step to end
REFUSALS = 10  # of one end, before it is given up and its lease runs out
# a full, demoted or closed server refuses too, but it will not for ever
PASSING = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoPermissionError,
)
PASSING_WORDS = ("MISCONF", "BUSY", "NOREPLICAS")


@dataclass
class Duty:
    """Something to do every so many seconds."""

    every_s: float
    action: Callable[[], object]
    due: float = 0.0


class Tick:
    """What one worker owes Redis."""

    def __init__(
        self,
        queue: Queue,
        book: Book,
        card: Callable[[], WorkerCard],
        counts: Callable[[Attempt, Saved], None],
        settings: Settings,
    ) -> None:
        self._queue, self._book, self._card, self._counts = queue, book, card, counts
        self._attempt: Attempt | None = None
        self._job: Job | None = None
        self._away_since: float | None = None
        self._refused: set[object] = set()  # what Redis would not do at the last try
        self._refusals = 0
        self._held_back = ""  # why we take nothing, as it was last said
        often_s = min(1.0, settings.renew_s)
        self._duties = [
            Duty(settings.renew_s, self._renew),
            Duty(often_s, self._report),
            Duty(often_s, self._reap),
            Duty(settings.renew_s, self._announce),
            Duty(settings.renew_s, self._look_back),
            Duty(settings.renew_s, book.beat),
            Duty(settings.lease_s, sweep.end_orphans),
        ]
        self._routine = Routine("tick", self.step)
        self.start, self.hurry = self._routine.start, self._routine.wake

    # ---- main thread

    def begin(self, attempt: Attempt, job: Job | None) -> None:
        """Care for an attempt, from its claim to its end."""
        self._job, self._attempt = job, attempt
        self.hurry()

    def stop(self) -> None:
        """End the thread; the last attempt has been settled before."""
        self._routine.leave(LEAVE_S)

    # ---- tick thread

    def step(self) -> float:
        """Do what is due, most important first; how long to rest then."""
        for action in self._due():
            if not self._try(action):
                return AGAIN_S  # Redis is away: everything else would wait just as long in vain
        return max(0.0, min(duty.due for duty in self._duties) - time.monotonic())

    def _due(self) -> Iterator[Callable[[], object]]:
        attempt = self._attempt
        if attempt and self._job:
            yield self._started
        if attempt and attempt.pointer():
            yield self._point
        if attempt and attempt.ending:
            yield self._end
        for duty in self._duties:
            if time.monotonic() >= duty.due:
                yield duty.action
                duty.due = time.monotonic() + duty.every_s  # not reached when Redis is away

    def _try(self, action: Callable[[], object]) -> bool:
        """False when Redis does not answer; what it refuses is said and passed over."""
        try:
            action()
        except AWAY as error:
            if self._away_since is None:
                self._away_since = time.monotonic()
                log.warning("Redis is away (%s); what trains goes on", error)
            return False
        except Exception as error:  # what Redis holds may be anything; no duty starves another
            self._note_refusal(action, error)
        else:
            self._note_consent(action)
        if self._away_since is not None:
            log.info("Redis is back after %.0f s", time.monotonic() - self._away_since)
            self._away_since = None
        return True

    def _note_refusal(self, action: object, error: Exception) -> None:
        if not self._refused:
            what = "Redis refuses" if isinstance(error, redis.RedisError) else "Redis holds rubbish"
            log.warning("%s: %s: %s", what, type(error).__name__, error)
        self._refused.add(action)

    def _note_consent(self, action: object) -> None:
        if action in self._refused:
            self._refused.discard(action)
            if not self._refused:
                log.info("Redis takes everything again")

    # ---- the attempt

    def _started(self) -> None:
        job, self._job = self._job, None
        if job:
            self._book.started(job)

    def _renew(self) -> None:
        attempt = self._attempt
        if not attempt or attempt.fenced:
            return
        renewal = self._queue.renew(attempt.run.id, attempt.token)
        if renewal.answer == "lost":
            log.warning("%s is not ours any more; its trainer is sent away", attempt.run.id)
            attempt.fenced = True
        elif renewal.wish and (not attempt.wish or renewal.wish is Wish.CANCEL):
            attempt.wish = renewal  # whatever it was asked before, a person's cancel wins

    def _report(self) -> None:
        attempt = self._attempt
        while attempt and (report := attempt.report()):
            self._queue.report(attempt.run.id, attempt.token, report)
            attempt.reported()

    def _point(self) -> None:
        attempt = self._attempt
        if attempt and (saved := attempt.pointer()):
            verdict = self._queue.checkpoint(attempt.run.id, attempt.token, saved.path, saved.step)
            attempt.pointed(saved)
            if verdict is Verdict.DONE:
                self._counts(attempt, saved)

    def _end(self) -> None:
        """The last report, then the end itself: again and again until Redis has answered."""
        attempt = self._attempt
        if not attempt or not attempt.ending:
            return
        try:
            self._last_report()
            verdict = self._queue.end(attempt.run.id, attempt.token, attempt.ending)
        except redis.ResponseError as error:
            self._end_refused(attempt, error)
            raise
        self._settle(attempt, verdict)

    def _last_report(self) -> None:
        """Lines are not worth losing an end for."""
        try:
            self._report()
        except AWAY:
            raise
        except Exception as error:
            log.warning("the last lines are not stored: %s", error)

    def _end_refused(self, attempt: Attempt, error: redis.ResponseError) -> None:
        """A broken record must not keep a worker for ever; its lease will run out."""
        if isinstance(error, PASSING) or str(error).startswith(PASSING_WORDS):
            return
        self._refusals += 1
        if self._refusals >= REFUSALS:
            log.error("the end of %s cannot be written: %s", attempt.run.id, error)
            self._settle(attempt, None)

    def _settle(self, attempt: Attempt, verdict: Verdict | None) -> None:
        self._attempt, self._refusals = None, 0
        attempt.settle(verdict)
        self._book.ended(outcome.failure(attempt.ending, verdict))

    # ---- the house

    def _reap(self) -> None:
        card = self._card()
        for run_id in self._queue.reap(card.lane, card.boot_id, card.host):
            log.info("reaped %s: its worker is gone", run_id)

    def _announce(self) -> None:
        self._queue.announce(self._card())

    def _look_back(self) -> None:
        """Say once when somebody keeps this worker from taking runs, and once when it may again."""
        why = standing.back(self._queue.controls(), self._card())
        if why != self._held_back:
            log.warning("takes no runs: %s", why) if why else log.info("takes runs again")
            self._held_back = why
