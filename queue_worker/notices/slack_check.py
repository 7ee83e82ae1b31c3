"""Whether notices will reach people: Slack's own word on the token, its scopes and the channel.

Posts nothing. `python -m queue_worker.notices.slack_check` prints its findings as one line of
JSON, for those who may not import it.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from queue_worker.notices.poster import Later, Lookup, Refused, Sent
from queue_worker.notices.slack import About, Bot, user_ids
from schemas.diagnosis import Finding, fail, ok, record, warn
from schemas.settings import Settings

LIMIT_S = 3.0
README = 'README, "Slack in 5 minutes"'
AGAIN = "deploy/slack-app.yaml has every scope: add it and install the app again"
# scope -> what is missing without it
SCOPES = {
    "chat:write": "nothing can be posted",
    "channels:read": "a channel is not found by its name",
    "channels:history": "after a lost reply a notice may come twice",
    "im:write": 'notify: "@me" goes to the channel',
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What Slack has said."""

    about: About | Later | Refused
    seen: Sent | Lookup | Later = Lookup.BLIND  # whether the channel's history can be read


def check(settings: Settings) -> list[Finding]:
    """Ask Slack, if it is asked for at all."""
    if settings.slack_bot_token is None or settings.slack_file:
        return [_without_token(settings)]
    bot = Bot(
        settings.slack_bot_token,
        api_url=settings.slack_api_url,
        channel=settings.slack_channel,
        users=user_ids(settings.slack_users),
        timeout_s=LIMIT_S,
    )
    about = bot.about()
    channel = bot.place("", "").channel
    looks = isinstance(about, About) and channel
    seen = bot.find(channel, "doctor", time.time()) if looks else Lookup.BLIND
    return list(judge(Answer(about, seen), settings, channel))


def judge(answer: Answer, settings: Settings, channel: str) -> Iterator[Finding]:
    """What a bot's answer means for the notices of this team."""
    about = answer.about
    if isinstance(about, Refused):
        yield fail("slack", f"Slack refuses the token: {about.why}", about.fix or README)
    elif isinstance(about, Later):
        fix = "notices wait in Redis until Slack answers; a proxy or a firewall may be in between"
        yield warn("slack", f"Slack does not answer: {about.why}", fix)
    else:
        yield from _granted(about)
        yield _channel(answer.seen, about, channel)
    if (entries := settings.slack_users.count("=")) > (good := len(user_ids(settings.slack_users))):
        what = f"{entries - good} of {entries} entries of TRAINQ_SLACK_USERS are no id of Slack's"
        yield warn("slack", what, "TRAINQ_SLACK_USERS=ana=U012ABC,bo=U034DEF")


def _without_token(settings: Settings) -> Finding:
    if settings.slack_file:
        return ok("slack", f"a dry run: notices go to {settings.slack_file}")
    if settings.slack_webhook_url:
        said = "a webhook, not tried: that would post; after a lost reply a notice may come twice"
        return ok("slack", said)
    return warn("slack", f"off: notices go to {settings.runs / 'notices.jsonl'}", README)


def _granted(about: About) -> Iterator[Finding]:
    yield ok("slack", f"@{about.name} of {about.team}")
    for scope, lost in SCOPES.items():
        if about.scopes and scope not in about.scopes:
            judged = fail if scope == "chat:write" else warn
            yield judged("slack", f"without the scope {scope} {lost}", AGAIN)


def _channel(seen: Sent | Lookup | Later, about: About, channel: str) -> Finding:
    if not channel:
        said = "SLACK_CHANNEL is not set: only runs that say `notify` are told of"
        return warn("slack", said, "SLACK_CHANNEL=#ml-runs")
    if seen is Lookup.BLIND:
        said = f"{channel} is not among the channels that the bot is in, or may not be read"
        return warn("slack", said, f"type /invite @{about.name} there; look for typing errors")
    if isinstance(seen, Later):
        return warn("slack", f"{channel} could not be looked at: {seen.why}", "try again")
    return ok("slack", f"{channel} can be read: every notice comes exactly once")


if __name__ == "__main__":
    print(json.dumps(record(check(Settings.read(os.environ, Path(".env"))))))
