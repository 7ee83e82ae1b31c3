"""Reading: lists, logs, events, and how a word finds a run."""

import json

import pytest
import redis
from support.runs import a_run, a_worker, claim, submit

from queue_worker.queue import Ending, Queue, Report
from schemas.errors import NotFound
from schemas.events import EventKind
from schemas.run import Cause, State


def end(queue: Queue, state: State) -> str:
    """Claim the first run and end it."""
    claimed = claim(queue)
    cause = Cause.CODE if state is State.FAILED else None
    queue.end(claimed.run.id, claimed.token, Ending(state=state, cause=cause))
    return claimed.run.id


def in_every_state(queue: Queue) -> list[str]:
    """Runs in each state, in the order of scheduling."""
    queue.submit([a_run() for _ in range(3)])
    older, newer = end(queue, State.FINISHED), end(queue, State.FAILED)
    running = claim(queue).run.id
    second, first = submit(queue), submit(queue, priority=3)
    held = submit(queue, held_by="ana")
    return [running, first, second, held, newer, older]


def test_a_list_is_in_the_order_of_scheduling(queue: Queue) -> None:
    expected = in_every_state(queue)
    assert [row.id for row in queue.list()] == expected
    assert [row.id for row in queue.list(limit=2)] == expected[:2]
    oldest_first = queue.list(newest_ended_first=False)
    assert [row.id for row in oldest_first][-2:] == [expected[-1], expected[-2]]


def test_a_short_list_of_ended_runs_has_the_newest(queue: Queue) -> None:
    queue.submit([a_run() for _ in range(3)])
    ended = [end(queue, state) for state in (State.FINISHED, State.FAILED, State.FINISHED)]
    assert [row.id for row in queue.list(limit=2)] == [ended[2], ended[1]]
    finished = queue.list(states={State.FINISHED}, limit=1)
    assert [row.id for row in finished] == [ended[2]]


def test_runs_that_ended_at_the_same_instant_are_listed_both_ways(
    queue: Queue, connection: redis.Redis
) -> None:
    ids = sorted(submit(queue) for _ in range(4))
    for run_id in ids:
        queue.cancel(run_id, by="ana")
    connection.zadd("trainq:state:cancelled", dict.fromkeys(ids, 5))
    for newest in (True, False):
        assert [row.id for row in queue.list(newest_ended_first=newest)] == ids


def test_a_list_can_be_narrowed_to_states_user_and_batch(queue: Queue) -> None:
    in_every_state(queue)
    mine = submit(queue, user="bo", batch="sweep", priority=9)
    other = submit(queue, user="bo", priority=8)
    assert [row.id for row in queue.list(user="bo")] == [mine, other]
    assert [row.id for row in queue.list(user="bo", batch="sweep")] == [mine]
    assert [row.id for row in queue.list(user="bo", limit=1)] == [mine]
    assert {row.state for row in queue.list(states={State.HELD, State.FAILED})} == {
        State.HELD,
        State.FAILED,
    }
    assert queue.list(user="nobody") == []


def test_a_row_says_what_the_run_says(queue: Queue) -> None:
    in_every_state(queue)
    for row in queue.list():
        run = queue.get(row.id)
        for name in type(row).model_fields:
            assert getattr(row, name) == getattr(run, name), name


def test_what_was_tried_again_leads_to_the_last_of_its_retries(
    queue: Queue, connection: redis.Redis
) -> None:
    submit(queue)
    first = end(queue, State.FAILED)
    submit(queue, retry_of=first, batch="sweep")
    second = end(queue, State.FAILED)
    third, alone = submit(queue, retry_of=second), submit(queue)
    found = queue.retried([first, second, third, alone, "zzzzzz"])
    assert {run_id: row.id for run_id, row in found.items()} == {first: third, second: third}
    connection.set(f"trainq:retry_of:{second}", "garbage")
    assert queue.retried([first])[first].id == second  # as far as it can be followed
    connection.delete(f"trainq:retry_of:{second}")
    connection.zadd(f"trainq:retry_of:{second}", {first: 1})  # a circle has no last one
    assert queue.retried([first]).keys() <= {first}


def test_counts_are_those_of_the_list(queue: Queue) -> None:
    in_every_state(queue)
    rows = queue.list()
    assert queue.counts() == {s: sum(row.state is s for row in rows) for s in State}


def test_a_log_index_survives_trimming(queue: Queue) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    for number in range(1, 5):
        lines = tuple(f"{number}.{line}" for line in range(700))
        queue.report(run_id, token, Report(number=number, log=lines))
    kept, last = queue.log(run_id)
    assert (len(kept), last) == (2000, 2800)
    assert kept[-1] == "4.699"
    assert queue.log(run_id, 2798) == (["4.698", "4.699"], 2800)
    assert queue.log(run_id, 2800) == ([], 2800)
    assert queue.log(run_id, 9999) == ([], 2800)
    assert queue.log(run_id, 5)[0] == kept


def test_a_line_without_end_is_cut(queue: Queue) -> None:
    run_id = submit(queue)
    queue.report(run_id, claim(queue).token, Report(log=("x" * 10_000,)))
    assert len(queue.log(run_id)[0][0]) == 2000


def test_metrics_have_one_row_per_epoch_and_a_resumed_attempt_overwrites(queue: Queue) -> None:
    run_id = submit(queue)
    first = ({"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.8}, {"epoch": 10, "loss": 0.1})
    queue.report(run_id, claim(queue).token, Report(metrics=first))
    queue.reclaim(a_worker())
    queue.report(run_id, claim(queue).token, Report(metrics=({"epoch": 2, "loss": 0.7},)))
    assert [(row["epoch"], row["loss"]) for row in queue.metrics(run_id)] == [
        (1, 1.0),
        (2, 0.7),
        (10, 0.1),
    ]


def test_events_are_told_once_and_in_order(queue: Queue) -> None:
    first, second = submit(queue), submit(queue)
    finished = end(queue, State.FINISHED)
    assert finished == first
    told = queue.events(run_id=first)
    assert [event.kind for event in told] == [
        EventKind.SUBMITTED,
        EventKind.CLAIMED,
        EventKind.FINISHED,
    ]
    assert queue.events(after=told[0].id, limit=1)[0].run == second
    assert queue.events(run_id=first, after=told[1].id) == told[2:]
    assert queue.events(after=told[-1].id) == []


def test_garbage_in_the_stream_is_passed_over(queue: Queue, connection: redis.Redis) -> None:
    connection.xadd("trainq:events", {"kind": "nonsense", b"\xff": b"\xff"})
    run_id = submit(queue)
    assert [event.run for event in queue.events()] == [run_id]


# ---- names --------------------------------------------------------------------------------------


def test_a_run_is_found_by_id_beginning_name_and_last(queue: Queue) -> None:
    submit(queue, id="aaa111", name="first")
    submit(queue, id="aab222", name="second", user="bo")
    assert queue.resolve("aaa111") == "aaa111"
    assert queue.resolve("aab") == "aab222"
    assert queue.resolve("second") == "aab222"
    assert queue.resolve("@last") == "aab222"
    assert queue.resolve("@last", user="ana") == "aaa111"


def test_failed_means_the_one_that_failed_last(queue: Queue) -> None:
    queue.submit([a_run(), a_run()])
    end(queue, State.FAILED)
    newest = end(queue, State.FAILED)
    assert queue.resolve("@failed") == newest
    assert queue.resolve("@failed", user="ana") == newest


def test_a_word_that_fits_several_runs_names_them(queue: Queue) -> None:
    submit(queue, id="aaa111", name="same")
    submit(queue, id="aab222", name="same")
    with pytest.raises(NotFound, match="several") as several:
        queue.resolve("aa")
    assert "aaa111 queued, aab222 queued" in "\n".join(several.value.lines())
    with pytest.raises(NotFound, match="2 runs"):
        queue.resolve("same")


def test_of_several_with_one_name_the_only_one_that_has_not_ended_is_meant(queue: Queue) -> None:
    old = [submit(queue, name="birds") for _ in range(2)]
    for _ in old:
        end(queue, State.FAILED)
    with pytest.raises(NotFound, match="2 runs"):
        queue.resolve("birds")
    live = submit(queue, name="birds")
    assert queue.resolve("birds") == live
    submit(queue, name="birds")
    with pytest.raises(NotFound, match="4 runs"):
        queue.resolve("birds")


@pytest.mark.parametrize("word", ["", "zzz", "@last", "@failed", "@lost", "*", "aaa1111", "\xff"])
def test_a_word_that_fits_nothing_is_not_found(queue: Queue, word: str) -> None:
    with pytest.raises(NotFound) as error:
        queue.resolve(word)
    assert error.value.exit_code == 3


def test_get_of_a_missing_run_is_not_found(queue: Queue) -> None:
    with pytest.raises(NotFound, match="zzzzzz"):
        queue.get("zzzzzz")


def test_the_card_of_a_newer_worker_that_says_more_is_read(
    queue: Queue, connection: redis.Redis
) -> None:
    queue.announce(a_worker("v100:0"))
    text = json.loads(connection.hget("trainq:worker:v100:0", "card") or "")
    connection.hset("trainq:worker:v100:0", "card", json.dumps({**text, "mood": "sunny"}))
    assert [view.card.lane for view in queue.workers()] == ["v100:0"]
    for rubbish in ("[1]", "sunny", '"card"', "7", "{}"):
        connection.hset("trainq:worker:v100:0", "card", rubbish)
        assert queue.workers() == []


def test_places_of_many_are_what_each_is_alone(queue: Queue) -> None:
    ids = [submit(queue, user=user, priority=priority) for user in "ab" for priority in (0, 1)]
    held = submit(queue, held_by="ana")
    places = queue.positions([*ids, held, "zzzzzz"])
    assert places == {run_id: queue.position(run_id) for run_id in ids}
    assert sorted(places.values()) == [0, 1, 2, 3]
    assert queue.position(held) is None and queue.positions([]) == {}


def test_runs_of_one_person_are_counted_apart(queue: Queue) -> None:
    for user in ("ana", "ana", "bo"):
        submit(queue, user=user)
    submit(queue, user="ana", held_by="bo")
    counts = queue.counts("ana")
    assert (counts[State.QUEUED], counts[State.HELD]) == (2, 1)
    assert queue.counts()[State.QUEUED] == 3 and not any(queue.counts("zoe").values())


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '"model train"',
        "{}",
        '{"model": {"name": "vit"}}',
        '{"train": {"epochs": 3}}',
        '{"model": "vit", "train": {"epochs": 3}}',
        '{"model": {"name": "vit"}, "train": 3}',
        '{"model": {"name": 5}, "train": {"epochs": 3}}',
        '{"model": {"name": "vit"}, "train": {"epochs": "3"}}',
    ],
)
def test_the_size_of_a_run_is_left_out_where_its_config_does_not_say_it(
    queue: Queue, connection: redis.Redis, config: str
) -> None:
    known = submit(queue, config={"model": {"name": "resnet18"}, "train": {"epochs": 20}})
    other, broken = submit(queue), submit(queue)
    connection.hset(f"trainq:run:{other}", "config", config)
    connection.delete(f"trainq:run:{broken}")
    connection.set(f"trainq:run:{broken}", "no record")
    assert queue.sizes([other, known, broken, "000000"]) == {known: ("resnet18", 20)}
    assert queue.sizes([other]) == {}
