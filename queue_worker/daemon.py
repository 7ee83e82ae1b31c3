"""The worker: claim, supervise, end; one loop on one screen. Never imports torch, never forks.

The main thread spawns and watches trainers and does no Redis while one lives; `tick` does all of
that, and reaps; notices go out from a thread of their own.
"""

import logging
import signal
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

import redis
from rq import Queue as RqQueue
from rq.job import Job
from rq.worker import BaseWorker

from queue_worker import host, namesake
from queue_worker.attempts import outcome, rundirs, sweep
from queue_worker.attempts.attempt import Attempt
from queue_worker.attempts.child import Trainer
from queue_worker.attempts.followers import Followers
from queue_worker.attempts.orders import Prepared, part_of, prepare, read
from queue_worker.attempts.standby import Standby
from queue_worker.attempts.supervise import Exit, Limits, Watch
from queue_worker.attempts.tail import append, last_line
from queue_worker.door.records import Ending, Verdict, WorkerCard
from queue_worker.gpus.lookout import Lookout
from queue_worker.notices.notifier import Notifier
from queue_worker.queue import Queue
from queue_worker.rqbook import Book, Sealed, rq_queue
from queue_worker.tick import AGAIN_S, Tick
from queue_worker.update import Updates
from schemas import code
from schemas.errors import NotFound, QueueUnreachable, TrainqError, count
from schemas.events import Part, Saved
from schemas.run import Cause, Parent, Run, State, new_nonce
from schemas.rundir import RunsRoot
from schemas.settings import Settings

log = logging.getLogger(__name__)

BELL_S = 1.0
SLICE_S = 0.1  # in which a rest notices a signal
FREE_BYTES = 1 << 30  # a run that cannot save its checkpoints had better not begin
FAULT_PAUSE_S = 5.0  # a host that cannot begin a run should not drain the queue trying
FAREWELL_S = 10.0  # for the last notices of a worker that has done what it was to do


class GpuWorker(BaseWorker):
    """One worker of one lane."""

    def __init__(
        self,
        queue: Queue,
        connection: "redis.Redis",
        card: WorkerCard,
        settings: Settings,
        standby: Standby,
        notifier: Notifier,
        lookout: Lookout,
        updates: Updates | None = None,
    ) -> None:
        lane = rq_queue(card.lane, connection)
        super().__init__(
            [lane],
            name=f"{lane.name}.{new_nonce()}",  # a name that still lives would be refused
            connection=connection,
            worker_ttl=60,
            job_monitoring_interval=3,
            serializer=Sealed,
        )
        self.leaving = self.outdated = False
        self._queue, self._settings, self._standby = queue, settings, standby
        self._first_card, self._root = card, RunsRoot(settings.runs)
        self._limits = Limits(settings.beat_s, settings.stall_s, settings.grace_s, settings.dying_s)
        self._book = Book(self)
        self._tick = Tick(queue, self._book, self.card, self._counts, settings)
        self._notifier, self._silence, self._lookout = notifier, threading.Event(), lookout
        self._updates = updates
        self._nonce, self._followers = new_nonce(), Followers()
        self._attempt: Attempt | None = None
        self._done = 0  # attempts
        self._wanted: int | None = None
        self._no_disk = ""  # what is said while a run could not save its checkpoints
        self._stuck: Trainer | None = None  # it did not die, and keeps the GPU
        self._stuck_with = ""

    def _set_connection(self, connection: Any) -> Any:
        """RQ would raise the time-out of the whole pool to its own patience."""
        return connection

    # ---- the loop

    def work(self, burst: bool = False, *_: Any, max_jobs: int | None = None, **__: Any) -> bool:
        """Until asked to leave; with `burst` until nothing is left to claim; `max_jobs` attempts.

        Reaping and notices have threads of their own, so that they go on while a run trains.
        """
        self._wanted = max_jobs
        self._open()
        try:
            while not self.leaving and self._done != max_jobs:
                try:
                    if self._updates and self._updates.applied():
                        self.outdated = True
                        break
                    self._look_after_stuck()
                    self._look_at_disk()
                    card = self.card()
                    job = self._claim(card) if self._has_room(card, burst) else None
                    if self._attempt:
                        self.execute_job(job, self.queues[0])
                    elif burst and not card.busy_with:
                        break
                    else:
                        self._idle()
                except redis.RedisError:
                    self._pause(AGAIN_S)  # away or refusing: the tick says it aloud
                except TrainqError:
                    raise
                except Exception:  # whatever it was, the next run may be sound
                    log.exception("unexpected, going on")
                    self._pause(FAULT_PAUSE_S)
        finally:
            self._close(tells=burst or self._done == max_jobs)
        return self._done > 0

    def _claim(self, card: WorkerCard) -> Job | None:
        """Take a run, if there is one: pop, claim, pop.

        The first pop is for a claim whose reply was lost: its job is in the lane already.
        """
        job = self._book.pop()
        claim = self._queue.claim(card, self._nonce)
        self._nonce = new_nonce()  # not before there was an answer: a repeat gets the same claim
        if job and (claim is None or job.id != claim.rq_job):
            self._book.drop(job)
            job = None
        if claim is None:
            return None
        self._attempt = self._begun(Attempt(claim, self._tick.hurry))
        return job or self._book.pop()

    def _begun(self, attempt: Attempt) -> Attempt | None:
        """The attempt, unless its lease is lost already: the reply may have taken long."""
        try:
            renewal = self._queue.renew(attempt.run.id, attempt.token)
        except redis.RedisError:
            return attempt  # away again; the tick will hear
        attempt.wish = renewal if renewal.wish else None
        return attempt if renewal.answer != "lost" else None

    def _idle(self) -> None:
        """Nothing to do: have a trainer ready, and sleep until the bell."""
        self._standby.prepare()
        self._queue.bell(BELL_S)

    def _has_room(self, card: WorkerCard, burst: bool) -> bool:
        """A run that cannot save its checkpoints, or disturbs others, had better not begin."""
        if burst and self._no_disk:
            fix = "free some space, or set TRAINQ_RUNS to another disk"
            raise TrainqError(f"{self._no_disk}: no run is taken", fix=fix)
        if not card.busy_with:
            return True
        if burst and (self._stuck or self._lookout.offer(training=False).broken):
            raise TrainqError(f"takes no runs: {card.busy_with}")
        return False

    def _look_at_disk(self) -> None:
        """What is too little stands on the card, so that every list says why nothing starts."""
        short = host.free_bytes(self._root.path) < FREE_BYTES
        self._no_disk = f"less than 1 GiB is free in {self._root.path}" if short else ""

    def _pause(self, seconds: float) -> None:
        """A rest that a signal ends soon."""
        until = time.monotonic() + seconds
        while not self.leaving and (left := until - time.monotonic()) > 0:
            time.sleep(min(SLICE_S, left))

    def _waited(self) -> bool:
        """After a short rest: whether there is still something to wait for."""
        self._pause(SLICE_S)
        return not self.leaving

    # ---- one attempt

    def execute_job(self, job: Job | None, queue: RqQueue) -> None:
        """From the claim to the end that Redis has confirmed."""
        attempt = self._attempt
        assert attempt
        run = attempt.run
        again = f", attempt {run.attempt}" if run.attempt > 1 else ""
        log.info("start %s %s (%s)%s", run.id, run.name, run.user, again)
        if run.code and run.code != (ours := code.version()):
            log.info("%s was submitted with trainer %s, here is %s", run.id, run.code, ours)
        self._tick.begin(attempt, job)
        ending = self._ending(attempt)
        attempt.end(ending.model_copy(update={"by": ending.by or self._first_card.lane}))
        while not attempt.settled.wait(SLICE_S):
            pass  # not even a wish to leave ends this: the tick writes the end when Redis is back
        self._attempt, self._done = None, self._done + 1
        self._tell(attempt)
        self._followers.wait(self._waited)

    def _ending(self, attempt: Attempt) -> Ending:
        """Whatever happens in here, the attempt gets an end and the worker goes on."""
        try:
            return self._train(attempt)
        except OSError as error:
            log.error("%s cannot run here: %s", attempt.run.id, error)
            self._pause(FAULT_PAUSE_S)  # else a broken disk would drain the queue
            return outcome.crashed(f"this host could not run it: {error}")
        except Exception as error:
            log.exception("%s is held: unexpected", attempt.run.id)
            return Ending(
                state=State.HELD,
                error=f"the worker could not handle it: {type(error).__name__}: {error}",
            )

    def _train(self, attempt: Attempt) -> Ending:
        parts = self._parts(attempt.run)
        if parts is None:
            return Ending(state=State.QUEUED, cause=Cause.DRAINED)
        memory = self._first_card.memory_mb
        prepared = prepare(attempt.run, attempt.token, self._root, self._settings, parts, memory)
        if prepared.done:
            log.info("%s had finished before its worker died", attempt.run.id)
            return outcome.measured(outcome.finished(prepared.done), prepared.done)
        oom_kills = host.oom_kills()
        trainer = self._standby.start(prepared.order)
        try:
            rundirs.begin(self._root, attempt.run)  # it has its order: no disk keeps it waiting
            watch = Watch(
                trainer,
                attempt,
                prepared.folder.log,
                self._limits,
                leaving=lambda: self.leaving,
                near_end=self._near_end,
            )
            left = watch.run()
            if not trainer.warm and left.code:
                self._pause(FAULT_PAUSE_S)  # a broken installation would fail every run there is
            if left.code and not last_line(prepared.folder.log):
                append(prepared.folder.log, trainer.last_words())
            imported = trainer.warm is not None
            if left.stuck:
                self._keep(trainer, attempt.run.id)
            if not left.code and attempt.run.config.get("track", {}).get("to"):
                self._followers.stay(trainer.mark)
        finally:
            if trainer is not self._stuck:
                trainer.discard()
        return outcome.judge(attempt.run, self._facts(attempt, prepared, left, oom_kills, imported))

    def _keep(self, trainer: Trainer, run_id: str) -> None:
        """Nothing of it may be waited for; it is in the way until it ends after all."""
        self._stuck = trainer
        self._stuck_with = (
            f"the trainer of {run_id} (pid {trainer.pid}) hangs in the kernel; a reboot ends it"
        )

    def _look_after_stuck(self) -> None:
        """A driver that hung may have let it go."""
        if self._stuck and self._stuck.ended():
            self._stuck.discard()
            self._stuck, self._stuck_with = None, ""

    def _parts(self, run: Run) -> tuple[Part, ...] | None:
        """What a gather run sums up, as the records have it now; None when we leave before."""
        if run.kind != "gather":
            return ()
        while not self.leaving:
            try:
                return tuple(map(self._part, run.after))
            except (redis.RedisError, QueueUnreachable):
                self._pause(AGAIN_S)  # the tick says it aloud
        return None

    def _part(self, parent: Parent) -> Part:
        try:
            return part_of(self._queue.get(parent.id))
        except NotFound:
            return Part(run=parent.id)

    def _facts(
        self, attempt: Attempt, prepared: Prepared, left: Exit, oom_kills: int, imported: bool
    ) -> outcome.Facts:
        result, fault = outcome.read_result(read(prepared.folder.result), attempt.token)
        heard = attempt.heard
        return outcome.Facts(
            code=left.code,
            result=result,
            result_fault=fault,
            wish=attempt.wish.wish if attempt.wish else None,
            wish_by=attempt.wish.wish_by if attempt.wish else "",
            wish_reason=attempt.wish.wish_reason if attempt.wish else "",
            leaving=self.leaving,
            stalled=left.stalled,
            killed=left.killed,
            stuck=left.stuck,
            oom_kills=host.oom_kills() - oom_kills,
            imported=imported,
            stepped=heard.beyond(prepared.began_at),
            saved_step=heard.saved.step if heard.saved else attempt.run.checkpoint_step,
            last_line=last_line(prepared.folder.log),
            shared_with=self._lookout.offer(training=True).shared_with,
            progress=heard.progress,
            best=heard.best,
            micro_batch=heard.chosen.micro_batch if heard.chosen else 0,
        )

    def _counts(self, attempt: Attempt, saved: Saved) -> None:
        """A checkpoint of ours is the one that counts; older attempts' are in the way. In a thread
        of its own: neither beats nor renewals may wait for a slow disk.
        """
        if attempt.run.attempt > 1:
            drop = self._root.run(attempt.run.id).drop_superseded
            threading.Thread(target=drop, args=(saved.path,), name="tidy", daemon=True).start()

    def _near_end(self) -> None:
        """The imports of the next trainer may begin, if there will be a next one."""
        if self.leaving or self._done + 1 == self._wanted:
            return
        try:
            self._standby.prepare()
        except OSError as error:  # it must not cost the trainer that works
            log.warning("the next trainer cannot get ready: %s", error)

    def _tell(self, attempt: Attempt) -> None:
        """Say how it went, and rewrite what people find in the run folder."""
        run = attempt.run
        try:
            run = self._queue.get(run.id)
            if attempt.verdict in (Verdict.DONE, Verdict.ALREADY):
                rundirs.refresh(self._root, run, attempt.token)
        except (TrainqError, OSError) as error:
            log.warning("the run folder of %s is not up to date: %s", run.id, error)
        log.info("%s", outcome.told(run, attempt.ending, attempt.verdict))

    # ---- coming and going

    def card(self) -> WorkerCard:
        """How we announce ourselves now."""
        attempt = self._attempt  # the tick asks too, while the main thread may end it
        offer = self._lookout.offer(training=attempt is not None)
        now = {
            "draining": self.leaving,
            "doing": attempt.run.id if attempt else "",
            "code": code.version(),
            "offer_mb": offer.memory_mb,
            "busy_with": offer.busy_with or self._stuck_with or self._no_disk,
            "shared_with": offer.shared_with,
        }
        return self._first_card.model_copy(update=now)

    def _open(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_leave)
        namesake.refuse(self._queue, self._first_card, self._waited)
        sweep.end_orphans()
        for run_id in self._queue.reclaim(self.card()):
            log.info("put back %s: the worker of this lane before us died with it", run_id)
        self._queue.announce(self.card())
        for run_id in rundirs.catch_up(self._root, self._queue.get):
            log.info("the run folder of %s was behind its record", run_id)
        self._book.open()
        self._tick.start()
        if self._updates:
            self._updates.start()
        threading.Thread(
            target=self._notifier.run, args=(self._silence,), name="notices", daemon=True
        ).start()
        log.info("ready, waiting for runs")

    def _asked_to_leave(self, number: int, frame: FrameType | None) -> None:
        """Only a flag: a second signal adds nothing, and logging here could lock up."""
        self.leaving = True

    def _close(self, *, tells: bool) -> None:
        self._standby.dismiss()
        if not self.outdated:  # whoever goes on in our place keeps them
            self._followers.wait(self._waited, few=0)
        if tells:  # nobody may come after it
            self._notifier.flush(FAREWELL_S)
        self._silence.set()
        self._tick.stop()
        with suppress(redis.RedisError):
            self._queue.reclaim(self.card())  # a claim whose reply was lost as we left
            self._queue.depart(self._first_card.lane)
        self._book.close()
        log.info("left after %s", count(self._done, "attempt"))
