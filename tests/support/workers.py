"""Real worker processes with the fake trainer, and what tests ask about them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import redis

from queue_worker import host
from queue_worker.attempts import sweep
from queue_worker.queue import Queue, Submission
from schemas.run import ENDED, Run, new_id, new_nonce
from support.servers import TestServer
from support.waiting import PATIENCE_S, wait_until

GATE = "go-on"  # in the run folder
FAKE = f"{sys.executable} {Path(__file__).with_name('fake_trainer.py')}"
LEASE_S = 10.0  # no stall of some seconds may lose it; `Site.expire` does, at once


class TestWorker:
    """One worker process on a CPU lane."""

    __test__ = False

    def __init__(
        self, site: "Site", gpu: str, arguments: Sequence[str], env: dict[str, str]
    ) -> None:
        self.output = site.folder / f"worker-{gpu.replace(':', '-')}-{new_nonce()}.log"
        command = [sys.executable, "-m", "queue_worker", "--gpu", gpu, *arguments]
        if "--trainer-command" not in arguments:
            command += ["--trainer-command", FAKE]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **site.env, **env},
                stdout=output,
                stderr=output,
                cwd=site.folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self) -> str:
        return self.output.read_text()

    def ready(self) -> "TestWorker":
        wait_until(lambda: "ready" in self.said() or self.process.poll() is not None, what="worker")
        assert self.process.poll() is None, self.said()
        return self

    def trainers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()

    def stop_all(self, number: signal.Signals = signal.SIGSTOP) -> None:
        """A signal to the worker and to its trainers, as one."""
        for process in [psutil.Process(self.pid), *self.trainers()]:
            process.send_signal(number)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(PATIENCE_S)


class Site:
    """A queue, a runs root and the workers that a test starts on them."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.server = server = TestServer(folder / "srv").start()
        self.env = {
            "REDIS_URL": server.patient_url,
            "TRAINQ_RUNS": str(self.runs),
            "TRAINQ_CACHE": str(folder / "cache"),
            "TRAINQ_LEASE_S": str(LEASE_S),
            "TRAINQ_GRACE_S": "30",
            "TRAINQ_PREFLIGHT_S": "0",
            "TRAINQ_SLACK_FILE": str(folder / "notices.jsonl"),
            **env,
        }
        self.queue = Queue(server.client(), "trainq:", lease_s=LEASE_S)
        self.workers: list[TestWorker] = []

    def worker(self, gpu: str = "cpu", *arguments: str, **env: str) -> TestWorker:
        worker = TestWorker(self, gpu, arguments, env)
        self.workers.append(worker)
        return worker

    def submit(self, note: str = "", **fields: Any) -> str:
        run_id = new_id()
        config = {"note": note, "data": {"batch_size": 32}, **fields.pop("config", {})}
        said = {"id": run_id, "nonce": new_nonce(), "name": f"run-{run_id}", "user": "ana"}
        self.queue.submit([Submission(**{**said, "config": config, **fields})])
        return run_id

    def ended(self, run_id: str) -> Run:
        """The run, once it has ended."""
        wait_until(lambda: self.queue.get(run_id).state in ENDED, what=f"the end of {run_id}")
        return self.queue.get(run_id)

    def at_step(self, run_id: str, step: int, attempt: int = 1) -> Run:
        """The run, once this attempt has done this step."""
        wait_until(
            lambda: any(
                row["step"] >= step and row["token"].startswith(f"{attempt}-")
                for row in self.steps(run_id)
            ),
            what=f"step {step} of {run_id}",
        )
        return self.queue.get(run_id)

    def at_gate(self, run_id: str, step: int, saved: int = 0) -> Run:
        """The run, once it waits at its gate; Redis knows the checkpoint of step `saved`."""
        self.at_step(run_id, step)
        known = self.queue.get
        wait_until(lambda: known(run_id).checkpoint_step >= saved, what=f"checkpoint {saved}")
        return known(run_id)

    def open_gate(self, run_id: str) -> None:
        """Let it go on, this attempt and all that follow."""
        (self.runs / run_id / GATE).touch()

    def expire(self, run_id: str) -> None:
        """As if the worker of the run had been silent for longer than its lease."""
        expire(self.server.client(), run_id)

    def steps(self, run_id: str) -> list[dict[str, Any]]:
        """Every step that any attempt has done: the oracle."""
        log = self.runs / run_id / "steps.log"
        return [json.loads(row) for row in log.read_text().splitlines()] if log.exists() else []

    def kinds(self, run_id: str) -> list[str]:
        return [event.kind.value for event in self.queue.events(run_id=run_id)]

    def leftovers(self) -> list[int]:
        """Processes that still carry the mark of a trainer of this site."""
        found = ((pid, host.environment(pid)) for pid in host.neighbours() if host.start_time(pid))
        ours = str(self.runs)
        return [pid for pid, env in found if sweep.VARIABLE in env and env["TRAINQ_RUNS"] == ours]

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        self.server.kill()


def expire(client: "redis.Redis", run_id: str) -> None:
    """Its worker fell silent a minute ago, and Redis was there all the time to hear it."""
    minute_ago = client.time()[0] - 60
    lane = client.hget(f"trainq:run:{run_id}", "worker") or b""
    client.zadd("trainq:workers", {lane: minute_ago}, xx=True)
    client.zadd("trainq:leases:2", {run_id: minute_ago}, xx=True)
    client.delete("trainq:reap:hold")
