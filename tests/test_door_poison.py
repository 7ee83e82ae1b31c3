"""Whatever stands in Redis under our names, claiming and reaping go on with the next run."""

from collections.abc import Callable, Iterator

import pytest
import redis
from support.runs import a_run, a_worker, claim, submit

from queue_worker.queue import Ending, Queue, Report, Verdict
from schemas.errors import QueueRefuses, TrainqError
from schemas.events import EventKind
from schemas.run import SCHEMA, State, new_nonce

PREFIX = "trainq:"
Poison = Callable[[redis.Redis, str], object]


def field(name: str, value: str | bytes) -> Poison:
    return lambda connection, key: connection.hset(key, name, value)


def replaced_by(make: Callable[[redis.Redis, str], object]) -> Poison:
    def poison(connection: redis.Redis, key: str) -> None:
        connection.delete(key)
        make(connection, key)

    return poison


POISONS: dict[str, Poison] = {
    "a string": replaced_by(lambda c, key: c.set(key, "garbage")),
    "a list": replaced_by(lambda c, key: c.rpush(key, "garbage")),
    "an empty hash": replaced_by(lambda c, key: c.hset(key, "x", "y")),
    "deleted": lambda c, key: c.delete(key),
    "no state": lambda c, key: c.hdel(key, "state"),
    "state": field("state", "sleeping"),
    "seq": field("seq", "first"),
    "seq nan": field("seq", "nan"),
    "priority": field("priority", "1e300"),
    "priority too high": field("priority", "1001"),
    "attempt": field("attempt", "1.5"),
    "attempt inf": field("attempt", "inf"),
    "crashes": field("crashes", ""),
    "stalls": field("stalls", "[]"),
}
# only reading the whole record shows these: the worker that claims finds out
UNREADABLE: dict[str, Poison] = {
    "no name": lambda c, key: c.hdel(key, "name"),
    "config text": field("config", "{not json"),
    "config list": field("config", "[1, 2]"),
    "config deep": field("config", "[" * 100_000),
    "config bytes": field("config", b"\xff\xfe"),
    "submitted_at": field("submitted_at", "yesterday"),
    "overrides": field("overrides", '"text"'),
    "cause": field("cause", "weather"),
}


def named(poisons: dict[str, Poison]) -> list[object]:
    return [pytest.param(poison, id=name) for name, poison in poisons.items()]


@pytest.fixture
def queue(connection: redis.Redis) -> Queue:
    queue = Queue(connection, PREFIX)
    queue.reap()
    connection.delete(f"{PREFIX}reap:hold")
    return queue


@pytest.mark.parametrize("poison", named({**POISONS, **UNREADABLE}))
def test_a_poisoned_run_is_set_aside_and_the_next_one_claimed(
    queue: Queue, connection: redis.Redis, poison: Poison
) -> None:
    bad, good = submit(queue), submit(queue)
    poison(connection, f"{PREFIX}run:{bad}")
    assert claim(queue).run.id == good
    [(run_id, reason)] = queue.quarantined()
    assert run_id == bad and reason
    assert queue.events()[-2].kind in {EventKind.QUARANTINED, EventKind.CLAIMED}
    assert EventKind.QUARANTINED in [event.kind for event in queue.events()]
    assert [row.id for row in queue.list()] == [good]
    assert queue.claim(a_worker("v100:1"), new_nonce()) is None


@pytest.mark.parametrize("poison", named(POISONS))
def test_a_poisoned_running_run_does_not_stop_the_reaper(
    queue: Queue, connection: redis.Redis, poison: Poison
) -> None:
    bad, good = submit(queue), submit(queue)
    token = claim(queue, "v100:0").token
    claim(queue, "v100:1")
    poison(connection, f"{PREFIX}run:{bad}")
    connection.zadd(f"{PREFIX}leases:2", {bad: 1, good: 2})
    assert queue.reap() == [good]
    assert [run_id for run_id, _ in queue.quarantined()] == [bad]
    assert queue.renew(bad, token).answer in {"unknown", "lost"}
    assert queue.end(bad, token, Ending(state=State.FINISHED)) is Verdict.LOST


def test_a_poisoned_run_can_be_shown_as_such_but_not_changed(
    queue: Queue, connection: redis.Redis
) -> None:
    bad = submit(queue)
    connection.hset(f"{PREFIX}run:{bad}", "priority", "urgent")
    for verb in (queue.cancel, queue.hold, queue.release):
        with pytest.raises(TrainqError, match="is broken: priority"):
            verb(bad, by="ana")
    with pytest.raises(TrainqError, match="cannot be read"):
        queue.get(bad)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("after", '"7f3k2q"', "after is not a list of runs"),
        ("after", "[1]", "after is not a list of runs"),
        ("shift", "soon", "shift is not a number"),
        ("priority", "1001", "priority is not between -1000 and 1000"),
        ("state", "sleeping", "no such state: sleeping"),
    ],
)
def test_the_reason_of_a_quarantine_says_which_field_is_wrong_and_how(
    queue: Queue, connection: redis.Redis, name: str, value: str, reason: str
) -> None:
    bad = submit(queue)
    field(name, value)(connection, f"{PREFIX}run:{bad}")
    assert queue.claim(a_worker(), new_nonce()) is None
    assert queue.quarantined() == [(bad, reason)]


def test_a_run_in_quarantine_can_be_cancelled_once_it_is_readable(
    queue: Queue, connection: redis.Redis
) -> None:
    bad = submit(queue)
    connection.hset(f"{PREFIX}run:{bad}", "config", "{")
    assert queue.claim(a_worker(), new_nonce()) is None
    connection.hset(f"{PREFIX}run:{bad}", "config", "{}")
    assert queue.cancel(bad, by="ana").state is State.CANCELLED
    assert queue.quarantined() == []


def test_a_record_of_another_version_is_left_alone_and_skipped(
    queue: Queue, connection: redis.Redis
) -> None:
    newer, ours = submit(queue), submit(queue)
    connection.hset(f"{PREFIX}run:{newer}", "schema_number", str(SCHEMA + 1))
    assert claim(queue).run.id == ours
    assert queue.claim(a_worker("v100:1"), new_nonce()) is None
    assert queue.get(newer).state is State.QUEUED and queue.position(newer) == 0
    assert queue.quarantined() == []


def test_debris_in_a_lane_is_swept_on_the_way(queue: Queue, connection: redis.Redis) -> None:
    done, good = submit(queue), submit(queue)
    queue.cancel(done, by="ana")
    connection.zadd(f"{PREFIX}lane:ana|0|1|||", {done: 0, "nobody": 1})
    assert claim(queue).run.id == good
    assert queue.get(done).state is State.CANCELLED
    assert [run_id for run_id, _ in queue.quarantined()] == ["nobody"]
    assert not connection.exists(f"{PREFIX}lane:ana|0|1|||")


INDEXES = [
    *("runs", "ids", "lanes:2", "leases:2", "workers", "roots", "notices:open", "quarantine"),
    *(
        "events",
        "bell",
        "seq:2",
        "lanes",
        "leases",
        "notices:seq",
        "reap:last",
        "reap:hold",
        "user:ana",
        "worker:v100:0",
    ),
    *("lane:ana|0|1|||", "state:queued", "state:running", "state:finished", "state:cancelled"),
]


@pytest.mark.parametrize("name", INDEXES)
def test_a_key_of_the_wrong_type_stops_nobody(
    queue: Queue, connection: redis.Redis, name: str
) -> None:
    waiting, running = submit(queue), submit(queue, priority=9)
    token = claim(queue, "v100:1").token
    connection.delete(PREFIX + name)
    connection.hset(PREFIX + name, "x", "y")
    if name in {"quarantine", "worker:v100:0"}:
        connection.delete(PREFIX + name)
        connection.set(PREFIX + name, "garbage")

    assert queue.renew(running, token).answer == "ok"
    assert queue.reap() == []
    assert queue.report(running, token, Report(log=("line",))) is Verdict.DONE
    assert queue.checkpoint(running, token, "attempts/a", 1) is Verdict.DONE
    assert queue.end(running, token, Ending(state=State.FINISHED)) is Verdict.DONE
    held = submit(queue, held_by="ana")
    assert claim(queue).run.id == waiting
    assert queue.cancel(held, by="ana").state is State.CANCELLED
    assert {row.id for row in queue.list()} == {waiting, running, held}


@pytest.mark.parametrize("name", ["seq", "notices:seq", "reap:last", "reap:hold"])
def test_a_number_that_is_none_stops_nobody(
    queue: Queue, connection: redis.Redis, name: str
) -> None:
    first = submit(queue)
    connection.set(PREFIX + name, "garbage")
    second = submit(queue)
    assert queue.reap() == []
    token = claim(queue).token
    assert queue.end(first, token, Ending(state=State.FINISHED)) is Verdict.DONE
    assert [event.run for event in queue.notices_open()] == [first]
    assert claim(queue).run.id == second


@pytest.mark.parametrize("name", ["history", "log", "metrics"])
def test_what_belongs_to_one_run_may_be_of_the_wrong_type(
    queue: Queue, connection: redis.Redis, name: str
) -> None:
    run_id = submit(queue)
    connection.delete(f"{PREFIX}{name}:{run_id}")
    connection.set(f"{PREFIX}{name}:{run_id}", "garbage")
    token = claim(queue).token
    report = Report(log=("line",), metrics=({"epoch": 1},))
    assert queue.report(run_id, token, report) is Verdict.DONE
    assert queue.log(run_id) == (["line"], 1) and queue.metrics(run_id) == [{"epoch": 1}]
    assert queue.end(run_id, token, Ending(state=State.FINISHED)) is Verdict.DONE
    assert queue.events(run_id=run_id)[-1].kind is EventKind.FINISHED


def test_an_index_that_had_to_be_set_aside_is_made_again(
    queue: Queue, connection: redis.Redis
) -> None:
    first, second = submit(queue, user="bo"), submit(queue)
    for name in ("lanes:2", "lane:ana|0|1|||", "state:queued", "user:bo", "ids"):
        connection.delete(PREFIX + name)
        connection.set(PREFIX + name, "garbage")
    queue.reap()
    assert [row.id for row in queue.list()] == [first, second]
    assert claim(queue).run.id == first
    assert claim(queue).run.id == second
    assert connection.get(f"{PREFIX}broken:state:queued") == b"garbage"


@pytest.fixture
def full(queue: Queue, connection: redis.Redis) -> Iterator[redis.Redis]:
    """A server that has reached its memory limit, once the test says so."""
    yield connection
    connection.config_set("maxmemory", "0")


def test_a_full_server_refuses_a_submit_whole_and_still_shows_everything(
    queue: Queue, full: redis.Redis
) -> None:
    run_id = submit(queue)
    full.config_set("maxmemory", "1")
    with pytest.raises(QueueRefuses, match="its memory is full") as refused:
        queue.submit([a_run(), a_run()])
    assert "maxmemory" in refused.value.fix
    assert (
        [row.id for row in queue.list()] == [row.id for row in queue.list(user="ana")] == [run_id]
    )
    assert queue.get(run_id).state is State.QUEUED
    assert queue.counts()[State.QUEUED] == 1 and len(queue.events()) == 1


def test_on_a_full_server_an_attempt_can_end(queue: Queue, full: redis.Redis) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    full.config_set("maxmemory", "1")
    assert queue.end(run_id, token, Ending(state=State.FINISHED)) is Verdict.DONE
    assert queue.get(run_id).state is State.FINISHED
    assert len(queue.notices_open()) == 1
