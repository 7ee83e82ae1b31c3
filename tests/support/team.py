"""A team on one machine: its settings, its commands and its workers, all real processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from queue_worker.queue import Queue
from schemas.run import ENDED, Run, State
from schemas.settings import Settings
from support.servers import patient
from support.waiting import PATIENCE_S, TORCH_S, wait_until
from support.workers import LEASE_S, expire

REPOSITORY = Path(__file__).parents[2]


class Team:
    """What the people of a team would have set up; `close` ends everything that it started."""

    def __init__(self, url: str, folder: Path, lease_s: float = LEASE_S) -> None:
        self.folder = folder
        self.data, self.runs, self.notices = folder / "data", folder / "runs", folder / "notices"
        self.data.mkdir(parents=True)
        self.env = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "REDIS_URL": patient(url) if url else "",  # without one: the private server
            "TRAINQ_RUNS": str(self.runs),
            "TRAINQ_DATA": str(self.data),
            "TRAINQ_STATE": str(folder / "state"),
            "TRAINQ_CACHE": str(folder / "cache"),
            "TRAINQ_LEASE_S": str(lease_s),
            "TRAINQ_GRACE_S": "30",
            "TRAINQ_USER": "ana",
            "TRAINQ_PREFLIGHT_S": "0",
            "TRAINQ_SLACK_FILE": str(self.notices),
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self._door: Queue | None = None

    @property
    def door(self) -> Queue:
        """A new one where the private server may be another by now."""
        if not self._door or not self.env["REDIS_URL"]:
            self._door = Queue.connect(Settings.read(self.env))
        return self._door

    def config(self, name: str, text: str) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def say(self, module: str, *args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Type a command and read what it says; `code` is the exit code that it must have."""
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, args)],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        said = f"{args}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def publisher(self, *args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.say("publisher", *args, code=code)

    def queue(self, *args: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.say("publisher.queue_cli", *args, code=code)

    def submit(self, *args: object) -> str:
        """Submit one config; its id."""
        return self.publisher("submit", *args, "--print-id").stdout.strip()

    def worker(self, *args: str, gpu: str = "cpu", **env: str) -> subprocess.Popen[bytes]:
        """Start a worker in a session of its own, as a shell or systemd would."""
        log = (self.folder / f"worker-{gpu.replace(':', '-')}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "queue_worker", "--gpu", gpu, *args],
            env={**self.env, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.processes.append(process)
        return process

    def said_by_worker(self, gpu: str = "cpu") -> str:
        return (self.folder / f"worker-{gpu.replace(':', '-')}.log").read_text()

    def get(self, run_id: str) -> Run:
        return self.door.get(run_id)

    def until(self, run_id: str, state: State, limit_s: float = TORCH_S) -> Run:
        """The run once it is in this state; fails early when it ended otherwise."""

        def there() -> Run | None:
            run = self.get(run_id)
            if run.state in ENDED and run.state is not state:
                raise AssertionError(f"{run_id} is {run.state}: {run.cause} {run.error}")
            return run if run.state is state else None

        found = wait_until(there, limit_s, f"{run_id} to be {state}")
        assert found
        return found

    def until_step(self, run_id: str, step: int, limit_s: float = TORCH_S) -> Run:
        """The running run once it has a checkpoint at this step or later."""
        return wait_until(
            lambda: run if (run := self.get(run_id)).checkpoint_step >= step else None,
            limit_s,
            f"a checkpoint of {run_id} at step {step}",
        )  # type: ignore[return-value] # wait_until returns only true values

    def frozen(self, submit: Callable[[], str], pid: int, step: int) -> str:
        """A run that stands still, with its worker, behind a checkpoint at this step. Where the
        machine has stalled us for longer than a run takes, another one follows.
        """
        while True:
            run_id = submit()
            self.until_step(run_id, step)
            signal_all(tree(pid), signal.SIGSTOP)
            if self.get(run_id).state is State.RUNNING:
                return run_id
            signal_all(tree(pid), signal.SIGCONT)

    def expire(self, run_id: str) -> None:
        """As if the worker of the run had been silent for longer than its lease."""
        with redis.Redis.from_url(self.env["REDIS_URL"]) as client:
            expire(client, run_id)

    def told(self) -> list[str]:
        """The ids of the runs whose notice went to the file."""
        lines = self.notices.read_text().splitlines() if self.notices.exists() else []
        return [json.loads(line)["event_id"].partition("-")[0] for line in lines]

    def left_over(self) -> list[int]:
        """Processes of this team that still live: their environment names its runs root."""
        mark = f"TRAINQ_RUNS={self.runs}".encode()
        found = []
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                state = (proc / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if state != "Z" and mark in (proc / "environ").read_bytes():
                    found.append(int(proc.name))
            except OSError:
                continue
        return found

    def close(self) -> None:
        """End everything, frozen or not, and insist that nothing is left."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
        signal_all(self.left_over(), signal.SIGKILL)
        wait_until(lambda: not self.left_over(), what="the team's processes to be gone")


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """To those that still live."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def tree(pid: int) -> list[int]:
    """A process and all its descendants, wherever their sessions are."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found
