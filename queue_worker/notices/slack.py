"""Slack, by a bot token or by a webhook: posts, looks up, and judges what went wrong.

The only module that touches slack-sdk. Knows no queue and decides nothing about repeats.
"""

import json
import logging
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, InvalidURL
from socket import gaierror
from types import MappingProxyType
from typing import Any
from urllib.error import URLError

from pydantic import SecretStr
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import WebClient
from slack_sdk.webhook import WebhookClient

from queue_worker.notices.notice import Message
from queue_worker.notices.poster import Later, Lookup, Outcome, Place, Refused, Sent

TIMEOUT_S = 5.0
LONGEST_WAIT_S = 3600.0  # a Retry-After beyond this is not believed
CLOCKS_DIFFER_S = 3600.0  # between Redis and Slack, when a message is looked for
PAGE = 200  # messages or channels a call
CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{2,}")
USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")
ERROR_CODE = re.compile(r"[a-z0-9_]{1,60}")

# Slack says of some of these that a part of the operation may have succeeded all the same.
PASSING = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "timeout"}
)
TOO_FAST = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})

_TOKEN = "set SLACK_BOT_TOKEN to a valid bot token (xoxb-...) and restart the workers"
_CHANNEL = "check SLACK_CHANNEL and the run's notify: the channel must exist"
_WEBHOOK = "make a new webhook for the channel and set SLACK_WEBHOOK_URL"
FIXES = MappingProxyType(
    {
        **dict.fromkeys(("invalid_auth", "not_authed", "account_inactive"), _TOKEN),
        **dict.fromkeys(("token_revoked", "token_expired", "invalid_token"), _TOKEN),
        **dict.fromkeys(("no_service", "no_active_hooks", "action_prohibited"), _WEBHOOK),
        "channel_not_found": f"{_CHANNEL}, and a private one must have the bot in it",
        "no_channel": "set SLACK_CHANNEL, or notify in the config",
        "not_in_channel": "invite the bot: type /invite @trainq in the channel",
        "is_archived": "unarchive the channel, or set SLACK_CHANNEL to another one",
        "channel_is_archived": "unarchive the channel, or make a webhook for another one",
        "user_not_found": "correct the id in TRAINQ_SLACK_USERS",
        "not_an_address": "check SLACK_API_URL, SLACK_WEBHOOK_URL and SLACK_BOT_TOKEN for typos",
    }
)


def user_ids(text: str) -> dict[str, str]:
    """`ana=U012,bo=U034` as a mapping; what is no id of Slack's is left out."""
    pairs = (pair.partition("=") for pair in text.split(","))
    found = {name.strip(): value.strip() for name, _, value in pairs}
    return {name: value for name, value in found.items() if USER_ID.fullmatch(value)}


@dataclass(frozen=True, slots=True)
class About:
    """What Slack says of a token."""

    name: str
    team: str
    scopes: frozenset[str]  # none: it did not say


class Bot:
    """A bot token: any channel, direct messages, and a history to look messages up in."""

    gap_s = 1.0

    def __init__(
        self,
        token: SecretStr,
        *,
        api_url: str,
        channel: str,
        users: Mapping[str, str],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._client = WebClient(
            token=token.get_secret_value(),
            base_url=api_url,
            timeout=timeout_s,  # type: ignore[arg-type]  # urlopen takes a float as well
            retry_handlers=[],  # a repeat after a lost reply would post twice
            logger=_silent(),
        )
        bare = channel[:1].isalnum() and not CHANNEL_ID.fullmatch(channel)
        self._channel = f"#{channel}" if bare else channel
        self._users = dict(users)
        self._ids: dict[str, str] = {}  # of channels, as Slack told them

    def place(self, notify: str, user: str) -> Place:
        if USER_ID.fullmatch(notify):
            return Place(f"@{notify}")
        if notify != "@me":
            return Place(notify or self._channel)
        if user in self._users:
            return Place(f"@{self._users[user]}")
        return Place(self._channel, f"for {user}, who has no entry in TRAINQ_SLACK_USERS")

    def mention(self, user: str) -> str:
        return self._users.get(user, "")

    def post(self, channel: str, message: Message, key: str) -> Outcome:
        if not channel:
            return Refused("no_channel", FIXES["no_channel"])
        try:
            if channel.startswith("@"):
                self._open(channel)
        except FAULTS as error:
            return _certain(judge(error))
        first, *rest = message.blocks
        try:
            reply = self._client.chat_postMessage(
                channel=self._ids.get(channel, channel),
                text=message.text,
                # history shows a block's id even where the token may not read metadata
                blocks=[{**first, "block_id": key}, *rest],
                metadata={"event_type": "trainq", "event_payload": {"event_id": key}},
                link_names=False,
                parse="none",
                unfurl_links=False,
                unfurl_media=False,
            )
            self._ids[channel] = str(reply["channel"])
            return Sent(f"sent:{reply['ts']}")
        except FAULTS as error:
            return judge(error)

    def find(self, channel: str, key: str, since: float) -> Sent | Lookup | Later:
        try:
            place = self._id(channel)
            if not place:
                return Lookup.BLIND
            oldest = f"{since - CLOCKS_DIFFER_S:.6f}"
            for found in self._pages(
                "conversations.history",
                "messages",
                {"channel": place, "oldest": oldest, "include_all_metadata": True},
            ):
                if key in _keys(found):
                    return Sent(f"sent:{found['ts']}")
            return Lookup.ABSENT
        except FAULTS as error:
            outcome = judge(error)
            return outcome if isinstance(outcome, Later) else Lookup.BLIND

    def describe(self) -> str:
        try:
            name = self._client.auth_test()["user"]
            return f"{self._channel or 'no SLACK_CHANNEL'} as @{name}"
        except FAULTS as error:
            outcome = judge(error)
            fix = f": {outcome.fix}" if isinstance(outcome, Refused) and outcome.fix else ""
            return f"{self._channel or 'no SLACK_CHANNEL'}, but {outcome.why}{fix}"

    def about(self) -> About | Later | Refused:
        """Who we are to Slack, and what we may do there."""
        try:
            reply = self._client.auth_test()
        except FAULTS as error:
            return judge(error)
        granted = reply.headers.get("x-oauth-scopes") or reply.headers.get("X-OAuth-Scopes") or ""
        return About(
            name=str(reply.get("user", "")),
            team=str(reply.get("team", "")),
            scopes=frozenset(scope.strip() for scope in granted.split(",") if scope.strip()),
        )

    def _open(self, channel: str) -> None:
        """The direct conversation with `@U012`; Slack gives the same one every time."""
        if channel not in self._ids:
            reply = self._client.conversations_open(users=channel.removeprefix("@"))
            self._ids[channel] = str(reply["channel"]["id"])

    def _id(self, channel: str) -> str:
        """A channel's id, the only name that history knows it by; empty if we cannot see it."""
        if CHANNEL_ID.fullmatch(channel):
            return channel
        if channel.startswith("@"):
            self._open(channel)
        for types in ("public_channel,private_channel", "public_channel"):
            if channel in self._ids:
                break
            self._learn(types)
        return self._ids.get(channel, "")

    def _learn(self, types: str) -> None:
        """The ids of the channels that the bot is in."""
        try:
            for found in self._pages("users.conversations", "channels", {"types": types}):
                self._ids[f"#{found['name']}"] = str(found["id"])
        except SlackApiError as error:
            if error.response.get("error") != "missing_scope":  # perhaps of the private ones only
                raise

    def _pages(
        self, method: str, what: str, question: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            asked = {**question, "limit": PAGE, **({"cursor": cursor} if cursor else {})}
            reply = self._client.api_call(method, params=asked)
            yield from reply.get(what) or []
            cursor = (reply.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return


class Webhook:
    """A webhook: one channel, no looking up, so that a lost reply may lead to a repeat."""

    gap_s = 1.0

    def __init__(
        self,
        url: SecretStr,
        *,
        users: Mapping[str, str] = MappingProxyType({}),
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._users = dict(users)
        self._client = WebhookClient(
            url.get_secret_value(),
            timeout=timeout_s,  # type: ignore[arg-type]  # urlopen takes a float as well
            retry_handlers=[],
            logger=_silent(),
        )

    def place(self, notify: str, user: str) -> Place:
        wanted = user if notify == "@me" else notify
        return Place("webhook", f"for {wanted}" if wanted else "")

    def mention(self, user: str) -> str:
        return self._users.get(user, "")

    def post(self, channel: str, message: Message, key: str) -> Outcome:
        try:
            reply = self._client.send(
                text=message.text,
                blocks=list(message.blocks),
                unfurl_links=False,
                unfurl_media=False,
            )
        except FAULTS as error:
            return judge(error)
        if reply.status_code == 200 and reply.body.strip() == "ok":
            return Sent("sent:webhook")
        return _answered(reply.status_code, reply.body, reply.headers)

    def find(self, channel: str, key: str, since: float) -> Sent | Lookup | Later:
        return Lookup.BLIND

    def describe(self) -> str:
        return "a webhook (one may come twice after a lost reply)"


# ---- what went wrong -----------------------------------------------------------------------------

FAULTS = (SlackClientError, OSError, HTTPException, ValueError, AttributeError, KeyError, TypeError)


def judge(error: Exception) -> Later | Refused:
    """What a failed call means; in doubt Slack may have the message. Quotes nothing but codes."""
    if isinstance(error, SlackApiError):
        reply = error.response
        code = str(reply.get("error", "")) if isinstance(reply.data, dict) else ""
        if code == "missing_scope":
            return Refused(code, f"give the app the scope {reply.get('needed')} and reinstall it")
        return _answered(reply.status_code, code, reply.headers)
    if isinstance(error, SlackClientError | InvalidURL):
        return Refused("not_an_address", FIXES["not_an_address"])
    if isinstance(error, URLError) and isinstance(error.reason, NEVER_ARRIVED):
        return Later(f"Slack cannot be reached ({type(error.reason).__name__})")
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError | json.JSONDecodeError):
        return Refused("not_an_address", FIXES["not_an_address"])
    reason = error.reason if isinstance(error, URLError) else error
    return Later(f"Slack did not answer ({type(reason).__name__})", ambiguous=True)


NEVER_ARRIVED = (ConnectionRefusedError, gaierror, ssl.SSLCertVerificationError)


def _answered(status: int, code: str, headers: Mapping[str, str]) -> Later | Refused:
    if status == 429 or code in TOO_FAST:
        return Later("Slack asks us to be slower", after_s=_retry_after(headers))
    if status >= 500 or code in PASSING:
        return Later(f"Slack has a fault (status {status})", ambiguous=True)
    if not ERROR_CODE.fullmatch(code):
        return Later(f"what answered is not Slack (status {status})", ambiguous=True)
    return Refused(code, FIXES.get(code, ""))


def _certain(outcome: Later | Refused) -> Later | Refused:
    """A call before the post has failed: no message can be on its way."""
    return Later(outcome.why, after_s=outcome.after_s) if isinstance(outcome, Later) else outcome


def _retry_after(headers: Mapping[str, str]) -> float:
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        asked = float(lower.get("retry-after", ""))
    except ValueError:
        return 1.0
    return min(max(asked, 0.0), LONGEST_WAIT_S)


def _keys(found: Mapping[str, Any]) -> set[str]:
    """Every mark by which a message in the history may be ours."""
    payload = (found.get("metadata") or {}).get("event_payload") or {}
    return {str(payload.get("event_id")), *(b.get("block_id", "") for b in found.get("blocks", ()))}


def _silent() -> logging.Logger:
    """slack-sdk logs whole requests, a webhook's address among them; the notifier says enough."""
    return logging.Logger("slack_sdk of trainq", level=logging.CRITICAL + 1)
