"""The half of the door that changes nothing: lists, logs, events, and how a name finds its run.

Only `queue.py` and `asking.py` import this. The keys are documented in `queue.py`.
"""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

import redis

from queue_worker.door.connection import NOWHERE, Place, told
from queue_worker.door.records import (
    ROW_JSON,
    ROW_TEXT,
    BatchView,
    Control,
    Row,
    Share,
    WorkerView,
    batch_of,
    batched,
    card_of,
    control_of,
    event_of,
    mistake,
    rows_of,
    run_of,
    text_of,
)
from queue_worker.door.scripts import Scripts
from schemas.errors import NotFound, TrainqError
from schemas.events import Event
from schemas.run import ENDED, ID_PATTERN, UNDONE, Run, State

PAGE = 1000  # ids that become rows in one go
TWINS = 20  # of one experiment, that a submit looks at
SHOWN = 6  # candidates in an error
IN_ORDER = (State.RUNNING, State.QUEUED, State.HELD, State.WAITING)

# `list` is also a verb here, so the class cannot use the word as a type
Rows = list[Row]
Events = list[Event]
Workers = list[WorkerView]
Lines = tuple[list[str], int]
Metrics = list[dict[str, Any]]
Reasons = list[tuple[str, str]]
Ids = list[str]
Shares = list[Share]
Controls = list[Control]
Batches = list[BatchView]


def rq_queue_name(lane: str) -> str:
    """The RQ queue of a worker's lane: `rq info` shows it."""
    return re.sub(r"[^A-Za-z0-9_.:-]", "-", lane)


class Reading:
    """What anybody may ask."""

    def __init__(
        self,
        connection: redis.Redis,
        prefix: str,
        *,
        lease_s: float,
        half_life_s: float,
        place: Place = NOWHERE,
    ) -> None:
        self.place = place  # where Redis is, for messages
        self._connection: Any = connection  # redis-py's types are those of both its clients at once
        self._prefix = prefix
        self._lease_s = lease_s
        self._scripts = Scripts(connection, prefix, half_life=half_life_s)

    def _key(self, name: str) -> str:
        return self._prefix + name

    @told
    def now(self) -> float:
        """The one clock."""
        whole, micro = self._connection.time()
        return float(whole + micro / 1e6)

    @told
    def get(self, run_id: str) -> Run:
        """The run with exactly this id."""
        with self._connection.pipeline(transaction=False) as pipe:
            pipe.hgetall(self._key(f"run:{run_id}"))
            pipe.zscore(self._key("leases:2"), run_id)
            fields, lease = pipe.execute(raise_on_error=False)
        if isinstance(fields, redis.ResponseError):
            if "WRONGTYPE" not in str(fields):
                raise fields
            raise TrainqError(f"the record of run {run_id} is no hash", where=str(fields))
        if not fields:
            raise NotFound(f"there is no run {run_id}", fix="queue list shows the runs")
        try:
            return run_of(run_id, fields, lease if isinstance(lease, float) else None)
        except ValueError as error:
            what = f"the record of run {run_id} cannot be read"
            raise TrainqError(what, where=mistake(error)) from error

    @told
    def resolve(self, text: str, *, user: str = "") -> str:
        """The id that a person means: an id, a unique beginning of one, a name, @last, @failed."""
        if text in {"@last", "@failed"}:
            return self._newest(text, user)
        if ID_PATTERN.fullmatch(text) and self._connection.exists(self._key(f"run:{text}")):
            return text
        begun = self._begins(text)
        if len(begun) == 1:
            return begun[0]
        named = _decoded(self._connection.zrange(self._key(f"name:{text}"), 0, -1))
        if len(named) == 1:
            return named[0]
        states = self.states(named)
        live = [run_id for run_id, state in states.items() if state not in ENDED]
        if len(live) == 1:  # the others of this name are history
            return live[0]
        if candidates := named or begun:
            states = self.states(candidates[-SHOWN:])
            shown = ", ".join(f"{run_id} {state}" for run_id, state in states.items())
            what = (
                f"{text!r} fits {len(candidates)} runs" if named else f"{text!r} fits several runs"
            )
            raise NotFound(what, where=shown, fix="give one of these ids")
        raise NotFound(f"there is no run {text!r}", fix="queue list shows the runs")

    def _newest(self, word: str, user: str) -> str:
        index = "state:failed" if word == "@failed" else "runs"
        if user:
            keys = {self._key(index): 1, self._key(f"user:{user}"): 0}
            ids = _decoded(self._connection.zinter(keys))
        else:
            ids = _decoded(self._connection.zrange(self._key(index), -1, -1))
        if not ids:
            whose = f" of {user}" if user else ""
            kind = "failed run" if word == "@failed" else "run"
            raise NotFound(f"there is no {kind}{whose} yet", fix="queue list shows the runs")
        return ids[-1]

    def _begins(self, text: str) -> Ids:
        if not text:
            return []
        low, high = f"[{text}".encode(), f"[{text}".encode() + b"\xff"
        return _decoded(self._connection.zrangebylex(self._key("ids"), low, high, 0, SHOWN))

    @told
    def counts(self, user: str = "") -> dict[State, int]:
        """How many runs are in each state, of all or of one person."""
        numbers = self._scripts.run("counts", states=list(State), user=user)
        return dict(zip(State, numbers, strict=True))

    @told
    def ended_before(self, at: float) -> Ids:
        """Every run that ended before then, the oldest first."""
        found: list[tuple[float, str]] = []
        for state in sorted(ENDED):
            pairs = self._connection.zrangebyscore(
                self._key(f"state:{state}"), "-inf", f"({at:.6f}", withscores=True
            )
            found += [(score, run_id.decode(errors="replace")) for run_id, score in pairs]
        return [run_id for _, run_id in sorted(found)]

    @told
    def states(self, ids: Iterable[str]) -> dict[str, State]:
        """In which state these runs are; ids that name no run are left out."""
        asked = list(dict.fromkeys(ids))
        with self._connection.pipeline(transaction=False) as pipe:
            for run_id in asked:
                pipe.hget(self._key(f"run:{run_id}"), "state")
            found = pipe.execute(raise_on_error=False)
        known = {str(state).encode(): state for state in State}
        pairs = zip(asked, found, strict=True)
        return {i: known[text] for i, text in pairs if isinstance(text, bytes) and text in known}

    def position(self, run_id: str) -> int | None:
        """How many queued runs are before it; None when it is not queued."""
        return self.positions([run_id]).get(run_id)

    @told
    def positions(self, ids: Sequence[str]) -> dict[str, int]:
        """The same of many; those that are not queued are left out."""
        numbers = self._scripts.run("ahead", ids=ids)
        return {run_id: n for run_id, n in zip(ids, numbers, strict=True) if n >= 0}

    @told
    def share(self) -> Shares:
        """One line a person: what they used lately and what they wait for; most used first."""
        now, flat = self.now(), self._scripts.run("share")
        people = [
            Share(
                user=user.decode(),
                used_s=float(used),
                running=int(running),
                pending=int(pending),
                oldest_s=max(0.0, now - float(oldest)) if oldest else 0.0,
            )
            for user, used, running, pending, oldest in batched(flat, 5)
        ]
        return sorted(people, key=lambda each: (-each.used_s, each.user))

    @told
    def controls(self) -> Controls:
        """What is held, drained or capped beyond single runs, by whom and why."""
        found = text_of(self._connection.hgetall(self._key("controls")))
        return [control for what in sorted(found) if (control := control_of(what, found[what]))]

    @told
    def batches(self, *ids: str, limit: int = 100) -> Batches:
        """These batches, or the newest of all."""
        states, tried = list(State), sorted(UNDONE)
        flat = self._scripts.run("batches", ids=ids, limit=limit, states=states, tried=tried)
        return [
            view
            for card, at, opened, *numbers in batched(flat, 3 + len(states) + len(tried))
            if (
                view := batch_of(
                    card,
                    at,
                    opened,
                    dict(zip(states, numbers, strict=False)),
                    dict(zip(tried, numbers[len(states) :], strict=True)),
                )
            )
        ]

    @told
    def same(self, *digests: str) -> dict[str, list[Run]]:
        """The newest runs of each of these experiments, seeds apart, newest first."""
        with self._connection.pipeline(transaction=False) as pipe:
            for digest in digests:
                pipe.zrevrange(self._key(f"digest:{digest}"), 0, TWINS - 1)
            ids = [_decoded(found) for found in pipe.execute()]
        runs = self.runs([run_id for some in ids for run_id in some])
        return {
            digest: [runs[run_id] for run_id in some if run_id in runs]
            for digest, some in zip(digests, ids, strict=True)
            if some
        }

    @told
    def runs(self, ids: Sequence[str]) -> dict[str, Run]:
        """Many runs at once, without their leases; a record that cannot be read is left out."""
        runs: dict[str, Run] = {}
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            with self._connection.pipeline(transaction=False) as pipe:
                for run_id in page:
                    pipe.hgetall(self._key(f"run:{run_id}"))
                hashes = pipe.execute(raise_on_error=False)
            for run_id, fields in zip(page, hashes, strict=True):
                with suppress(ValueError, AttributeError):
                    runs[run_id] = run_of(run_id, fields, None)
        return runs

    @told
    def children(self, run_id: str) -> Ids:
        """The runs that wait, or waited, for this one."""
        return sorted(_decoded(self._connection.smembers(self._key(f"children:{run_id}"))))

    @told
    def events(self, *, run_id: str = "", after: str = "0", limit: int = 1000) -> Events:
        """The audit log, oldest first, after an event's id; of one run or of all."""
        if not run_id:
            return _told_by(self._connection.xrange(self._key("events"), f"({after}", "+", limit))
        ids = _decoded(self._connection.lrange(self._key(f"history:{run_id}"), 0, -1))
        return self._entries([i for i in ids if stream_order(i) > stream_order(after)][:limit])

    def _entries(self, event_ids: Sequence[str]) -> Events:
        with self._connection.pipeline(transaction=False) as pipe:
            for event_id in event_ids:
                pipe.xrange(self._key("events"), event_id, event_id)
            return [event for entries in pipe.execute() for event in _told_by(entries)]

    @told
    def log(self, run_id: str, after: int = 0) -> Lines:
        """The lines after an absolute index, and the next index; old lines are trimmed away."""
        last, *lines = self._scripts.run("log", id=run_id, after=after)
        return _decoded(lines), int(last)

    @told
    def metrics(self, run_id: str) -> Metrics:
        """One row per epoch."""
        rows = self._connection.hvals(self._key(f"metrics:{run_id}"))
        return sorted((json.loads(row) for row in rows), key=lambda row: float(row["epoch"]))

    @told
    def workers(self) -> Workers:
        """Every worker seen lately, by lane; alive while it was seen within a lease."""
        seen = self._connection.zrange(self._key("workers"), 0, -1, withscores=True)
        with self._connection.pipeline(transaction=False) as pipe:
            for lane, _ in seen:
                pipe.hget(self._key("worker:") + lane.decode(), "card")
            cards = pipe.execute(raise_on_error=False)
        now, running = self.now(), self._running()
        views: Workers = []
        for (_, at), text in zip(seen, cards, strict=True):
            if card := card_of(text):
                run, alive = running.get(card.lane, ""), now - at < self._lease_s
                views.append(WorkerView(card=card, seen_at=at, run=run, alive=alive))
        return sorted(views, key=lambda view: view.card.lane)

    def _running(self) -> dict[str, str]:
        """Worker lane -> the run it holds, as the records say."""
        ids = _decoded(self._connection.zrange(self._key("leases:2"), 0, -1))
        with self._connection.pipeline(transaction=False) as pipe:
            for run_id in ids:
                pipe.hget(self._key(f"run:{run_id}"), "worker")
            lanes = pipe.execute(raise_on_error=False)
        pairs = zip(lanes, ids, strict=True)
        return {lane.decode(): run_id for lane, run_id in pairs if isinstance(lane, bytes)}

    @told
    def quarantined(self) -> Reasons:
        """Runs whose record could not be trusted, and why."""
        return sorted(text_of(self._connection.hgetall(self._key("quarantine"))).items())

    @told
    def notices_open(self, limit: int = 100) -> Events:
        """The ends that nobody has been told of yet, oldest first."""
        return self._entries(
            _decoded(self._connection.zrange(self._key("notices:open"), 0, limit - 1))
        )

    @told
    def list(
        self,
        *,
        states: Collection[State] | None = None,
        user: str = "",
        batch: str = "",
        limit: int = 0,
        newest_ended_first: bool = True,
    ) -> Rows:
        """Runs in the order of scheduling: running, queued as they will be claimed, held, waiting,
        ended. `limit` is of all together; 0: no limit."""
        wanted = set(State) if states is None else set(states)
        rows = self._rows(self._ids(wanted, user, batch, limit, newest_ended_first))
        # a run may have moved on between the two reads; sorting is stable
        return sorted((row for row in rows if row.state in wanted), key=_section)

    @told
    def rows(self, ids: Iterable[str]) -> Rows:
        """The rows of exactly these runs, in this order; what has no record is left out."""
        return self._rows([*ids])

    @told
    def retried(self, ids: Iterable[str]) -> dict[str, Row]:
        """What came of those of these runs that were tried again: the last retry of each."""
        flat = _decoded(self._scripts.run("retries", ids=[*ids]))
        last = dict(zip(flat[::2], flat[1::2], strict=True))
        rows = {row.id: row for row in self._rows([*dict.fromkeys(last.values())])}
        return {run_id: rows[last[run_id]] for run_id in last if last[run_id] in rows}

    @told
    def sizes(self, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
        """The model and the epochs of runs: what decides how long they take."""
        found = json.loads(self._scripts.run("sizes", ids=[*ids]))
        return {run_id: (str(model), int(epochs)) for run_id, (model, epochs) in found.items()}

    def _rows(self, ids: Ids) -> Rows:
        rows: Rows = []
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            rows += rows_of(self._scripts.run("rows", ids=page, text=ROW_TEXT, json=ROW_JSON))
        return rows

    def _ids(self, wanted: set[State], user: str, batch: str, limit: int, newest: bool) -> Ids:
        states = [state for state in (*IN_ORDER, *sorted(ENDED)) if state in wanted]
        filters = [f"user:{user}"] if user else []
        filters += [f"batch:{batch}"] if batch else []
        return _decoded(
            self._scripts.run("ids", states=states, filters=filters, limit=limit, newest=newest)
        )


def stream_order(event_id: str) -> tuple[int, int]:
    """Stream ids in their order, which is not that of their text."""
    moment, _, number = event_id.partition("-")
    return int(moment), int(number or 0)


def _section(row: Row) -> int:
    return IN_ORDER.index(row.state) if row.state in IN_ORDER else len(IN_ORDER)


def _told_by(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> Events:
    return [event for entry in entries if (event := event_of(entry))]


def _decoded(names: Iterable[bytes]) -> Ids:
    return [name.decode(errors="replace") for name in names]
