"""What it is to post a notice: places, outcomes, and the way that needs no Slack, a file.

Every call ends in a value, never in an exception, and no value ever holds a token, a webhook's
address or the text of a foreign exception, which may quote them.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Protocol

from queue_worker.notices.notice import Message, rendered


@dataclass(frozen=True, slots=True)
class Sent:
    """Slack has the message."""

    how: str  # as the queue's record says it


@dataclass(frozen=True, slots=True)
class Later:
    """Not now. `ambiguous`: Slack may have the message, only its answer did not come."""

    why: str
    ambiguous: bool = False
    after_s: float = 0.0  # as Slack asked; 0: whenever the caller likes


@dataclass(frozen=True, slots=True)
class Refused:
    """Never, until somebody changes something."""

    why: str
    fix: str = ""


class Lookup(Enum):
    """What looking for a message can answer when it is not simply there."""

    ABSENT = "absent"
    BLIND = "blind"  # this transport, or this token, cannot look


Outcome = Sent | Later | Refused


@dataclass(frozen=True, slots=True)
class Place:
    """Where a notice goes. Order is kept within a channel."""

    channel: str
    aside: str = ""


class Poster(Protocol):
    """One way to reach people."""

    gap_s: float  # least time between two messages in one channel

    def place(self, notify: str, user: str) -> Place:
        """Where the notice of this user's run goes; pure."""

    def mention(self, user: str) -> str:
        """Slack's id of this user, or nothing."""

    def post(self, channel: str, message: Message, key: str) -> Outcome:
        """Post once. `key` marks the message so that it can be found again."""

    def find(self, channel: str, key: str, since: float) -> Sent | Lookup | Later:
        """Whether the message with this key was posted after `since`."""

    def describe(self) -> str:
        """One line for a banner. Asks Slack, but never fails."""


class File:
    """A file, one JSON object a line, `rendered` for people: for trying out, and without Slack."""

    gap_s = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def place(self, notify: str, user: str) -> Place:
        return Place(f"@{user}" if notify == "@me" else notify)

    def mention(self, user: str) -> str:
        return ""

    def post(self, channel: str, message: Message, key: str) -> Outcome:
        line = {
            "event_id": key,
            "channel": channel,
            "rendered": rendered(message),
            "text": message.text,
            "blocks": message.blocks,
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                text = json.dumps(line, ensure_ascii=False) + "\n"
                file.write(_new_line(file) + text.encode(errors="replace"))
        except OSError as error:
            return Later(f"{self._path}: {error.strerror}")
        return Sent("file")

    def find(self, channel: str, key: str, since: float) -> Sent | Lookup | Later:
        try:
            written = self._path.read_text(errors="replace") if self._path.exists() else ""
        except OSError as error:
            return Later(f"{self._path}: {error.strerror}")
        start = json.dumps({"event_id": key})[:-1]
        lines = written.splitlines(keepends=True)
        whole = any(line.startswith(start) and line.endswith("}\n") for line in lines)
        return Sent("file") if whole else Lookup.ABSENT

    def describe(self) -> str:
        return f"the file {self._path}"


def _new_line(file: IO[bytes]) -> bytes:
    """What must come first when a full disk or a crash has cut the last line short."""
    if file.seek(0, os.SEEK_END) == 0:
        return b""
    file.seek(-1, os.SEEK_END)
    return b"" if file.read(1) == b"\n" else b"\n"
