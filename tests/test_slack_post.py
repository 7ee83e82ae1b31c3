"""One post to a real HTTP server that behaves, or misbehaves, as Slack does."""

import json
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.slack_server import (
    GARBAGE,
    HANG,
    HOOK,
    LOSE_REPLY,
    RESET,
    TOKEN,
    Fault,
    SlackServer,
    broken,
    rate_limited,
    refusal,
)
from support.waiting import wait_until

from queue_worker.notices.notice import Message, section
from queue_worker.notices.notifier import poster_of
from queue_worker.notices.poster import File, Later, Lookup, Refused, Sent
from queue_worker.notices.slack import Bot, Webhook, user_ids
from schemas.settings import Settings

HELLO = Message("hello", (section("hello"),))


def bot(slack: SlackServer, token: str = TOKEN, timeout_s: float = 10) -> Bot:
    users = {"ana": "U012ANA"}
    secret = SecretStr(token)
    url = slack.api_url
    return Bot(secret, api_url=url, channel="#ml-runs", users=users, timeout_s=timeout_s)


def webhook(slack: SlackServer, timeout_s: float = 10) -> Webhook:
    return Webhook(SecretStr(slack.webhook_url), timeout_s=timeout_s)


def test_a_message_is_posted_once_with_its_key_and_every_switch_that_could_ping_is_off(
    slack: SlackServer,
) -> None:
    assert isinstance(bot(slack).post("#ml-runs", HELLO, "run-1"), Sent)
    (message,) = slack.messages
    assert message["metadata"] == {"event_type": "trainq", "event_payload": {"event_id": "run-1"}}
    assert (message["link_names"], message["parse"]) == (False, "none")


@pytest.mark.parametrize("fault", [RESET, LOSE_REPLY, HANG, GARBAGE, broken(), broken(503)])
def test_whenever_slack_may_have_the_message_the_outcome_says_so(
    slack: SlackServer, fault: Fault
) -> None:
    slack.order("chat.postMessage", fault)
    patience_s = 0.3 if fault is HANG else 10
    outcome = bot(slack, timeout_s=patience_s).post("#ml-runs", HELLO, "run-1")
    assert isinstance(outcome, Later) and outcome.ambiguous
    slack.order("webhook", fault)
    outcome = webhook(slack, timeout_s=patience_s).post("webhook", HELLO, "run-1")
    assert isinstance(outcome, Later) and outcome.ambiguous
    wait_until(lambda: slack.count("chat.postMessage"), what="the first post")
    assert slack.count("chat.postMessage") == 1  # slack-sdk repeats nothing on its own


def test_a_refused_connection_is_certain_not_to_have_posted(slack: SlackServer) -> None:
    slack.stop()
    for outcome in (
        bot(slack).post("#ml-runs", HELLO, "run-1"),
        webhook(slack).post("webhook", HELLO, "run-1"),
    ):
        assert outcome == Later("Slack cannot be reached (ConnectionRefusedError)")
    slack.start()


@pytest.mark.parametrize(("asked", "believed"), [(7, 7.0), (0, 1.0), (99999, 3600.0)])
def test_the_pause_that_slack_asks_for_is_taken_from_its_answer(
    slack: SlackServer, asked: float, believed: float
) -> None:
    for method in ("chat.postMessage", "webhook"):
        slack.order(method, rate_limited(asked))
    outcomes = (
        bot(slack).post("#ml-runs", HELLO, "run-1"),
        webhook(slack).post("webhook", HELLO, "run-1"),
    )
    for outcome in outcomes:
        assert outcome == Later("Slack asks us to be slower", after_s=believed)


@pytest.mark.parametrize("code", ["channel_not_found", "not_in_channel", "is_archived", "whatever"])
def test_what_will_never_work_is_refused_with_a_fix(slack: SlackServer, code: str) -> None:
    slack.order("chat.postMessage", refusal(code))
    outcome = bot(slack).post("#ml-runs", HELLO, "run-1")
    assert isinstance(outcome, Refused) and outcome.why == code
    assert outcome.fix or code == "whatever"


def test_a_missing_scope_is_named(slack: SlackServer) -> None:
    slack.scopes.remove("chat:write")
    outcome = bot(slack).post("#ml-runs", HELLO, "run-1")
    assert isinstance(outcome, Refused) and "chat:write" in outcome.fix


def test_a_message_is_found_again_by_name_by_id_and_in_a_direct_conversation(
    slack: SlackServer,
) -> None:
    for channel in ("#birds", "C0RUNS", "@U012ANA"):
        for number in range(8):  # more than a page
            bot(slack).post(channel, HELLO, f"run-{number}")
        fresh = bot(slack)
        assert isinstance(fresh.find(channel, "run-0", since=0), Sent)
        assert fresh.find(channel, "run-9", since=0) is Lookup.ABSENT


def test_a_message_is_found_by_its_block_where_metadata_are_withheld(slack: SlackServer) -> None:
    bot(slack).post("#birds", HELLO, "run-1")
    slack.messages[0]["metadata"] = None
    assert isinstance(bot(slack).find("#birds", "run-1", since=0), Sent)


def test_only_messages_since_the_event_are_looked_through(slack: SlackServer) -> None:
    bot(slack).post("#birds", HELLO, "run-1")
    an_hour_and_more = float(slack.messages[0]["ts"]) + 4000
    assert bot(slack).find("#birds", "run-1", since=an_hour_and_more) is Lookup.ABSENT


@pytest.mark.parametrize("scope", ["channels:history", "channels:read"])
def test_a_token_that_may_not_look_is_blind_not_sure(slack: SlackServer, scope: str) -> None:
    bot(slack).post("#birds", HELLO, "run-1")
    slack.scopes.remove(scope)
    assert bot(slack).find("#birds", "run-1", since=0) is Lookup.BLIND


def test_a_token_that_sees_no_private_channels_still_looks_into_public_ones(
    slack: SlackServer,
) -> None:
    bot(slack).post("#birds", HELLO, "run-1")
    slack.scopes.remove("groups:read")
    assert isinstance(bot(slack).find("#birds", "run-1", since=0), Sent)


def test_a_slack_that_fails_while_we_look_is_asked_later(slack: SlackServer) -> None:
    slack.order("conversations.history", broken())
    assert isinstance(bot(slack).find("C0BIRDS", "run-1", since=0), Later)


def test_a_failure_before_the_post_leaves_no_doubt(slack: SlackServer) -> None:
    slack.order("conversations.open", RESET)
    outcome = bot(slack).post("@U012ANA", HELLO, "run-1")
    assert isinstance(outcome, Later) and not outcome.ambiguous


def test_a_notice_goes_where_the_run_asks(slack: SlackServer) -> None:
    place = bot(slack).place
    assert place("", "ana").channel == "#ml-runs"
    assert place("#birds", "ana").channel == "#birds"
    assert place("@me", "ana").channel == place("U012ANA", "bo").channel == "@U012ANA"
    assert (place("@me", "bo").channel, place("@me", "bo").aside[:6]) == ("#ml-runs", "for bo")
    assert webhook(slack).place("@me", "bo").aside == "for bo"


@pytest.mark.parametrize("written", ["ml-runs", "#ml-runs", "C0RUNS"])
def test_the_teams_channel_may_be_written_in_every_usual_way(
    slack: SlackServer, written: str
) -> None:
    token = SecretStr(TOKEN)
    poster = Bot(token, api_url=slack.api_url, channel=written, users={})
    channel = poster.place("", "ana").channel
    slack.order("chat.postMessage", LOSE_REPLY)
    poster.post(channel, HELLO, "run-1")
    assert isinstance(poster.find(channel, "run-1", since=0), Sent)


def test_the_banner_says_who_we_are_or_what_is_wrong(slack: SlackServer) -> None:
    assert bot(slack).describe() == "#ml-runs as @trainq"
    assert "SLACK_BOT_TOKEN" in bot(slack, "xoxb-wrong").describe()
    slack.order("auth.test", HANG)
    assert "did not answer" in bot(slack, timeout_s=0.3).describe()


def test_a_file_gets_one_whole_line_a_notice_also_after_a_line_that_was_cut_short(
    tmp_path: Path,
) -> None:
    path = tmp_path / "deep" / "notices.jsonl"
    file = File(path)
    assert file.post("#birds", HELLO, "run-1") == Sent("file")
    path.write_text(path.read_text() + '{"event_id": "run-2"')
    assert file.find("", "run-1", 0) == Sent("file")
    assert file.find("", "run-2", 0) is Lookup.ABSENT
    file.post("", HELLO, "run-2")
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["event_id"], last["rendered"]) == ("run-2", "hello")


def test_a_file_that_cannot_be_written_is_tried_again_later(tmp_path: Path) -> None:
    outcome = File(tmp_path / "folder").post("", HELLO, "run-1")
    assert isinstance(outcome, Sent)
    (tmp_path / "taken").mkdir()
    outcome = File(tmp_path / "taken").post("", HELLO, "run-1")
    assert isinstance(outcome, Later) and "directory" in outcome.why


def test_a_named_file_wins_over_a_token_and_a_token_over_a_webhook(tmp_path: Path) -> None:
    token, hook = {"SLACK_BOT_TOKEN": "x"}, {"SLACK_WEBHOOK_URL": "http://127.0.0.1/x"}
    named = {"TRAINQ_SLACK_FILE": str(tmp_path / "n")}
    for env, kind in [
        ({}, File),
        (hook, Webhook),
        (token | hook, Bot),
        (token | hook | named, File),
    ]:
        assert isinstance(poster_of(Settings.read(env)), kind)


def test_only_ids_of_slack_users_are_taken_from_the_setting() -> None:
    assert user_ids("ana=U012, bo=W034,eve=<!channel>,x,=") == {"ana": "U012", "bo": "W034"}


@pytest.mark.parametrize("way", ["SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL"])
def test_whoever_is_known_is_mentioned_also_by_a_webhook(way: str) -> None:
    env = {way: "http://127.0.0.1/x", "TRAINQ_SLACK_USERS": "ana=U012ABC"}
    poster = poster_of(Settings.read(env))
    assert (poster.mention("ana"), poster.mention("bo")) == ("U012ABC", "")


def test_no_secret_is_logged_or_said_whatever_goes_wrong(
    slack: SlackServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [RESET, LOSE_REPLY, HANG, GARBAGE, broken(), rate_limited(1), refusal("is_archived")]
    said: list[object] = []
    for fault in faults:
        for method in ("chat.postMessage", "webhook", "auth.test", "conversations.history"):
            slack.order(method, fault)
        patience_s = 0.3 if fault is HANG else 10
        poster = bot(slack, timeout_s=patience_s)
        said.append(poster.post("#ml-runs", HELLO, "run-1"))
        said.append(webhook(slack, timeout_s=patience_s).post("webhook", HELLO, "run-1"))
        said.append(poster.find("C0RUNS", "run-1", 0))
        said.append(poster.describe())
    said.append(bot(slack, f"{TOKEN}\nx").post("#ml-runs", HELLO, "run-1"))
    for url in (f"hooks.example{HOOK}", f"http://127.0.0.1{HOOK} x", f"http://[{HOOK}"):
        said.append(Webhook(SecretStr(url)).post("webhook", HELLO, "run-1"))
    everything = caplog.text + "".join(capfd.readouterr()) + repr(said)
    assert "CANARY" not in everything and "not_an_address" in everything
