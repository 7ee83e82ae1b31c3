"""THE DOOR: the one way to the state of runs. Knows Redis and records; no RQ, no process, no Slack.

Every change is one script in `door/lua/`. All keys, after the prefix (default `trainq:`):

run:<id>        hash    the record: fields of schemas.run.Run as text (config, overrides, progress,
                        best, result, after, preflight as JSON) and nonce, log_next, log_number,
                        claim_root, claim_boot, claim_lease, charged_at, checkpoint_token,
                        ended_token, held_from
lanes leases    set, zset   of version 1: taken over, never written (it sets aside what it cannot
                        read there); ours end in :2
seq:2           string  the last run's number: microseconds; a run keeps it, so also its place
runs ids        zset    all ids by seq; all ids by name, for prefixes
state:<state>   zset    ids: queued by place, ended by ended_at, others by seq
lanes:2         set     names of the lanes that are not empty
lane:<lane>     zset    queued ids by place = seq - priority * a day + shift; lane = <user>|<GiB>|
                        <gpus>|<host wish>|<runs root of the checkpoint>|<batch>
user:<user> name:<name> batch:<batch> digest:<digest> retry_of:<id>   zset   ids by seq
children:<id>   set     runs that wait for this one
users           zset    people, by when they were last charged
usage:<user>    hash    value, at: GPU seconds, halved every half-life since then
batches         zset    batch ids by submission
batchcard:<b>   hash    card, submitted_at, max_parallel, open: 0 while its submit is not complete
controls        hash    <kind>:<scope> -> by, reason, at, value as JSON: holds, drains, caps
bad:<worker> fails:<batch>   list   the last ends that a circuit breaker looks at
leases:2        zset    running ids by the end of their lease
worker:<lane>   hash    card, and the last claim: claim_nonce claim_run claim_token claim_job
edits           zset    runs that are held while somebody edits them, by when that ends
workers roots   zset    worker lanes, and runs roots, by when they were last seen
reap:last reap:hold     string  last reap by anyone; nothing expires before
log:<id>        list    the last lines; log_next in the record is the index after the last one
metrics:<id>    hash    epoch -> row as JSON
events          stream  the audit log and the outbox
history:<id>    list    ids of the run's events
notices:open    zset    end events that nobody settled yet; notices:seq counts them
notice:<event>  hash    state by at wait ambiguous how
notices:turn:<channel>  string  a message was just posted there; expires
quarantine      hash    run id -> reason
bell            list    short; rung when something may have become claimable
broken:<key>            an index of the wrong type, set aside; the index was made again
rq:job:<id>-<n> rq:queue:<rq queue> rq:queues   RQ's own, written by the claim, jobs with a TTL
"""

from collections.abc import Callable
from typing import Literal, Self, cast

import redis

from queue_worker.door import connection as reach
from queue_worker.door import health
from queue_worker.door.asked import Submission
from queue_worker.door.asking import CHUNK, Asking
from queue_worker.door.connection import NOWHERE, Place, told
from queue_worker.door.reading import rq_queue_name
from queue_worker.door.records import (
    LOG_LINES,
    BatchCard,
    BatchView,
    Claim,
    Control,
    ControlKind,
    Ending,
    Receipt,
    Renewal,
    Report,
    Row,
    Share,
    Verdict,
    WorkerCard,
    WorkerView,
    dump,
    epochs,
    kept_lines,
    mistake,
    one_line,
    paired,
    plain,
    rq_time,
    run_of,
)
from schemas.diagnosis import Finding
from schemas.errors import IdTaken, TransitionRefused
from schemas.run import TOKEN_PATTERN, Wish
from schemas.settings import Settings

__all__ = [  # publisher may import this module only
    "CHUNK",
    "BatchCard",
    "BatchView",
    "Claim",
    "Control",
    "ControlKind",
    "Ending",
    "IdTaken",
    "Queue",
    "Receipt",
    "Renewal",
    "Report",
    "Row",
    "Share",
    "Submission",
    "TransitionRefused",
    "Verdict",
    "WorkerCard",
    "WorkerView",
    "rq_queue_name",
]

NoticeStep = Literal["send", "lookup", "busy", "done"]

RQ_TTL_S = 6 * 3600  # of an ended attempt in RQ's view; the run's record stays
FORGET_WORKERS_S = 86400.0
NOTICE_PATIENCE_S = 60.0  # an unfinished sender of a notice is gone after this


class Queue(Asking):
    """What people and workers may do with runs. Every method may be repeated after a lost reply."""

    def __init__(
        self,
        connection: redis.Redis,
        prefix: str,
        *,
        lease_s: float = 15,
        half_life_s: float = 7 * 86400,
        resume_wait_s: float = 600,
        crash_limit: int = 5,
        place: Place = NOWHERE,
    ) -> None:
        super().__init__(connection, prefix, lease_s=lease_s, half_life_s=half_life_s, place=place)
        self._resume_wait_s = resume_wait_s
        self._crash_limit = crash_limit

    @classmethod
    def connect(
        cls,
        settings: Settings,
        *,
        announce: Callable[[str], None] | None = None,
        worker: bool = False,
    ) -> Self:
        """The queue that the settings name; a worker's client never retries by itself."""
        connection, place = reach.connect(settings, worker=worker, announce=announce)
        return cls(
            connection,
            settings.prefix,
            lease_s=settings.lease_s,
            half_life_s=settings.half_life_s,
            resume_wait_s=settings.resume_wait_s,
            crash_limit=settings.crash_limit,
            place=place,
        )

    @told
    def health(self) -> list[Finding]:
        """What a doctor says of the server."""
        return health.judge(health.examine(self._connection, self.place))

    @classmethod
    def glimpse(cls, settings: Settings) -> Self | None:
        """The queue, for who cannot wait: not checked, asked once; None where none was started."""
        found = reach.glimpse(settings)
        return cls(*found, lease_s=settings.lease_s) if found else None

    # ---- workers --------------------------------------------------------------------------------

    def announce(self, card: WorkerCard) -> None:
        """Say that a worker lives; with it its runs root."""
        self._scripts.run("announce", card=plain(card), card_text=card.model_dump_json())

    def depart(self, lane: str) -> None:
        """A worker that leaves in order is no longer listed."""
        self._scripts.run("depart", lane=lane)

    def claim(self, card: WorkerCard, nonce: str) -> Claim | None:
        """The first run that this worker can serve; the same nonce again gets the same claim."""
        if not TOKEN_PATTERN.match(f"1-{nonce}"):
            raise ValueError(f"a claim's nonce comes from schemas.run.new_nonce, not {nonce!r}")
        while granted := self._scripts.run(
            "claim",
            card=plain(card),
            card_text=card.model_dump_json(),
            nonce=nonce,
            lease=self._lease_s,
            resume_wait=self._resume_wait_s,
            rq_queue=rq_queue_name(card.lane),
            rq_now=rq_time(),
            rq_ttl=RQ_TTL_S,
            by=card.lane,
        ):
            raw_id, token, lease, job, flat = granted
            run_id = raw_id.decode()
            try:
                run = run_of(run_id, paired(flat), float(lease))
            except ValueError as error:
                self._set_aside(run_id, error, card.lane)
            else:
                return Claim(run=run, token=token.decode(), rq_job=job.decode() or None)
        return None

    def _set_aside(self, run_id: str, error: ValueError, lane: str) -> None:
        self._scripts.run("quarantine", id=run_id, reason=mistake(error), lane=lane, by=lane)

    def bell(self, timeout_s: float) -> bool:
        """Wait until something may be claimable, at most this long (less than 3 s)."""
        return bool(self._connection.blpop([self._key("bell")], timeout=timeout_s))

    def renew(self, run_id: str, token: str) -> Renewal:
        """Extend the lease, and hear what people wish."""
        word, *more = self._scripts.run("renew", id=run_id, token=token, lease=self._lease_s)
        if word != b"ok":
            return Renewal(answer=word.decode())
        wish, by, reason = (text.decode() for text in more)
        return Renewal(
            answer="ok", wish=Wish(wish) if wish else None, wish_by=by, wish_reason=reason
        )

    def report(self, run_id: str, token: str, report: Report) -> Verdict:
        """Store lines, metrics and progress of the live attempt."""
        fields: dict[str, str] = {"precision": report.precision} if report.precision else {}
        if report.micro_batch:
            fields["micro_batch"] = str(report.micro_batch)
        if report.preflight:
            fields["preflight"] = dump(report.preflight)
        if report.progress:
            fields["progress"] = dump(plain(report.progress))
        if report.best:
            fields["best"] = dump(plain(report.best))
        answer = self._scripts.run(
            "report",
            id=run_id,
            token=token,
            number=report.number,
            fields=fields,
            log=kept_lines(report.log),
            metrics=epochs(report.metrics),
            keep=LOG_LINES,
        )
        return Verdict(answer.decode())

    def checkpoint(self, run_id: str, token: str, path: str, step: int) -> Verdict:
        """Move the pointer that says which checkpoint counts."""
        answer = self._scripts.run("checkpoint", id=run_id, token=token, path=path, step=step)
        return Verdict(answer.decode())

    def end(self, run_id: str, token: str, ending: Ending) -> Verdict:
        """End the attempt, once; a cancel that was acknowledged before wins over finishing."""
        fields: dict[str, str] = {"result": dump(ending.result)} if ending.result else {}
        if ending.best:
            fields["best"] = dump(plain(ending.best))
        if ending.progress:
            fields["progress"] = dump(plain(ending.progress))
        if ending.result_attempt:
            fields["result_attempt"] = ending.result_attempt
        if ending.micro_batch:
            fields["micro_batch"] = str(ending.micro_batch)
        if ending.peak_mb:
            fields["peak_mb"] = str(ending.peak_mb)
        if ending.data_fingerprint:
            fields["data_fingerprint"] = ending.data_fingerprint
        answer = self._scripts.run(
            "end",
            id=run_id,
            token=token,
            state=ending.state,
            cause=ending.cause or "",
            error=one_line(ending.error),
            by=ending.by or "trainq",
            crashed=ending.crashed,
            stalled=ending.stalled,
            began=ending.began,
            fields=fields,
            crash_limit=self._crash_limit,
        )
        return Verdict(answer.decode())

    def reap(self, lane: str = "", boot_id: str = "", host: str = "") -> list[str]:
        """Put back what nobody can end any more; with host and boot, also what a reboot cut off."""
        return self._reaped(lane, host, boot_id, own=False)

    def reclaim(self, card: WorkerCard) -> list[str]:
        """At a worker's start: the attempts of this lane's old process are put back at once."""
        return self._reaped(card.lane, card.host, card.boot_id, own=True)

    def _reaped(self, lane: str, host: str, boot: str, *, own: bool) -> list[str]:
        ids = self._scripts.run(
            "reap",
            lease=self._lease_s,
            crash_limit=self._crash_limit,
            lane=lane,
            host=host,
            boot=boot,
            own=own,
            by=lane or "reaper",
            forget_workers=FORGET_WORKERS_S,
        )
        return [run_id.decode() for run_id in ids]

    # ---- notices --------------------------------------------------------------------------------

    def notice_begin(
        self,
        event_id: str,
        by: str,
        *,
        channel: str = "",
        patience_s: float = NOTICE_PATIENCE_S,
        own_patience_s: float = 0,
    ) -> NoticeStep:
        """Take a notice to send it; `lookup`: it may have been sent, look before sending."""
        answer: bytes = self._scripts.run(
            "notice_begin",
            event=event_id,
            by=by,
            channel=channel,
            patience=patience_s,
            own_patience=own_patience_s,
        )
        return cast(NoticeStep, answer.decode())

    def notice_settle(
        self, event_id: str, how: str, *, channel: str = "", gap_s: float = 0
    ) -> None:
        """Done with, for good: sent:<ts>, file, skipped or dead:<reason>."""
        self._scripts.run(
            "notice_settle", event=event_id, how=one_line(how), channel=channel, gap=gap_s
        )

    def notice_retry(
        self, event_id: str, by: str, after_s: float, *, ambiguous: bool = False
    ) -> None:
        """Pending again, not before a while; `ambiguous`: the reply was lost, so look it up."""
        self._scripts.run("notice_retry", event=event_id, by=by, after=after_s, ambiguous=ambiguous)
