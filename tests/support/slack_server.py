"""Slack as far as trainq needs it: a real HTTP server on loopback, strict, with faults to order.

It refuses what Slack refuses (limits, scopes, unknown channels) and shows what it has accepted.
"""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

TOKEN = "xoxb-CANARY-0123456789-token"
HOOK = "/services/T0/B0/CANARY-0123456789-hook"
SCOPES = (
    *("chat:write", "im:write", "channels:read", "groups:read"),
    *("channels:history", "groups:history", "im:history"),
)
LONGEST_HANG_S = 20.0
PAGE = 3  # small, so that paging is always exercised


class Fault:
    """What happens to a call instead of, or after, being processed."""

    def __init__(self, status: int = 200, error: str = "", retry_after: float = 0) -> None:
        self.status, self.error, self.retry_after = status, error, retry_after


RESET = Fault()  # dropped before it is processed
LOSE_REPLY = Fault()  # processed, and the answer never leaves
HANG = Fault()  # read, never processed, no answer
HOLD = Fault()  # read; processed and answered when the test says so: `release`
GARBAGE = Fault()  # what a hotel's login page says


def rate_limited(seconds: float) -> Fault:
    return Fault(429, "ratelimited", seconds)


def broken(status: int = 500) -> Fault:
    return Fault(status, "internal_error")


def refusal(code: str) -> Fault:
    return Fault(200, code)


class SlackServer:
    """Start it, order faults, look at `messages`."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []  # accepted, in order
        self.calls: list[tuple[str, float]] = []  # method, when
        self.scopes = set(SCOPES)
        self.channels = {"#ml-runs": "C0RUNS", "#birds": "C0BIRDS", "#faces": "C0FACES"}
        self.least_gap_s = 0.0  # faster than this in a channel is answered with 429
        self.release = threading.Event()
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._http: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/"

    @property
    def webhook_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{HOOK}"

    def start(self) -> "SlackServer":
        """Listen; the second time on the same port, as a service that comes back does."""
        handler = type("Handler", (_Handler,), {"slack": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        """From now on connections are refused."""
        assert self._http
        self.release.set()
        self._http.shutdown()
        self._http.server_close()

    def order(self, method: str, fault: Fault, times: int = 1) -> None:
        self._faults[method].extend([fault] * times)

    def next_fault(self, method: str) -> Fault | None:
        with self._lock:
            self.calls.append((method, time.monotonic()))
            return self._faults[method].popleft() if self._faults[method] else None

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def texts(self, channel: str = "C0RUNS") -> list[str]:
        return [str(m["text"]) for m in self.messages if m["channel"] == channel]

    # ---- the methods -------------------------------------------------------------------------

    def answer(self, method: str, asked: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        with self._lock:
            if token != TOKEN:
                return _no("invalid_auth")
            methods = {
                "auth.test": self._auth_test,
                "chat.postMessage": self._post,
                "conversations.history": self._history,
                "conversations.open": self._open,
                "users.conversations": self._channels,
            }
            return methods[method](asked) if method in methods else _no("unknown_method")

    def answer_hook(self, asked: Mapping[str, Any]) -> str:
        with self._lock:
            if problem := _problem(asked):
                return problem
            self._accept("C0RUNS", asked)
            return "ok"

    def _auth_test(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"ok": True, "user": "trainq", "team": "vision"}

    def _post(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        channel = self.channels.get(asked["channel"], asked["channel"])
        known = channel in self.channels.values() or channel.startswith("D")
        if "chat:write" not in self.scopes:
            return _missing("chat:write")
        if not known:
            return _no("channel_not_found")
        if problem := _problem(asked):
            return _no(problem)
        return {"ok": True, "channel": channel, "ts": self._accept(channel, asked)}

    def _accept(self, channel: str, asked: Mapping[str, Any]) -> str:
        ts = f"{time.time() + len(self.messages) * 1e-6:.6f}"
        self.messages.append({**asked, "channel": channel, "ts": ts, "at": time.monotonic()})
        return ts

    def _history(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        channel = asked["channel"]
        needed = "im:history" if channel.startswith("D") else "channels:history"
        if needed not in self.scopes:
            return _missing(needed)
        if not channel.startswith("D") and channel not in self.channels.values():
            return _no("channel_not_found")  # a #name is none here
        oldest = float(asked.get("oldest", 0))
        newest_first = [m for m in reversed(self.messages) if m["channel"] == channel]
        found = [m for m in newest_first if float(m["ts"]) > oldest]
        if asked.get("include_all_metadata") not in ("1", "true", True):
            found = [{**m, "metadata": None} for m in found]
        return _page("messages", found, asked)

    def _open(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        if "im:write" not in self.scopes:
            return _missing("im:write")
        return {"ok": True, "channel": {"id": f"D{asked['users']}"}}

    def _channels(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        if "private" in asked["types"] and "groups:read" not in self.scopes:
            return _missing("groups:read")
        if "channels:read" not in self.scopes:
            return _missing("channels:read")
        rows = [{"name": name[1:], "id": known} for name, known in self.channels.items()]
        return _page("channels", rows, asked)

    def too_fast(self, asked: Mapping[str, Any]) -> bool:
        channel = self.channels.get(str(asked.get("channel")), asked.get("channel"))
        before = [m["at"] for m in self.messages if m["channel"] == channel]
        return bool(before) and time.monotonic() - before[-1] < self.least_gap_s


class _Handler(BaseHTTPRequestHandler):
    slack: SlackServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        method = "webhook" if self.path == HOOK else self.path.removeprefix("/api/")
        fault = self.slack.next_fault(method)
        if fault in (HANG, HOLD):
            self.slack.release.wait(LONGEST_HANG_S)
        if fault in (RESET, HANG):
            return self._drop()
        asked = self._asked(body)
        if fault is None and method == "chat.postMessage" and self.slack.too_fast(asked):
            fault = rate_limited(self.slack.least_gap_s)
        if fault is GARBAGE:
            return self._say(200, b"<html>please log in</html>", {})
        if fault is not None and fault.error:
            headers = {"Retry-After": f"{fault.retry_after:g}"} if fault.retry_after else {}
            return self._say(fault.status, _body(method, fault.error), headers)
        self._process(method, asked, lose=fault is LOSE_REPLY)

    def _process(self, method: str, asked: Mapping[str, Any], lose: bool) -> None:
        if method == "webhook":
            said = self.slack.answer_hook(asked)
            status, body = 200 if said == "ok" else 400, said.encode()
        else:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, body = 200, json.dumps(self.slack.answer(method, asked, token)).encode()
        granted = {"X-OAuth-Scopes": ",".join(sorted(self.slack.scopes))}
        return self._drop() if lose else self._say(status, body, granted)

    def _asked(self, body: bytes) -> Mapping[str, Any]:
        if self.headers["Content-Type"].startswith("application/json"):
            return dict(json.loads(body or b"{}"))
        return dict(parse_qsl(body.decode()))

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        with contextlib.suppress(ConnectionError):  # who asked may be dead by now
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def _drop(self) -> None:
        """A reset, as a dying machine sends it."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        os.close(self.connection.detach())
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the test looks at what was accepted."""


def _body(method: str, error: str) -> bytes:
    return error.encode() if method == "webhook" else json.dumps(_no(error)).encode()


def _no(error: str) -> Mapping[str, Any]:
    return {"ok": False, "error": error}


def _missing(scope: str) -> Mapping[str, Any]:
    return {"ok": False, "error": "missing_scope", "needed": scope, "provided": "something"}


def _page(what: str, rows: list[Any], asked: Mapping[str, Any]) -> Mapping[str, Any]:
    start = int(asked.get("cursor") or 0)
    after = str(start + PAGE) if start + PAGE < len(rows) else ""
    shown = rows[start : start + PAGE]
    return {"ok": True, what: shown, "response_metadata": {"next_cursor": after}}


def _problem(asked: Mapping[str, Any]) -> str:
    """What Slack would not take: its documented limits, and the switches we promise to set."""
    if not asked.get("text"):
        return "no_text"
    blocks = asked.get("blocks", [])
    if not 0 < len(blocks) <= 50 or len({b["block_id"] for b in blocks if "block_id" in b}) > 1:
        return "invalid_blocks"
    for block in blocks:
        text, header = block["text"], block["type"] == "header"
        kind, limit = ("plain_text", 150) if header else ("mrkdwn", 3000)
        if text["type"] != kind or not 0 < len(text["text"]) <= limit:
            return "invalid_blocks"
        if len(block.get("block_id", "")) > 255:
            return "invalid_blocks"
    quiet = not asked.get("unfurl_links", True) and not asked.get("unfurl_media", True)
    return "" if quiet else "unfurls"
