"""A real worker tells of its runs; whatever Slack does, the runs do not notice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.slack_server import HANG, TOKEN, SlackServer, rate_limited
from support.waiting import wait_until
from support.workers import Site

from schemas.run import State


@pytest.fixture
def site(tmp_path: Path, slack: SlackServer) -> Iterator[Site]:
    token = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "#ml-runs", "SLACK_API_URL": slack.api_url}
    site = Site(tmp_path, TRAINQ_SLACK_FILE="", **token)
    yield site
    site.close()


@pytest.mark.parametrize("until", ["--burst", "--max-runs=1"])
def test_a_worker_that_leaves_by_itself_tells_before_how_its_run_ended(
    site: Site, slack: SlackServer, until: str
) -> None:
    slack.order("chat.postMessage", rate_limited(0.5))  # so it is not told at once
    run_id = site.submit("steps=8")
    assert site.worker("cpu", until).wait() == 0
    (message,) = slack.messages
    assert message["text"].startswith(f"✅ run-{run_id} finished in ")
    shown = str(message["blocks"])
    assert "best `accuracy` *0.9*" in shown and f"{site.runs / run_id}`" in shown


def test_a_slack_that_is_away_for_the_whole_run_loses_and_doubles_no_notice(
    site: Site, slack: SlackServer
) -> None:
    slack.stop()
    worker = site.worker().ready()
    assert site.ended(site.submit("steps=8")).state is State.FINISHED
    wait_until(lambda: "notices to #ml-runs wait" in worker.said(), what="the warning")
    slack.start()
    wait_until(lambda: slack.messages, what="the notice")
    assert site.ended(site.submit("steps=2")).state is State.FINISHED
    wait_until(lambda: len(slack.messages) > 1, what="the second notice")
    assert len(set(slack.texts())) == len(slack.texts()) == 2


def test_a_slack_that_hangs_delays_no_run_and_no_secret_gets_out(
    site: Site, slack: SlackServer
) -> None:
    for method in ("auth.test", "chat.postMessage"):
        slack.order(method, HANG, times=99)
    worker = site.worker().ready()
    runs = [site.submit("steps=2") for _ in range(3)]
    assert all(site.ended(run).state is State.FINISHED for run in runs)
    assert slack.messages == []
    kept = [path.read_bytes() for path in site.folder.rglob("*") if path.is_file()]
    assert b"CANARY" not in b"".join(kept) and "CANARY" not in worker.said()
