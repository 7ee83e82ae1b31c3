"""A W&B on loopback: as much of its server as `wandb-core` needs to send a run, and what it got.

It knows one run at a time, and may be taken away in the middle.
"""

import gzip
import json
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HISTORY = "wandb-history.jsonl"


class WandbServer:
    """Takes rows; answers a run that comes back with what it has of it."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {}  # as it was announced last
        self.rows: list[dict[str, Any]] = []
        self.ends: list[int] = []  # exit codes
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign] # who hangs up
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.gone = False

    def start(self) -> "WandbServer":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """No new connection is taken, and no open one is answered."""
        if not self.gone:
            self.gone = True
            self._http.shutdown()
            self._http.server_close()

    def asked(self, question: str, said: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        if question == "UpsertBucket":
            new = not self.run
            self.run |= {name: value for name, value in said.items() if value is not None}
            return {"upsertBucket": {"bucket": self._bucket(), "inserted": new}}
        if question == "RunResumeStatus":
            bucket = self._bucket() if self.run else None
            return {"model": {**_project(), "bucket": bucket}}
        if question == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/{name}"} for name in said["files"]]
            return {"createRunFiles": {"runID": "bucket", "uploadHeaders": [], "files": files}}
        return {}

    def _bucket(self) -> dict[str, Any]:
        last = [json.dumps(row) for row in self.rows[-1:]]
        return {
            "id": "bucket",
            "name": self.run["name"],
            "displayName": self.run.get("displayName"),
            "config": "{}",
            "wandbConfig": '{"t": {}}',  # without it W&B takes the run for one that never began
            "summaryMetrics": "{}",
            "project": _project(),
            "historyLineCount": len(self.rows),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(last),
            "eventsTail": "[]",
        }

    def streamed(self, told: dict[str, Any]) -> None:
        """Lines of the run's files, and its end."""
        if history := told.get("files", {}).get(HISTORY):
            first, lines = history["offset"], history["content"]
            self.rows[first : first + len(lines)] = map(json.loads, lines)  # once, if sent again
        if told.get("complete"):
            self.ends.append(told["exitcode"])


def _project() -> dict[str, Any]:
    return {"id": "project", "name": "birds", "entity": {"id": "entity", "name": "ana"}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: WandbServer

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        said = json.loads(body)
        if not self.path.endswith("/graphql"):
            self.owner.streamed(said)
            self._answer({})
        elif question := re.match(r"\s*(?:query|mutation)\s+(\w+)", said["query"]):
            self._answer({"data": self.owner.asked(question[1], said.get("variables") or {})})

    def _answer(self, data: dict[str, Any]) -> None:
        if self.owner.gone:
            self.close_connection = True
            return
        body = json.dumps(data).encode()
        with suppress(OSError):  # who hangs up
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
