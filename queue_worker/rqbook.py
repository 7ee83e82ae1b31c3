"""All that touches RQ: how the team's `rq info` sees our workers and what each executes.

RQ's records are a window. Every write goes through one guard that logs and swallows; nothing here
decides anything of a run. Call it from one thread at a time.
"""

import logging
import pickle
import re
from collections.abc import Callable
from typing import Any, TypeVar

from redis import Redis
from rq import Queue as RqQueue
from rq import worker_registration
from rq.job import Job, JobStatus
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

log = logging.getLogger(__name__)
T = TypeVar("T")

KEPT_S = 6 * 3600  # an ended attempt costs 5 KB, most of it RQ's result stream
LISTED_S = 60  # a worker that says nothing for so long disappears from `rq info`
LEFTOVERS = 100  # jobs looked at in one go before the next turn of the loop


CALL = re.compile(rb"\(V(trainq\.attempt)\nN\(V(\w+)\nI(\d+)\nt\(dt\.")  # as claim.lua writes it


class Sealed:
    """RQ's own pickles for whoever looks (rq-dashboard knows nothing else); we never unpickle."""

    @staticmethod
    def dumps(value: object) -> bytes:
        """What RQ writes of its own; a result of ours is always None."""
        return pickle.dumps(value)

    @staticmethod
    def loads(data: bytes) -> tuple[Any, ...]:
        """The one call that there is, read as text; what comes from Redis chooses no code."""
        found = CALL.fullmatch(data)
        if not found:
            raise ValueError("no claim wrote this call")
        name, run, attempt = found.groups()
        return name.decode(), None, (run.decode(), int(attempt)), {}


def rq_queue(lane: str, connection: "Redis") -> RqQueue:
    """The RQ queue of a lane."""
    return RqQueue(lane, connection=connection, serializer=Sealed)


class Book:
    """What RQ is told about one worker."""

    def __init__(self, worker: BaseWorker) -> None:
        self._worker, self._connection = worker, worker.connection
        self._queue = worker.queues[0]
        self._job: Job | None = None

    def open(self) -> None:
        """Say that we exist; the lane is ours alone and begins empty."""
        self._guard("birth", self._open)

    def _open(self) -> None:
        self._connection.delete(self._queue.key, self._queue.intermediate_queue_key)
        self._worker.register_birth()  # type: ignore[no-untyped-call] # RQ has no types there
        self._worker.set_state(WorkerStatus.IDLE)

    def close(self) -> None:
        """Say that we go."""
        self._guard("death", self._worker.register_death)

    def pop(self) -> Job | None:
        """RQ's own non-blocking dequeue of our lane; poisoned entries are dropped on the way."""
        # nothing of ours is between pop and start now: what lies there is debris of RQ's own pops
        self._guard("debris", lambda: self._connection.delete(self._queue.intermediate_queue_key))
        for _ in range(LEFTOVERS):
            empty, job = self._guard("pop", self._pop) or (True, None)
            if empty or job:
                return job
        return None

    def _pop(self) -> tuple[bool, Job | None]:
        try:
            found = RqQueue.dequeue_any(
                [self._queue], None, connection=self._connection, serializer=Sealed
            )
        except Exception as error:  # whatever a forged hash makes RQ raise
            if not (job_id := getattr(error, "job_id", "")):
                raise
            log.warning("dropped the unreadable RQ job %s: %s", job_id, error)
            return False, None
        return (False, found[0]) if found else (True, None)

    def drop(self, job: Job) -> None:
        """A job that no lease stands behind: somebody's `rq enqueue` or `rq requeue`."""
        log.warning("dropped the RQ job %s: no lease stands behind it", job.id)
        self._guard("drop", lambda: self._drop(job))

    def _drop(self, job: Job) -> None:
        job.set_status(JobStatus.CANCELED)
        self._connection.expire(job.key, KEPT_S)

    def started(self, job: Job) -> None:
        """This attempt is being executed."""
        self._job = job
        self._guard("start", lambda: self._started(job))

    def _started(self, job: Job) -> None:
        job.result_ttl = job.failure_ttl = KEPT_S
        self._worker.prepare_execution(job)
        self._worker.prepare_job_execution(job, remove_from_intermediate_queue=True)

    def beat(self) -> None:
        """We live, and so does our attempt; also puts us back on a server that was wiped."""
        self._guard("beat", self._beat)

    def _beat(self) -> None:
        execution, job = self._worker.execution, self._job
        with self._connection.pipeline() as pipeline:
            self._worker.heartbeat(LISTED_S, pipeline=pipeline)
            worker_registration.register(self._worker, pipeline)
            pipeline.hset(self._worker.key, mapping=self._worker.serialize())
            pipeline.hset(self._worker.key, "state", self._worker.get_state())
            if execution and job:
                ttl = self._worker.get_heartbeat_ttl(job)
                execution.heartbeat(job.started_job_registry, ttl, pipeline=pipeline)
            pipeline.execute()

    def ended(self, failure: str) -> None:
        """The attempt is over; without a text it finished."""
        job, self._job = self._job, None
        if job:
            self._guard("end", lambda: self._ended(job, failure))
        self._guard("idle", lambda: self._worker.set_state(WorkerStatus.IDLE))

    def _ended(self, job: Job, failure: str) -> None:
        job.ended_at = now()
        job.started_at = job.started_at or job.ended_at
        # a longer outage lets RQ's sweep call it failed before we say how it ended
        job.failed_job_registry.remove(job)
        if failure:
            self._worker.handle_job_failure(job, self._queue, exc_string=failure)
        else:
            self._worker.handle_job_success(job, self._queue, job.started_job_registry)
        self._connection.expire(job.key, KEPT_S)

    def _guard(self, what: str, action: Callable[[], T]) -> T | None:
        """The one place that meets RQ's faults."""
        try:
            return action()
        except Exception as error:
            log.debug("RQ's records (%s): %s: %s", what, type(error).__name__, error)
            return None
