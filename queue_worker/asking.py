"""The half of the door that people push: submit, cancel, hold, release, edit, and controls.

Only `queue.py` imports this. The keys are documented there.
"""

from collections.abc import Sequence
from typing import Any, Literal

from queue_worker.connection import told
from queue_worker.lineage import parents_elsewhere, parents_first
from queue_worker.reading import Reading
from queue_worker.records import (
    BatchCard,
    Change,
    ControlKind,
    Receipt,
    Submission,
    batched,
    carried,
    dump,
    one_line,
)
from schemas.errors import IdTaken, NotFound, TrainqError, TransitionRefused, UsageError
from schemas.run import Parent, Run, State

CHUNK = 500  # runs in one call: no script keeps Redis busy for long


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
        for start in range(0, len(ordered), CHUNK):
            part = ordered[start : start + CHUNK]
            ahead = ordered if start == 0 else ()
            last = start + CHUNK >= len(ordered)
            for receipt in self._submit(part, batch, ahead, last=last):
                receipts[receipt.id] = receipt
        return [receipts[submission.id] for submission in submissions]

    def _submit(
        self,
        part: Sequence[Submission],
        batch: BatchCard | None,
        ahead: Sequence[Submission],
        *,
        last: bool,
    ) -> list[Receipt]:
        runs = [
            {
                "id": submission.id,
                "nonce": submission.nonce,
                "fields": _submitted(submission),
                "held": bool(submission.held_by),
            }
            for submission in part
        ]
        word, *answer = self._scripts.run(
            "submit",
            runs=runs,
            batch={"id": batch.id, "max_parallel": batch.max_parallel} if batch else False,
            card_text=batch.model_dump_json() if batch else "",
            open=last,
            ids=[[submission.id, submission.nonce] for submission in ahead],
            parents=parents_elsewhere(ahead),
        )
        if word == b"taken":
            run_id = answer[0].decode()
            fix = "submit again with a new id"
            raise IdTaken(f"another run has the id {run_id}; nothing was queued", fix=fix)
        if word == b"orphan":
            run_id, parent = (text.decode() for text in answer)
            raise NotFound(
                f"there is no run {parent}, which {run_id} is to wait for; nothing was queued",
                fix="queue list shows the runs",
            )
        return [
            Receipt(id=s.id, state=State(state.decode()), ahead=ahead, repeated=bool(repeated))
            for s, (state, ahead, repeated) in zip(part, batched(answer, 3), strict=True)
        ]

    @told
    def cancel(self, run_id: str, *, by: str, reason: str = "") -> Run:
        """Pending: cancelled at once; running: asked to save and leave; ended: unchanged."""
        return self._asked("cancel", run_id, by=by, reason=one_line(reason))

    @told
    def hold(self, run_id: str, *, by: str, reason: str = "") -> Run:
        """Keep a pending run from starting; TransitionRefused once it runs or has ended."""
        return self._asked("hold", run_id, by=by, reason=one_line(reason))

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
    ) -> Run:
        """Change what a pending run asks for; what is None stays."""
        change = Change.asked(
            priority=priority, after=after, needs_host=needs_host, time_limit_s=time_limit_s
        )
        named = change.model_dump(mode="json", exclude_none=True)
        texts = {n: dump(v) if isinstance(v, list) else str(v) for n, v in named.items()}
        if priority is not None:
            texts["shift"] = ""  # a priority counts from where it was submitted
        return self._asked(
            "edit",
            run_id,
            by=by,
            kind="moved" if set(named) == {"priority"} else "edited",
            text=", ".join(f"{name} {_shown(value)}" for name, value in named.items()),
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
    def restore(self, run: Run, *, by: str) -> bool:
        """Write the record of a run that Redis has lost; False when there is one."""
        fields = _stored(run.model_dump(mode="json", exclude={"id", "lease_until"}))
        answer = self._scripts.run("restore", id=run.id, fields=fields, by=by).decode()
        if answer not in {"restored", "there"}:
            raise TrainqError(f"the record of run {run.id} cannot be restored: {answer}")
        return bool(answer == "restored")

    def _asked(self, verb: str, run_id: str, **arguments: Any) -> Run:
        word, *more = self._scripts.run(verb, id=run_id, **arguments)
        if word == b"missing":
            raise NotFound(f"there is no run {run_id}", fix="queue list shows the runs")
        if word == b"refused":
            raise TransitionRefused(
                f"run {run_id} is {more[0].decode()}: {verb} is for a run that waits its turn",
                fix=f"queue show {run_id}",
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


def _submitted(submission: Submission) -> dict[str, str]:
    """The fields of a new record as text."""
    return _stored(submission.model_dump(mode="json", exclude={"id", "nonce"}))


def _stored(values: dict[str, Any]) -> dict[str, str]:
    """A record as a hash holds it; what is empty is left out."""
    texts = {
        name: dump(value) if isinstance(value, dict | list) else str(value)
        for name, value in values.items()
        if value not in (None, "", [], {}) or name == "config"
    }
    return {name: carried(text) for name, text in texts.items()}


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " ".join(f"{parent['id']}:{parent['on']}" for parent in value) or "none"
    return str(value)
