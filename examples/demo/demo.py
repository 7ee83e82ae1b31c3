"""`make demo`: the whole path with the real commands, as a transcript that checks itself.

A private server, a data set, a refused config, four runs and a retry, one worker, results, notices.
Everything is under .demo/ and nothing keeps running; a step that does not do what it says ends it
with an error.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from queue_worker.door import embedded
from schemas.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / ".demo"
SERVER = DEMO / "state" / "redis"
LIMIT_S = 900  # a demo that hangs is a demo that failed
ENDS = {
    "interrupted": "cancelled",
    "resnet": "finished",
    "too-hot": "failed",
    "efficientnet": "finished",
    "interrupted-r2": "finished",
}
NEXT = """
Next, with your own things:
  a config   cp examples/sketch_small.yaml mine.yaml, then: publisher validate mine.yaml
  a GPU      on its host: export TRAINQ_DATA=<folder of data sets>, then: worker --gpu 0
  a Redis    export REDIS_URL=redis://:<password>@<host>:6379/0   for workers and laptops alike
  Slack      export SLACK_BOT_TOKEN=<xoxb-...> SLACK_CHANNEL='#runs'   where the worker runs
  The commands are in .venv/bin; README.md goes on from here."""

began = time.monotonic()


class StepFailed(Exception):
    """A step of the demo did not do what it says."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_S)
    tidy()
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    try:
        story()
    except StepFailed as failure:
        sys.exit(f"\nerror: the demo failed: {failure}\n  where: .demo/worker.log, .demo/runs")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        left = tidy()
    if left:
        sys.exit(f"\nerror: the demo failed: it left processes behind: {', '.join(left)}")
    print(NEXT)
    print(
        f"\nThe demo did all that it said in {time.monotonic() - began:.0f} s; no process is left."
    )


def story() -> None:
    chapter("A data set in the users' layout: eight classes of sketches, drawn here and now")
    shell("python examples/sketch/sketches.py .demo/data/sketch")

    chapter("A config with mistakes is refused: all of them at once, each with its place")
    said = shell("publisher submit examples/demo/refused.yaml", code=2)
    check("3 errors" in said and "did you mean" in said, "not all mistakes were shown")

    chapter("Four runs go into the queue; the server is private and starts by itself")
    shell("publisher submit examples/demo/efficientnet.yaml train.epochs=16 --name interrupted")
    shell("publisher submit examples/demo/resnet.yaml")
    shell("publisher submit examples/demo/resnet.yaml optim.lr=1e6 --name too-hot")
    shell("publisher submit examples/demo/efficientnet.yaml")

    chapter("A worker takes them one by one; this is what the first one says")
    worker = start_worker()
    follow("queue logs interrupted -f", until="epoch 3/", then=cancel)

    chapter("The cancelled run kept its checkpoint: a retry goes on from there")
    check("goes on from step" in shell("publisher retry interrupted"), "the retry starts over")
    shell("queue list")
    for name in ("resnet", "too-hot", "efficientnet"):
        follow(f"queue logs {name} -f")
    said = follow("queue logs interrupted-r2 -f")
    check("goes on from step" in said and "epoch 1/" not in said, "the retry trained from step 0")
    check(worker.wait() == 0, f"the worker ended with {worker.returncode}")

    chapter("What came out, and what the worker wrote meanwhile")
    shell("cat .demo/worker.log")
    shell("queue list")
    shell("queue results")
    check_ends()
    chapter("What Slack would have been told, here written to .demo/slack.jsonl")
    show_notices()


def cancel() -> None:
    shell("queue cancel interrupted --reason 'too long' --wait")


def start_worker() -> "subprocess.Popen[bytes]":
    """The worker of the demo; it leaves when nothing is left to do."""
    print("$ worker --gpu cpu --burst &> .demo/worker.log &", flush=True)
    with (DEMO / "worker.log").open("wb") as log:
        return subprocess.Popen(
            ["worker", "--gpu", "cpu", "--burst"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


# ---- what must have come of it -------------------------------------------------------------------


def check_ends() -> None:
    """Every run ended as its part of the story says, and the good ones have learnt something."""
    runs = {run["name"]: run for run in ask("queue list --all --json")["runs"]}
    ends = {name: run["state"] for name, run in runs.items()}
    check(ends == ENDS, f"the runs ended as {ends}")
    check(runs["too-hot"]["cause"] == "diverged", "the hot run did not diverge")
    check(runs["interrupted"]["checkpoint_step"] > 0, "the cancelled run has no checkpoint")
    for name, run in runs.items():
        value = run["best"]["value"] if run["state"] == "finished" else 1
        check(value > 0.3, f"{name} has learnt nothing: accuracy {value:.2f}")  # by chance: 0.125
    retried = runs["interrupted-r2"]["retry_of"]
    check(retried == runs["interrupted"]["id"], "the retry does not know its first run")


def show_notices() -> None:
    """One notice a run, as it would stand in the channel."""
    lines = (DEMO / "slack.jsonl").read_text().splitlines()
    notices: list[str] = [json.loads(line)["rendered"] for line in lines]
    for notice in notices:
        print("\n".join(f"  | {row}" for row in notice.splitlines()), end="\n\n")
    told = sorted(notice.split()[1] for notice in notices)
    check(told == sorted(ENDS), f"not one notice a run: {told}")


def check(good: bool, otherwise: str) -> None:
    if not good:
        raise StepFailed(otherwise)


def too_long(*_: object) -> None:
    raise StepFailed(f"it took longer than {LIMIT_S} s")


# ---- the terminal --------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """Only the demo's settings: neither the person's environment nor a .env file may leak in."""
    blank = {str(field.alias): "" for field in Settings.model_fields.values()}
    ours = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TRAINQ_STATE": str(DEMO / "state"),
        "TRAINQ_CACHE": str(DEMO / "cache"),
        "TRAINQ_RUNS": str(DEMO / "runs"),
        "TRAINQ_DATA": str(DEMO / "data"),
        "TRAINQ_SLACK_FILE": str(DEMO / "slack.jsonl"),
        "TRAINQ_USER": "you",
        "COLUMNS": str(min(shutil.get_terminal_size((100, 0)).columns, 120)),
        "FORCE_COLOR": "1" if sys.stdout.isatty() else "",
    }
    return {**os.environ, **blank, **ours}


ENVIRONMENT = environment()


def chapter(title: str) -> None:
    print(f"\n== {title}  [{time.monotonic() - began:.0f} s]\n", flush=True)


def shell(command: str, code: int = 0) -> str:
    """Run a command as a person would type it, show what it says, and check how it ends."""
    return follow(command, code=code)


def follow(
    command: str, *, until: str = "", then: Callable[[], None] | None = None, code: int = 0
) -> str:
    """The same, line by line; at the first line that holds `until`, do something beside it."""
    print(f"$ {command}", flush=True)
    said: list[str] = []
    with begin(command) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            said.append(line)
            if then and until in line:
                then()
                then = None
    check(then is None, f"`{command}` never said {until!r}")
    check(process.returncode == code, f"`{command}` ended with {process.returncode}, not {code}")
    print(flush=True)
    return "".join(said)


def ask(command: str) -> Any:
    """What a command says to a program."""
    with begin(command) as process:
        said, _ = process.communicate()
    check(process.returncode == 0, f"`{command}` ended with {process.returncode}: {said}")
    return json.loads(said)


def begin(command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        shlex.split(command),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# ---- nothing stays -------------------------------------------------------------------------------


def tidy() -> list[str]:
    """End what runs for this demo, also of one that was killed; what had to be killed."""
    running = ours()
    for process in running:
        process.terminate()  # a worker saves, takes its trainer along and leaves
    _, stubborn = psutil.wait_procs(running, timeout=20)
    names = [f"{process.pid} {process.name()}" for process in stubborn]
    for process in stubborn:
        process.kill()
    if SERVER.exists():
        embedded.stop(SERVER)
    return [*names, *(f"{process.pid} {process.name()}" for process in ours())]


def ours() -> list[psutil.Process]:
    """Processes that were started with this demo's settings."""
    mark = ENVIRONMENT["TRAINQ_STATE"]
    found = psutil.process_iter(["environ"])
    return [each for each in found if (each.info["environ"] or {}).get("TRAINQ_STATE") == mark]


if __name__ == "__main__":
    main()
