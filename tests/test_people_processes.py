"""The commands as real processes: exit codes, signals, pipes, colours, an absent Redis, imports."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.costs import least_cpu_s
from support.desk import Desk, fail, finish, lines
from support.runs import a_run, claim
from support.servers import ON_ONE_SERVER, TestServer
from support.terminal import Terminal
from support.waiting import PATIENCE_S

from queue_worker.queue import Ending
from schemas.run import Cause, State

pytestmark = ON_ONE_SERVER
HEAVY = {"torch", "timm", "torchvision", "pandas", "numpy", "sklearn", "wandb", "rq", "slack_sdk"}
LOADED = (
    "import sys, runpy, atexit, json\n"
    "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
)


def loaded_by(desk: Desk, *words: str) -> set[str]:
    """The top-level modules that a real process had loaded when it ended."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        env={**os.environ, **desk.env},
        cwd=desk.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def tops(modules: set[str]) -> set[str]:
    """The packages that they are of."""
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    "words",
    [
        ("publisher", "submit", "good.yaml", "--again"),
        ("publisher", "submit", "--help"),
        ("publisher.queue_cli", "list"),
        ("publisher.queue_cli", "show", "@last"),
        ("publisher.queue_cli", "results"),
    ],
)
def test_no_command_loads_what_only_a_host_needs(desk: Desk, words: tuple[str, ...]) -> None:
    """Nor, where runs are only looked at, what it takes to make a config: as long as all else."""
    desk.submit()
    loaded = loaded_by(desk, *words)
    assert not tops(loaded) & HEAVY
    assert words[0] == "publisher" or not loaded & {"schemas.config", "schemas.components"}


def test_validate_needs_no_redis(desk: Desk) -> None:
    loaded = loaded_by(desk, "publisher", "validate", "good.yaml")
    assert not tops(loaded) & {*HEAVY, "redis"}


def test_a_verb_loads_no_other_verb(desk: Desk) -> None:
    for words in (("publisher", "validate", "good.yaml"), ("publisher.queue_cli", "list")):
        loaded = loaded_by(desk, *words)
        commands = {name for name in loaded if name.startswith("publisher.commands.")}
        assert commands == {f"publisher.commands.{words[1]}"}


def test_a_list_of_5000_runs_costs_little_more_than_one_of_five(desk: Desk) -> None:
    desk.door.submit([a_run() for _ in range(5)])
    few = least_cpu_s(lambda: desk.run("queue", "list"))
    ids = [f"{number:06d}" for number in range(5000)]  # of random ones two may be alike
    for start in range(0, 5000, 500):
        desk.door.submit([a_run(id=run_id) for run_id in ids[start : start + 500]])
    answer = desk.run("queue", "list")
    assert answer.code == 0 and "5005 queued" in answer.out
    assert least_cpu_s(lambda: desk.run("queue", "list")) < 2 * few


@pytest.mark.parametrize(("end", "code"), [("finish", 0), ("fail", 1), ("cancel", 6), ("never", 5)])
def test_wait_exits_as_the_run_ended(desk: Desk, end: str, code: int) -> None:
    run_id = desk.submit()
    claimed = claim(desk.door)
    limit = "0.2s" if end == "never" else "40s"
    process = desk.start("queue", "wait", run_id, "--timeout", limit)
    if end == "finish":
        finish(desk.door, claimed)
    elif end == "fail":
        fail(desk.door, claimed)
    elif end == "cancel":
        ending = Ending(state=State.CANCELLED, cause=Cause.CANCELLED)
        desk.door.end(run_id, claimed.token, ending)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err
    assert "Traceback" not in err


def test_logs_follow_from_before_the_start_across_attempts_to_the_end(desk: Desk) -> None:
    run_id = desk.submit()
    process = desk.start("queue", "logs", run_id, "-f")
    assert process.stdout and process.stderr
    assert "waiting for its start" in process.stderr.readline()
    first = claim(desk.door)
    lines(desk.door, first, "attempt one")
    assert process.stdout.readline() == "attempt one\n"
    desk.door.end(run_id, first.token, Ending(state=State.QUEUED, cause=Cause.DRAINED))
    second = claim(desk.door)
    lines(desk.door, second, "attempt two", "last line")
    finish(desk.door, second)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out == "attempt two\nlast line\n"
    assert process.returncode == 0 and f"{run_id} resnet10t finished" in err


def test_ctrl_c_detaches_and_says_that_the_run_goes_on(desk: Desk) -> None:
    run_id = desk.submit()
    process = desk.start("queue", "logs", run_id, "-f")
    assert process.stderr
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert err == f"detached; the run goes on.  Cancel it: queue cancel {run_id}\n"
    assert desk.door.get(run_id).state is State.QUEUED


@pytest.fixture
def own_server(server: TestServer, tmp_path: Path) -> Iterator[TestServer]:
    """One that may be stopped."""
    own = TestServer(tmp_path / "own", server.kind).start()
    yield own
    own.kill()


def test_following_survives_a_redis_that_goes_and_comes_back(
    own_server: TestServer, tmp_path: Path
) -> None:
    desk = Desk(own_server, tmp_path)
    run_id = desk.submit()
    claimed = claim(desk.door)
    process = desk.start("queue", "logs", run_id, "-f")
    assert process.stderr
    process.stderr.readline()
    own_server.stop()
    assert "waiting for Redis" in process.stderr.readline()
    own_server.start()
    assert process.stderr.readline() == "Redis is back\n"
    lines(desk.door, claimed, "after the blink")
    finish(desk.door, claimed)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "after the blink\n")


def test_a_reader_that_leaves_early_is_no_error(desk: Desk) -> None:
    desk.door.submit([a_run() for _ in range(500)])
    process = desk.start("queue", "list", "--all", "--json")
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == ""
    assert process.wait(PATIENCE_S) == 0


def test_a_full_disk_is_one_block(desk: Desk) -> None:
    desk.submit()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "publisher.queue_cli", "list"],
            env={**os.environ, **desk.env},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "error: no space left on device\n")


def on_a_terminal(desk: Desk, *words: str, **env: str) -> str:
    """What a command writes when stdout and stderr are a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "publisher.queue_cli", *words],
        env={**os.environ, **desk.env, "TERM": "xterm", **env},
        stdout=follower,
        stderr=follower,
        close_fds=True,
    )
    os.close(follower)
    said = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the last writer is gone
            break
        if not chunk:
            break
        said += chunk
    process.wait(PATIENCE_S)
    os.close(leader)
    return said.decode()


def test_colour_only_on_a_terminal_and_no_color_wins(desk: Desk) -> None:
    run_id = desk.submit()
    bold = f"\x1b[1m{run_id}\x1b[0m"
    assert bold in on_a_terminal(desk, "list")
    assert "\x1b" not in on_a_terminal(desk, "list", TERM="dumb")
    assert "\x1b" not in desk.queue("list").out
    assert bold in desk.queue("list", FORCE_COLOR="1").out
    assert "\x1b" not in desk.queue("list", FORCE_COLOR="1", NO_COLOR="1").out


def test_wait_shows_progress_on_a_terminal_only(desk: Desk) -> None:
    run_id = desk.submit()
    with Terminal(desk, "queue", "wait", run_id) as terminal:
        said = terminal.until(f"; {run_id} queued")
    assert re.search(r"\r\x1b\[K0 of 1 ended after \d+s; ", said)
    assert "\r" not in desk.queue("wait", run_id, "--timeout", "0.1").err


def test_ctrl_c_at_a_question_changes_nothing_and_is_code_130(desk: Desk) -> None:
    desk.door.submit([a_run(user="bo") for _ in range(2)])
    with Terminal(desk, "queue", "cancel", "--all") as terminal:
        terminal.until("[y/N]")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.to_its_end() == 130
    assert terminal.seen.endswith("nothing was changed\r\n") and "Abort" not in terminal.seen
    assert desk.door.counts()[State.QUEUED] == 2


def test_a_table_has_the_width_of_its_terminal(desk: Desk) -> None:
    desk.submit("--name", "n" * 60)
    shown = desk.queue("list", COLUMNS="80").out
    assert max(map(len, shown.splitlines())) <= 80


def test_trainq_executes_its_sibling(desk: Desk) -> None:
    run_id = desk.submit()
    answer = desk.run("trainq", "queue", "list", "-o", "id")
    assert (answer.code, answer.out) == (0, f"{run_id}\n")
    assert desk.run("trainq", "queue", "show", "nonsense").code == 3
    assert desk.run("trainq").code == 2
    wrong = desk.run("trainq", "quueue")
    assert wrong.code == 2 and "did you mean 'queue'?" in wrong.err


def test_version(desk: Desk) -> None:
    assert desk.queue("--version").out.startswith("trainq ")
    assert desk.publisher("--version").out.startswith("trainq ")
