"""Notices: each end is settled once, and what may have been sent is looked up first."""

import pytest
import redis
from support.runs import submit

from queue_worker.queue import Queue


@pytest.fixture
def event(queue: Queue) -> str:
    """The id of the one open notice."""
    queue.cancel(submit(queue), by="ana")
    [notice] = queue.notices_open()
    return notice.id


def test_ends_stay_open_in_order_until_they_are_settled(queue: Queue) -> None:
    ids = [submit(queue) for _ in range(20)]
    for run_id in ids:
        queue.cancel(run_id, by="ana")
    notices = queue.notices_open()
    assert [notice.run for notice in notices] == ids
    queue.notice_settle(notices[0].id, "sent:1.2")
    assert [notice.run for notice in queue.notices_open()] == ids[1:]


def test_only_one_sender_gets_a_notice(queue: Queue, event: str) -> None:
    assert queue.notice_begin(event, "a:0") == "send"
    assert queue.notice_begin(event, "b:0") == "busy"


def test_a_settled_notice_is_done_for_everybody(
    queue: Queue, event: str, connection: redis.Redis
) -> None:
    queue.notice_begin(event, "a:0")
    connection.hset(f"trainq:notice:{event}", "at", "1")
    before = queue.now()
    queue.notice_settle(event, "sent:1.2")
    after = queue.now()
    queue.notice_settle(event, "file")
    assert queue.notice_begin(event, "a:0") == queue.notice_begin(event, "b:0") == "done"
    queue.notice_retry(event, "a:0", 0)
    assert queue.notices_open() == []
    told = connection.hmget(f"trainq:notice:{event}", "state", "how", "at")
    assert told[:2] == [b"settled", b"sent:1.2"]
    assert before <= float(told[2]) <= after  # when it was, for whoever asks


def test_the_same_sender_that_began_before_looks_it_up(queue: Queue, event: str) -> None:
    queue.notice_begin(event, "a:0")
    assert queue.notice_begin(event, "a:0") == "lookup"


def test_another_looks_it_up_when_the_sender_is_gone_for_a_minute(
    queue: Queue, event: str, connection: redis.Redis
) -> None:
    queue.notice_begin(event, "a:0")
    connection.hset(f"trainq:notice:{event}", "at", str(queue.now() - 61))
    assert queue.notice_begin(event, "b:0") == "lookup"
    assert queue.notice_begin(event, "a:0") == "busy"


def test_a_retry_waits_and_is_then_sent(queue: Queue, event: str, connection: redis.Redis) -> None:
    queue.notice_begin(event, "a:0")
    queue.notice_retry(event, "a:0", 30)
    assert connection.hget(f"trainq:notice:{event}", "state") == b"pending"
    assert queue.notice_begin(event, "a:0") == "busy"
    connection.hset(f"trainq:notice:{event}", "at", str(queue.now() - 31))
    assert queue.notice_begin(event, "b:0") == "send"


def test_a_lost_reply_is_remembered_until_the_notice_is_settled(queue: Queue, event: str) -> None:
    queue.notice_begin(event, "a:0")
    queue.notice_retry(event, "a:0", 0, ambiguous=True)
    assert queue.notice_begin(event, "b:0") == "lookup"
    queue.notice_retry(event, "b:0", 0)
    assert queue.notice_begin(event, "b:0") == "lookup"


def test_a_clock_that_was_put_back_does_not_silence_a_notice(
    queue: Queue, event: str, connection: redis.Redis
) -> None:
    queue.notice_begin(event, "a:0")
    queue.notice_retry(event, "a:0", 30)
    connection.hset(f"trainq:notice:{event}", "at", str(queue.now() + 86400))
    assert queue.notice_begin(event, "a:0") == "send"


def test_a_sender_that_was_replaced_puts_nothing_back(queue: Queue, event: str) -> None:
    queue.notice_begin(event, "a:0")
    queue.notice_begin(event, "b:0", patience_s=0)
    queue.notice_retry(event, "a:0", 0)
    assert queue.notice_begin(event, "c:0") == "busy"


def test_a_sender_waits_for_its_own_unfinished_request_as_long_as_it_says(
    queue: Queue, event: str
) -> None:
    queue.notice_begin(event, "a:0")
    assert queue.notice_begin(event, "a:0", own_patience_s=30) == "busy"


def test_a_channel_that_just_got_a_message_is_left_in_peace(queue: Queue, event: str) -> None:
    queue.cancel(submit(queue), by="ana")
    second = queue.notices_open()[1].id
    queue.notice_settle(event, "sent:1.2", channel="#birds", gap_s=900)
    assert queue.notice_begin(second, "b:0", channel="#birds") == "busy"
    assert queue.notice_begin(second, "b:0", channel="#faces") == "send"
