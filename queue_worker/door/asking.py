"""The half of the door that people push: submit, cancel, hold, release, edit, and controls.

Only `queue.py` imports this. The keys are documented there.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

from queue_worker.door.asked import Change, Pieces, Submission, told_apart
from queue_worker.door.connection import told
from queue_worker.door.lineage import parents_elsewhere, parents_first
from queue_worker.door.reading import Reading
from queue_worker.door.records import (
    BatchCard,
    ControlKind,
    Receipt,
    batched,
    dump,
    epochs,
    kept_lines,
    one_line,
)
from schemas.errors import IdTaken, NotFound, TrainqError, TransitionRefused, UsageError
from schemas.run import Parent, Run, State

CHUNK = 500  # runs in one call: no script keeps Redis busy for long
SENT_S = 0.001  # in which a call is on its way: the interpreter lets its thread in only every 5 ms


class Asking(Reading):
    """What people may ask to be changed."""

    @told
    def submit(
        self, submissions: Sequence[Submission], batch: BatchCard | None = None
    ) -> list[Receipt]:
        """Queue all of them or, when an id is taken or a parent is not there, none.

        What is too much for one call goes in several; until the last one nothing of it can start.
        """
        if not submissions:
            return []
        if len(submissions) > CHUNK and batch is None:
            raise ValueError(f"more than {CHUNK} runs at once are a batch and need its card")
        if batch and any(submission.batch != batch.id for submission in submissions):
            raise ValueError(f"a run of another batch would not wait for {batch.id} to be whole")
        ordered = parents_first(submissions)
        receipts: dict[str, Receipt] = {}
        for part, answer in self._in_turn(ordered, batch):
            receipts |= {receipt.id: receipt for receipt in _receipts(part, answer)}
        return [receipts[submission.id] for submission in submissions]

    def _in_turn(
        self, ordered: Sequence[Submission], batch: BatchCard | None
    ) -> Iterator[tuple[Sequence[Submission], Any]]:
        """Every part and the answer to it; what comes before and after a call is done while Redis
        works on the next.

        None is sent before its neighbour was accepted: whoever stops here sends no more.
        """
        with ThreadPoolExecutor(1) as sender:
            part: Sequence[Submission] = ()
            waits: Future[Any] | None = None
            for coming in batched(ordered, CHUNK):
                ahead = ordered if coming[0] is ordered[0] else ()
                call = self._submit(coming, batch, ahead, last=coming[-1] is ordered[-1])
                answer = _accepted(waits.result()) if waits else None
                before, part, waits = part, coming, sender.submit(call)
                if len(ordered) > CHUNK:  # there is something to do meanwhile
                    time.sleep(SENT_S)
                if answer:
                    yield before, answer
            if waits:
                yield part, _accepted(waits.result())

    def _submit(
        self,
        part: Sequence[Submission],
        batch: BatchCard | None,
        ahead: Sequence[Submission],
        *,
        last: bool,
    ) -> Callable[[], Any]:
        pieces = Pieces()
        alike, own = told_apart([_submitted(submission) for submission in part])
        runs = [
            {"id": s.id, "nonce": s.nonce, "fields": fields, "config": pieces.of(s.config)}
            for s, fields in zip(part, own, strict=True)
        ]
        return self._scripts.call(
            "submit",
            pieces.texts,
            runs=runs,
            alike=alike,
            batch={"id": batch.id, "max_parallel": batch.max_parallel} if batch else False,
            card_text=batch.model_dump_json() if batch else "",
            open=last,
            ids=[[submission.id, submission.nonce] for submission in ahead],
            parents=parents_elsewhere(ahead),
        )

    @told
    def cancel(self, run_id: str, *, by: str, reason: str = "") -> Run:
        """Pending: cancelled at once; running: asked to save and leave; ended: unchanged."""
        return self._asked("cancel", run_id, by=by, reason=one_line(reason))

    @told
    def hold(self, run_id: str, *, by: str, reason: str = "", for_s: float = 0) -> Run:
        """Keep a pending run from starting; TransitionRefused once it runs or has ended. For the
        time of an edit it ends by itself, unless somebody held the run before."""
        return self._asked("hold", run_id, by=by, reason=one_line(reason), for_s=for_s)

    @told
    def release(self, run_id: str, *, by: str) -> Run:
        """Let a held run go on from its old place."""
        return self._asked("release", run_id, by=by)

    @told
    def edit(
        self,
        run_id: str,
        *,
        by: str,
        priority: int | None = None,
        after: Sequence[Parent] | None = None,
        needs_host: str | None = None,
        time_limit_s: float | None = None,
        config: Mapping[str, Any] | None = None,
        digest: str | None = None,
        overrides: Sequence[str] | None = None,
        name: str | None = None,
        notify: str | None = None,
        memory_mb: int | None = None,
        preflight: Mapping[str, Any] | None = None,
        told: str = "",
    ) -> Run:
        """Change what a pending run is or asks for; what is None stays. `told` is for the log."""
        change = Change.asked(
            priority=priority,
            after=after,
            needs_host=needs_host,
            time_limit_s=time_limit_s,
            config=config,
            digest=digest,
            overrides=overrides,
            name=name,
            notify=notify,
            memory_mb=memory_mb,
            preflight=preflight,
        )
        named = change.model_dump(mode="json", exclude_none=True)
        texts = {n: dump(v) if isinstance(v, list | dict) else str(v) for n, v in named.items()}
        if priority is not None:
            texts["shift"] = ""  # a priority counts from where it was submitted
        return self._asked(
            "edit",
            run_id,
            by=by,
            kind="moved" if set(named) == {"priority"} else "edited",
            text=one_line(told)
            or ", ".join(f"{name} {_shown(value)}" for name, value in named.items()),
            fields=texts,
        )

    @told
    def move(self, run_id: str, *, by: str, to: Literal["first", "last"]) -> Run:
        """Before, or behind, all that are in line now, whoever they belong to."""
        return self._asked("move", run_id, by=by, to=to, other="")

    @told
    def move_before(self, run_id: str, *, by: str, other: str) -> Run:
        """To the place just before another pending run."""
        return self._asked("move", run_id, by=by, to="before", other=other)

    @told
    def set_control(
        self, kind: ControlKind, scope: str, *, by: str, reason: str = "", value: int = 0
    ) -> bool:
        """Hold, drain or cap what the scope names; False when that stands already."""
        text = f"{kind} {scope}" + (f" at {value}" if kind == "cap" else "")
        what, why = f"{kind}:{scope}", one_line(reason)
        return bool(
            self._scripts.run(
                "control",
                what=what,
                by=by,
                reason=why,
                value=value,
                set=True,
                text=f"{text}: {why}" if why else text,
            )
        )

    @told
    def clear_control(self, kind: ControlKind, scope: str, *, by: str) -> bool:
        """Lift it; False when there was none."""
        return bool(
            self._scripts.run(
                "control", what=f"{kind}:{scope}", by=by, set=False, text=f"no {kind} {scope}"
            )
        )

    @told
    def restore(
        self,
        run: Run,
        *,
        by: str,
        metrics: Sequence[Mapping[str, Any]] = (),
        lines: Sequence[str] = (),
    ) -> bool:
        """Write the record of a run that Redis has lost; False when there is one."""
        answer = self._scripts.run(
            "restore",
            id=run.id,
            fields=_stored(run.model_dump(mode="json", exclude={"id", "lease_until"})),
            metrics=epochs(metrics),
            log=kept_lines(lines),
            by=by,
        ).decode()
        if answer not in {"restored", "there"}:
            raise TrainqError(f"the record of run {run.id} cannot be restored: {answer}")
        return bool(answer == "restored")

    @told
    def prune(
        self, ids: Sequence[str], before: float, *, by: str, dry_run: bool = False
    ) -> dict[str, str]:
        """Forget these runs if they ended before then; of each '' or why it stays."""
        answers: dict[str, str] = {}
        for start in range(0, len(ids), CHUNK):
            part = ids[start : start + CHUNK]
            flat = self._scripts.run("prune", ids=part, before=before, dry=dry_run, by=by)
            answers |= {i.decode(): why.decode() for i, why in batched(flat, 2)}
        return answers

    def _asked(self, verb: str, run_id: str, **arguments: Any) -> Run:
        word, *more = self._scripts.run(verb, id=run_id, **arguments)
        if word == b"missing":
            raise NotFound(f"there is no run {run_id}", fix="queue list shows the runs")
        if word == b"refused":
            raise TransitionRefused(
                f"run {run_id} is {more[0].decode()}: {verb} is for a run that waits its turn",
                fix=f"queue show {run_id}",
            )
        if word == b"edited":
            raise TransitionRefused(
                f"run {run_id} is being edited by {more[0].decode()}", fix=f"queue show {run_id}"
            )
        if word == b"begun":
            raise TransitionRefused(
                f"run {run_id} has begun: its checkpoint is of the config that it has",
                fix=f"queue cancel {run_id}, then publisher retry {run_id} key=value",
            )
        if word == b"orphan":
            raise NotFound(f"there is no run {more[0].decode()} to wait for")
        if word == b"ended":
            raise TransitionRefused(
                f"run {more[0].decode()} is not in line, so nothing can go before it",
                fix="queue list -s queued",
            )
        if word == b"circle":
            raise UsageError(f"run {run_id} would wait for itself through {more[0].decode()}")
        if word == b"broken":
            raise TrainqError(f"the record of run {run_id} is broken: {more[0].decode()}")
        return self.get(run_id)


def _accepted(answer: Any) -> Any:
    """What became of a part, or why none of it was queued."""
    word, *more = (text.decode() for text in answer)
    if word == "taken":
        fix = "submit again with a new id"
        raise IdTaken(f"another run has the id {more[0]}; nothing was queued", fix=fix)
    if word == "orphan":
        raise NotFound(
            f"there is no run {more[1]}, which {more[0]} is to wait for; nothing was queued",
            fix="queue list shows the runs",
        )
    return json.loads(more[0])


def _receipts(part: Sequence[Submission], answer: Any) -> list[Receipt]:
    """What became of each."""
    return [
        Receipt(id=submission.id, state=State(state), ahead=ahead, repeated=repeated)
        for submission, (state, ahead, repeated) in zip(part, answer, strict=True)
    ]


def _submitted(submission: Submission) -> dict[str, str]:
    """The fields of a new record as text, but for the config; what is as usual goes unsaid."""
    said = submission.model_dump(
        mode="json", exclude={"id", "nonce", "config"}, exclude_defaults=True
    )
    return _stored({"priority": submission.priority} | said)


def _stored(values: dict[str, Any]) -> dict[str, str]:
    """A record as a hash holds it; what is empty is left out."""
    return {
        name: dump(value) if isinstance(value, dict | list) else str(value)
        for name, value in values.items()
        if value not in (None, "", [], {}) or name == "config"
    }


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{parent['id']}:{parent['on']}" for parent in value) or "none"
    return str(value)
