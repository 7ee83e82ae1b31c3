"""Every end is told once, in order, whatever Slack does: a real server, real threads."""

import json
import logging
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
import redis
from support.notices import bot, cancelled, notifier, titles, webhook
from support.runs import a_worker, claim, submit
from support.servers import TestServer
from support.slack_server import (
    GARBAGE,
    HANG,
    LOSE_REPLY,
    RESET,
    TOKEN,
    Fault,
    SlackServer,
    broken,
    rate_limited,
)
from support.waiting import PATIENCE_S, wait_until

from queue_worker.notices.notifier import Pace, poster_of
from queue_worker.notices.poster import File, Later
from queue_worker.queue import Ending, Queue, Report
from schemas.run import Best, Cause, Parent, State, new_nonce
from schemas.rundir import RunsRoot
from schemas.settings import Settings


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """One kind of server is enough here: the door's own tests run its scripts on both."""
    server = TestServer(tmp_path_factory.mktemp("srv")).start()
    yield server
    server.kill()


def how(connection: redis.Redis) -> list[str]:
    """How each notice was settled."""
    names = sorted(connection.scan_iter("trainq:notice:*"))  # type: ignore[type-var]
    return [(connection.hget(name, "how") or b"").decode() for name in names]  # type: ignore


def test_every_end_is_told_once_and_in_order(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    good, bad, left = (submit(queue, name=name) for name in ("good", "bad", "left"))
    best = Best(metric="accuracy", value=0.9, epoch=3)
    queue.end(good, claim(queue).token, Ending(state=State.FINISHED, best=best))
    attempt = claim(queue)
    queue.end(bad, attempt.token, Ending(state=State.FAILED, cause=Cause.DATA, error="no x.jpg"))
    queue.cancel(left, by="bo", reason="wrong split")
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    assert [text.split(" after")[0].split(" in ")[0] for text in slack.texts()] == [
        "✅ good finished",
        "❌ bad failed",
        "⏹ left cancelled by bo",
    ]
    assert "no x.jpg" in str(slack.messages[1]["blocks"])


def test_runs_that_waited_in_vain_send_nothing_but_a_line_in_the_notice_of_their_parent(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    parent, other = submit(queue, name="parent"), submit(queue, name="other")
    waiting = [submit(queue, after=(Parent(id=parent),)) for _ in range(3)]
    submit(queue, after=(Parent(id=waiting[0]), Parent(id=other)))
    submit(queue, after=(Parent(id=other),))
    queue.cancel(parent, by="bo")
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    (told,) = slack.messages
    assert "4 runs that waited for it never start" in str(told["blocks"])


def test_a_paused_worker_is_told_to_the_team_and_a_held_batch_to_its_owner(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    for batch in ("b1", "b2", "b2"):
        submit(queue, batch=batch, notify="@me")
    fault = Ending(state=State.QUEUED, cause=Cause.GPU_FAULT, crashed=True)
    for _ in range(3):  # the same first run again and again: another batch is needed
        queue.end((taken := claim(queue)).run.id, taken.token, fault)
        queue.hold(taken.run.id, by="bo")
    assert queue.claim(a_worker(), new_nonce()) is None
    for _ in range(4):
        submit(queue, batch="b3", notify="@me", name="cell")
    failed = Ending(state=State.FAILED, cause=Cause.CODE, error="KeyError: 'x'", began=True)
    for _ in range(3):
        queue.end((taken := claim(queue, "v100:1")).run.id, taken.token, failed)
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    where = {message["text"]: message["channel"] for message in slack.messages}
    worker, held = "⏸ worker v100:0 is paused", "⏸ batch b3 is held"
    assert len(where) == 3 and where[worker] != where[held]
    told = {message["text"]: str(message["blocks"]) for message in slack.messages}
    assert "worker resume v100:0" in told[worker] and "queue release -b b3" in told[held]


def test_the_last_log_lines_and_the_owner_are_told_of_a_failure(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    run_id = submit(queue)
    token = claim(queue).token
    queue.report(run_id, token, Report(number=1, log=("epoch 1", "<!channel> ValueError")))
    queue.end(run_id, token, Ending(state=State.FAILED, cause=Cause.CODE))
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    blocks = str(slack.messages[0]["blocks"])
    assert "&lt;!channel&gt; ValueError" in blocks and "<@U012ANA>" in blocks


def test_a_notice_whose_reply_was_lost_is_looked_up_and_not_sent_again(
    queue: Queue, slack: SlackServer, runs: RunsRoot, connection: redis.Redis
) -> None:
    cancelled(queue, 3)
    slack.order("chat.postMessage", LOSE_REPLY, times=2)
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    assert slack.texts() == titles(3) and slack.count("conversations.history") >= 2
    assert all(word.startswith("sent:") for word in how(connection))


@pytest.mark.parametrize("fault", [RESET, HANG, GARBAGE, broken(), broken(503)])
def test_a_notice_that_slack_may_have_but_has_not_is_sent_after_looking(
    queue: Queue, slack: SlackServer, runs: RunsRoot, fault: Fault
) -> None:
    cancelled(queue)
    slack.order("chat.postMessage", fault, times=2)
    poster = bot(slack, timeout_s=0.3 if fault is HANG else 10)
    assert notifier(queue, poster, runs).flush(PATIENCE_S)
    assert slack.texts() == titles(1) and slack.count("conversations.history") >= 2


def test_a_token_that_may_not_read_the_history_repeats_and_says_so(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    slack.scopes.remove("channels:history")
    cancelled(queue)
    slack.order("chat.postMessage", LOSE_REPLY)
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    first, second = (str(message["blocks"]) for message in slack.messages)
    assert "may be a repeat" not in first and "may be a repeat" in second


def test_a_webhook_repeats_after_a_lost_reply_and_says_so(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    cancelled(queue, 2)
    slack.order("webhook", LOSE_REPLY)
    assert notifier(queue, webhook(slack), runs).flush(PATIENCE_S)
    assert slack.texts() == ["⏹ a0 cancelled by bo", *titles(2)]
    repeats = ["may be a repeat" in str(message["blocks"]) for message in slack.messages]
    assert repeats == [False, True, False]


def test_a_storm_of_429_delivers_everything_in_order_and_never_faster_than_asked(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    cancelled(queue, 20)
    slack.order("chat.postMessage", rate_limited(0.05), times=20)
    slack.least_gap_s = 0.03
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    assert slack.texts() == titles(20)
    storm = [at for method, at in slack.calls if method == "chat.postMessage"][:21]
    assert all(after - before >= 0.05 for before, after in pairwise(storm))
    sent = [message["at"] for message in slack.messages]
    assert all(after - before >= 0.03 for before, after in pairwise(sent))


def test_a_channel_gets_no_more_than_a_message_each_gap_from_all_workers_together(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    cancelled(queue, 6)
    workers = [notifier(queue, bot(slack), runs, by=f"v100:{gpu}") for gpu in range(3)]
    for worker in workers:
        worker._poster.gap_s = 0.1
    while len(slack.messages) < 6:
        assert max(worker.step() for worker in workers) <= 1
    sent = [message["at"] for message in slack.messages]
    assert all(after - before >= 0.09 for before, after in pairwise(sent))


def test_a_slack_that_is_down_for_long_loses_nothing_and_doubles_nothing(
    queue: Queue, slack: SlackServer, runs: RunsRoot, caplog: pytest.LogCaptureFixture
) -> None:
    slack.stop()
    stop = threading.Event()
    worker = notifier(queue, bot(slack), runs)
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    cancelled(queue, 30)
    wait_until(lambda: worker._failures.get("#ml-runs", 0) > 6, what="many tries in vain")
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    slack.start()
    wait_until(lambda: len(slack.messages) == 30)
    stop.set()
    thread.join(PATIENCE_S)
    assert slack.texts() == titles(30)


def test_a_slack_that_hangs_holds_up_nobody_who_asks_for_the_thread_to_end(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    for channel in ("", "#birds", "#faces"):
        cancelled(queue, notify=channel)
    slack.order("chat.postMessage", HANG, times=3)
    stop = threading.Event()
    worker = notifier(queue, bot(slack, timeout_s=PATIENCE_S), runs)
    thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
    thread.start()
    wait_until(lambda: slack.count("chat.postMessage"))
    stop.set()
    slack.release.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive() and slack.count("chat.postMessage") == 1


def test_a_bad_token_ends_in_dead_notices_one_warning_and_no_loop(
    queue: Queue,
    slack: SlackServer,
    runs: RunsRoot,
    connection: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cancelled(queue, 3)
    assert notifier(queue, bot(slack, "xoxb-wrong"), runs).flush(PATIENCE_S)
    assert slack.count("chat.postMessage") == 3 and how(connection) == ["dead:invalid_auth"] * 3
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert "invalid_auth" in warning and "SLACK_BOT_TOKEN" in warning


def test_waits_double_up_to_five_minutes_and_a_doubt_gets_time_to_clear() -> None:
    refused, lost, slow = Later("x"), Later("x", ambiguous=True), Later("x", after_s=7)
    wait_s = Pace().wait_s
    assert [wait_s(refused, failures) for failures in (0, 1, 2, 8, 9, 99)] == [
        1,
        2,
        4,
        256,
        300,
        300,
    ]
    assert [wait_s(lost, failures) for failures in (0, 3, 5)] == [15, 15, 32]
    assert wait_s(slow, 9) == 7


def test_a_channel_in_trouble_stands_in_nobody_elses_way(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    cancelled(queue, notify="#birds")
    cancelled(queue, 2)
    slack.order("chat.postMessage", rate_limited(60))
    worker = notifier(queue, bot(slack), runs)
    wait_until(lambda: worker.step() >= 0 and slack.texts() == titles(2), what="the other channel")
    assert not worker.flush(0) and slack.texts("C0BIRDS") == []


def test_notices_reach_the_channel_or_the_person_that_the_run_names_or_nobody(
    queue: Queue, slack: SlackServer, runs: RunsRoot, connection: redis.Redis
) -> None:
    for notify, user in [("#birds", "ana"), ("@me", "ana"), ("@me", "bo"), ("none", "ana")]:
        cancelled(queue, notify=notify, user=user)
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    assert [message["channel"] for message in slack.messages] == ["C0BIRDS", "DU012ANA", "C0RUNS"]
    assert "for bo" in str(slack.messages[2]["blocks"])
    assert how(connection)[-1] == "skipped"


def test_without_slack_notices_go_to_a_file_one_readable_json_line_each(
    queue: Queue, runs: RunsRoot
) -> None:
    cancelled(queue, 3)
    poster = poster_of(Settings.read({"TRAINQ_RUNS": str(runs.path)}))
    assert isinstance(poster, File) and notifier(queue, poster, runs).flush(PATIENCE_S)
    assert notifier(queue, poster, runs).flush(PATIENCE_S)
    lines = (runs.path / "notices.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == titles(3)
    assert "publisher retry" in json.loads(lines[0])["rendered"]


def test_a_record_that_cannot_be_read_keeps_no_other_notice_back(
    queue: Queue, slack: SlackServer, runs: RunsRoot, connection: redis.Redis
) -> None:
    gone, garbled, _ = cancelled(queue, 3)
    connection.delete(f"trainq:run:{gone}")
    connection.hset(f"trainq:run:{garbled}", "config", "no json")
    assert notifier(queue, bot(slack), runs).flush(PATIENCE_S)
    assert slack.texts() == [titles(3)[2]]


def test_a_worker_that_stood_still_sends_nothing_on_a_claim_that_others_may_have_taken(
    queue: Queue, slack: SlackServer, runs: RunsRoot
) -> None:
    cancelled(queue)
    moments = iter([0.0, 100.0])
    notifier(queue, bot(slack), runs, clock=lambda: next(moments)).step()
    assert slack.messages == []
    assert notifier(queue, bot(slack), runs, by="v100:1").flush(PATIENCE_S)
    assert slack.texts() == titles(1)


def test_no_secret_reaches_redis_a_log_a_file_or_a_message(
    queue: Queue,
    slack: SlackServer,
    runs: RunsRoot,
    connection: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    ways = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "#ml-runs", "SLACK_API_URL": slack.api_url}
    for env in (ways, {"SLACK_WEBHOOK_URL": slack.webhook_url}, {"TRAINQ_RUNS": str(runs.path)}):
        settings = Settings.read(env)
        poster = poster_of(settings)
        poster.gap_s = 0.01
        for fault in (LOSE_REPLY, broken(), rate_limited(0.02)):
            slack.order("chat.postMessage", fault)
            slack.order("webhook", fault)
            cancelled(queue)
        assert notifier(queue, poster, runs).flush(PATIENCE_S)
        caplog.records.append(logging.makeLogRecord({"msg": repr((settings, poster))}))
    kept = [connection.dump(name) for name in connection.scan_iter("*")]  # type: ignore[union-attr]
    files = [path.read_bytes() for path in runs.path.rglob("*") if path.is_file()]
    said = [*caplog.records, *slack.messages, *capfd.readouterr(), *kept, *files]
    assert "CANARY" not in str(said) + caplog.text
