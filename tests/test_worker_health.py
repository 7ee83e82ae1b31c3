"""What doctors say of Redis and of Slack."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import TestServer
from support.slack_server import TOKEN, SlackServer, broken
from support.waiting import PATIENCE_S

from queue_worker.door import health
from queue_worker.door.connection import NOWHERE
from queue_worker.door.health import Facts
from queue_worker.notices import slack_check
from queue_worker.notices.poster import Later, Lookup
from queue_worker.notices.slack import About
from queue_worker.notices.slack_check import Answer
from queue_worker.queue import Queue
from schemas.diagnosis import Finding
from schemas.settings import Settings

WELL = {"redis_version": "7.4.1", "role": "master", "aof_enabled": 1, "used_memory": 1 << 20}


def told(findings: list[Finding]) -> dict[str, str]:
    """Whatever is not ok: subject and level -> text."""
    return {f"{one.level} {one.subject}": one.text for one in findings if one.level != "ok"}


def judged(saves: str | None = "", **facts: Any) -> dict[str, str]:
    known = {"address": "redis://:****@box:6379/0", "ahead_s": 0.1, "latency_ms": 1.0}
    info = facts.pop("info", {})
    return told(health.judge(Facts(**{**known, **facts}, info={**WELL, **info}, saves=saves)))


# ---- Redis ---------------------------------------------------------------------------------------


def test_a_real_server_with_aof_is_well_and_every_finding_names_its_fix(tmp_path: Path) -> None:
    server = TestServer(tmp_path / "srv").start()
    try:
        findings = Queue(server.client(), "trainq:").health()
        assert told(findings) == {}
        assert "Valkey" in findings[0].text
        with server.client() as client:
            client.config_set("appendonly", "no")
            client.config_set("maxmemory", 1 << 30)
            client.config_set("maxmemory-policy", "allkeys-lru")
        assert told(Queue(server.client(), "trainq:").health()) == {
            "FAIL keeps": "neither AOF nor snapshots: it forgets everything when it ends",
            "FAIL memory": "when it is full it throws runs away (allkeys-lru)",
        }
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, {}),
        ({"info": {"cluster_enabled": 1}}, {"FAIL redis": "a cluster"}),
        ({"info": {"role": "slave"}}, {"FAIL redis": "a replica"}),
        ({"info": {"aof_last_write_status": "err"}}, {"FAIL keeps": "aof_last_write_status"}),
        (
            {"info": {"aof_enabled": 0}, "saves": "3600 1"},
            {"warn keeps": "snapshots only (3600 1)"},
        ),
        ({"info": {"aof_enabled": 0}, "saves": None}, {"warn keeps": "does not tell"}),
        ({"info": {"aof_enabled": 0}}, {"FAIL keeps": "forgets everything"}),
        ({"info": {"maxmemory": 1 << 20}}, {"warn memory": "100% of its"}),
        ({"ahead_s": -3.25}, {"warn clock": "3.2 s behind this host"}),
        ({"latency_ms": 80.0}, {"warn redis": "80.0 ms away"}),
        ({"address": "redis://10.0.0.5:6379/0"}, {"warn door": "asks for no password"}),
        ({"address": "redis://127.0.0.1:6379/0"}, {}),
        ({"address": "unix:///run/redis.sock"}, {}),
    ],
)
def test_each_way_to_lose_runs_is_told(facts: dict[str, Any], said: dict[str, str]) -> None:
    found = judged(**facts)
    assert found.keys() == said.keys()
    assert all(words in found[subject] for subject, words in said.items())


def test_a_server_that_forbids_config_and_says_little_is_judged_by_what_it_says() -> None:
    facts = Facts(NOWHERE.address, {"redis_version": "6.2.0"}, None, 0.0, 1.0)
    assert "does not tell" in told(health.judge(facts))["warn keeps"]


# ---- Slack ---------------------------------------------------------------------------------------


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    server = SlackServer().start()
    yield server
    server.stop()


def settings(slack: SlackServer, **more: str) -> Settings:
    known = {"SLACK_API_URL": slack.api_url, "SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "#ml-runs"}
    return Settings.read({**known, **more})


def test_a_bot_that_may_do_everything_is_well_and_nothing_is_posted(slack: SlackServer) -> None:
    found = slack_check.check(settings(slack))
    assert [one.text for one in found] == [
        "@trainq of vision",
        "#ml-runs can be read: every notice comes exactly once",
    ]
    assert slack.messages == [] and told(found) == {}


def test_what_a_missing_scope_costs_is_told(slack: SlackServer) -> None:
    slack.scopes -= {"chat:write", "channels:history"}
    found = [one for one in slack_check.check(settings(slack)) if one.level != "ok"]
    assert [(one.level, one.text) for one in found] == [
        ("FAIL", "without the scope chat:write nothing can be posted"),
        ("warn", "without the scope channels:history after a lost reply a notice may come twice"),
        ("warn", "#ml-runs is not among the channels that the bot is in, or may not be read"),
    ]


def test_a_wrong_token_a_silent_slack_and_wrong_names_are_told(slack: SlackServer) -> None:
    assert (
        "invalid_auth"
        in told(slack_check.check(settings(slack, SLACK_BOT_TOKEN="xoxb-2")))["FAIL slack"]
    )
    slack.order("auth.test", broken())
    assert "does not answer" in told(slack_check.check(settings(slack)))["warn slack"]
    lost = told(slack_check.check(settings(slack, SLACK_CHANNEL="#mlruns")))
    assert "#mlruns is not among the channels" in lost["warn slack"]
    odd = told(slack_check.check(settings(slack, TRAINQ_SLACK_USERS="ana=U012,bo=bo@x.org")))
    assert odd["warn slack"] == "1 of 2 entries of TRAINQ_SLACK_USERS are no id of Slack's"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, ("warn", "off: notices go to runs/notices.jsonl")),
        ({"SLACK_WEBHOOK_URL": "https://hooks/x"}, ("ok", "a webhook, not tried")),
        ({"TRAINQ_SLACK_FILE": "n.jsonl"}, ("ok", "a dry run: notices go to n.jsonl")),
    ],
)
def test_without_a_token_nobody_is_asked(env: dict[str, str], said: tuple[str, str]) -> None:
    (found,) = slack_check.check(Settings.read(env))
    assert found.level == said[0] and found.text.startswith(said[1])


def test_no_channel_and_a_channel_that_was_not_seen_are_told() -> None:
    about, plain = About("trainq", "vision", frozenset()), Settings.read({})
    none = list(slack_check.judge(Answer(about), plain, ""))
    assert "SLACK_CHANNEL is not set" in told(none)["warn slack"]
    late = list(slack_check.judge(Answer(about, Later("no answer in time")), plain, "#x"))
    assert told(late)["warn slack"] == "#x could not be looked at: no answer in time"
    assert list(slack_check.judge(Answer(about, Lookup.ABSENT), plain, "#x"))[-1].level == "ok"


def test_those_who_may_not_import_it_ask_it_in_a_process_of_its_own(slack: SlackServer) -> None:
    env = {"SLACK_API_URL": slack.api_url, "SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "#ml-runs"}
    said = subprocess.check_output(
        [sys.executable, "-m", "queue_worker.notices.slack_check"],
        env={**os.environ, **env},
        timeout=PATIENCE_S,
    )
    assert TOKEN.encode() not in said
    assert [Finding(**one).level for one in json.loads(said)] == ["ok", "ok"]
