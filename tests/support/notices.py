"""Notifiers with short times on the loopback Slack, and the quickest ways to an end to tell of."""

from typing import Any

from pydantic import SecretStr

from queue_worker.notices.notifier import Notifier, Pace
from queue_worker.notices.poster import Poster
from queue_worker.notices.slack import Bot, Webhook
from queue_worker.queue import Queue
from schemas.rundir import RunsRoot
from support.runs import submit
from support.slack_server import TOKEN, SlackServer

PACE = Pace(poll_s=0.02, first_wait_s=0.02, longest_wait_s=0.2, patience_s=0.8)


def bot(slack: SlackServer, token: str = TOKEN, timeout_s: float = 10) -> Bot:
    users = {"ana": "U012ANA"}
    secret = SecretStr(token)
    url = slack.api_url
    poster = Bot(secret, api_url=url, channel="#ml-runs", users=users, timeout_s=timeout_s)
    poster.gap_s = 0.01
    return poster


def webhook(slack: SlackServer) -> Webhook:
    poster = Webhook(SecretStr(slack.webhook_url))
    poster.gap_s = 0.01
    return poster


def notifier(
    queue: Queue, poster: Poster, runs: RunsRoot, by: str = "v100:0", **more: Any
) -> Notifier:
    return Notifier(queue, poster, by=by, runs=runs, **{"pace": PACE, **more})


def cancelled(queue: Queue, count: int = 1, **fields: Any) -> list[str]:
    """The quickest way to an end: runs called a0, a1, ... that are cancelled while queued."""
    ids = [submit(queue, name=f"a{number}", **fields) for number in range(count)]
    for run_id in ids:
        queue.cancel(run_id, by="bo")
    return ids


def titles(count: int) -> list[str]:
    return [f"⏹ a{number} cancelled by bo" for number in range(count)]
