"""The people's commands as tests use them: in this process, or as real ones."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from publisher import __main__ as publisher_cli
from publisher import queue_cli
from queue_worker.queue import Claim, Ending, Queue, Report
from schemas.run import Best, Cause, Progress, State, new_nonce
from schemas.settings import Settings
from support.runs import a_worker
from support.servers import TestServer
from support.waiting import PATIENCE_S, wait_until

GOOD = "model: {name: resnet10t}\ntrain: {epochs: 3}\n"
MODULES = {
    "publisher": "publisher",
    "queue": "publisher.queue_cli",
    "trainq": "publisher.trainq",
    "worker": "queue_worker",
    "trainer": "trainer",
}


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


class Desk:
    """Somebody's desk: their environment, a folder with a good config, and the door behind it."""

    def __init__(self, server: TestServer, folder: Path, user: str = "ana") -> None:
        self.server, self.folder, self.config = server, folder, folder / "good.yaml"
        self.config.write_text(GOOD)
        self.env = {
            "REDIS_URL": server.url,
            "TRAINQ_USER": user,
            "COLUMNS": "120",
            "TRAINQ_STATE": str(folder / "state"),
            "TRAINQ_PREFLIGHT_S": "0",
        }
        self.door = Queue.connect(Settings.read(self.env))
        self._processes: list[subprocess.Popen[str]] = []

    def queue(self, *words: str, **env: str) -> Answer:
        return self._inside(queue_cli.app(), words, env)

    def publisher(self, *words: str, **env: str) -> Answer:
        return self._inside(publisher_cli.app(), words, env)

    def submit(self, *words: str, **env: str) -> str:
        """Submit the good config; the id."""
        answer = self.publisher("submit", str(self.config), "--print-id", "--again", *words, **env)
        assert answer.code == 0, answer.err
        return answer.out.strip()

    def start(self, tool: str, *words: str, **env: str) -> "subprocess.Popen[str]":
        """A real process, with pipes."""
        process = subprocess.Popen(
            [sys.executable, "-m", MODULES[tool], *words],
            env={**os.environ, **self.env, **env},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Leave no process behind, whatever a test came to."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def run(self, tool: str, *words: str, **env: str) -> Answer:
        """A real process, to its end."""
        process = self.start(tool, *words, **env)
        out, err = process.communicate(timeout=PATIENCE_S)
        return Answer(process.returncode, out, err)

    def _inside(self, app: Any, words: tuple[str, ...], env: dict[str, str]) -> Answer:
        result = CliRunner().invoke(app, list(words), env={**self.env, **env})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)


def finish(door: Queue, claimed: Claim, value: float = 0.9, **result: float) -> None:
    """As a worker whose trainer was done."""
    best = Best(metric="accuracy", value=value, epoch=2)
    progress = Progress(step=30, steps=30, epoch=3, epochs=3)
    measured = {"accuracy": value, **result}
    ending = Ending(state=State.FINISHED, best=best, progress=progress, result=measured)
    door.end(claimed.run.id, claimed.token, ending)


def fail(door: Queue, claimed: Claim, cause: Cause = Cause.CODE, error: str = "it broke") -> None:
    """As a worker whose trainer died of its own fault."""
    ending = Ending(state=State.FAILED, cause=cause, error=error)
    door.end(claimed.run.id, claimed.token, ending)


def save(door: Queue, claimed: Claim, step: int = 20) -> None:
    """As a worker whose trainer saved a checkpoint."""
    path = f"attempts/{claimed.token}/checkpoints/step-{step}"
    door.checkpoint(claimed.run.id, claimed.token, path, step)


def lines(door: Queue, claimed: Claim, *texts: str, number: int = 1) -> None:
    """As a worker whose trainer printed."""
    door.report(claimed.run.id, claimed.token, Report(number=number, log=texts))


def claim_when_there(desk: Desk) -> Claim:
    """As a worker that waits for the bell."""
    return wait_until(lambda: desk.door.claim(a_worker(), new_nonce()), what="a run to claim")
