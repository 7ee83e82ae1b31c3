"""Runs that are shown on W&B and in TensorBoard: all of it arrives, no fault of theirs counts."""

import csv
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import offline
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, tiny, train
from support.waiting import PATIENCE_S, TORCH_S, wait_until
from support.wandb_server import WandbServer

from schemas.components.track import Track
from schemas.events import Epoch, Line, Order
from schemas.result import Result
from schemas.source import read
from trainer import checkpoint
from trainer.faults import Leave

IMPORTED = time.monotonic()
ALL: dict[str, Any] = {
    "to": ["wandb", "tensorboard"],
    "project": "birds",
    "tags": ["small"],
    "weights": True,
    "confusion": True,
    "wrong": 3,
    "grid": 4,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """A machine that stalls a process is no fault of W&B's."""
    from trainer.tracking import on_wandb, telling

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((telling, "LAST_S"), (telling, "LEAVING_S"), (on_wandb, "PROBE_S")):
            patch.setattr(module, name, PATIENCE_S)
        yield


@pytest.fixture(scope="module")
def shown(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Order:
    """A finished run, shown in both places."""
    run = tmp_path_factory.mktemp("runs") / "7k3m9q"
    order = order_for(run, data, tiny(track=ALL), name="small-birds", batch="first-look")
    assert train(order).exit_code == 0
    return order


def rows_on_wandb(order: Order, names: list[str]) -> list[list[float]]:
    return [[row[name] for name in names] for row in offline.history(folder_of(order).path)]


def table(order: Order) -> tuple[list[str], list[list[float]]]:
    with folder_of(order).metrics.open() as file:
        head, *rows = csv.reader(file)
    return head, [list(map(float, row)) for row in rows]


# ---- what arrives --------------------------------------------------------------------------------


def test_the_file_of_an_offline_run_holds_every_row_and_says_what_run_it_is(shown: Order) -> None:
    head, rows = table(shown)
    assert len(rows) == 3
    assert rows_on_wandb(shown, head) == rows
    (run,) = offline.records(folder_of(shown).path, "run")
    said = {key: run[key] for key in ("run_id", "display_name", "run_group", "job_type", "project")}
    assert list(said.values()) == ["7k3m9q", "small-birds", "first-look", "train", "birds"]
    assert run["tags"] == ["small"]
    assert offline.values(run["config"]["update"])["data"]["img_size"] == 32
    assert offline.exit_code(folder_of(shown).path) == 0


def test_wandb_gets_the_best_weights_the_confusion_matrix_wrong_images_and_a_grid(
    shown: Order,
) -> None:
    attempt = folder_of(shown)
    told = offline.records(attempt.path, "artifact")
    artifacts = [each for each in told if each["type"] == "model"]
    assert [{*each["aliases"]} for each in artifacts] == [{"latest", "best"}]
    (content,) = artifacts[0]["manifest"]["contents"]
    assert Path(content["local_path"]) == attempt.best / checkpoint.WEIGHTS
    (folder,) = attempt.path.glob("wandb/offline-run-*/files")
    tables = sorted(folder.glob("media/table/*confusion*.json"))
    counted = [sum(cell[2] for cell in json.loads(each.read_text())["data"]) for each in tables]
    assert {*counted} == {5}  # all that validate
    assert len(counted) in (2, 3)  # the first, the last, and the one between if it was the best
    last = offline.history(attempt.path)[-1]
    assert last["wrong.count"] == 3
    assert all(", is n0000000" in caption for caption in last["wrong.captions"])
    assert (folder / last["grid.path"]).is_file()
    assert [path.name for path in attempt.path.glob("wandb/artifacts")] == ["artifacts"]


def test_what_is_seen_is_told_with_the_time_of_the_attempt_so_far(shown: Order) -> None:
    told = map(json.loads, folder_of(shown).told.read_text().splitlines())
    seconds = [each["after_s"] for each in told if each["kind"] == "sight"]
    assert len(seconds) == 3
    assert 0 < seconds[0] < seconds[1] < seconds[2] < time.monotonic() - IMPORTED


def test_tensorboard_reads_every_row_and_the_pictures(shown: Order) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder_of(shown).tensorboard)).Reload()
    head, rows = table(shown)
    for column, name in enumerate(head):
        told = [(each.step, each.value) for each in events.Scalars(name)]
        expected = [(int(row[head.index("epoch")]), pytest.approx(row[column])) for row in rows]
        assert told == expected
    names = {"wrong", "grid", "confusion"}
    assert {*events.Tags()["images"]} - {f"best_{name}" for name in names} == names
    assert events.Images("grid")[-1].encoded_image_string.startswith(b"\xff\xd8\xff")  # JPEG


def test_the_file_of_a_resumed_attempt_holds_the_rows_of_all_and_a_left_one_is_no_finished_one(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(track={"to": ["wandb"]})
    first = order_for(tmp_path / "run", data, config)
    leave = Leave()
    train(first, lambda line: isinstance(line, Epoch) and leave.ask("the test"), leave=leave)
    assert offline.exit_code(folder_of(first).path) == 75
    assert offline.records(folder_of(first).path, "preempting")
    (newest,) = folder_of(first).checkpoints.glob("step-*")
    second = order_for(tmp_path / "run", data, config, resume=str(newest))
    assert train(second).exit_code == 0
    head, rows = table(second)
    assert rows_on_wandb(second, head) == rows
    assert len(rows) == 3


def test_a_run_that_fails_is_a_failed_one_there_too(tmp_path: Path) -> None:
    order = order_for(tmp_path / "run", tmp_path / "nothing", tiny(track={"to": ["wandb"]}))
    assert train(order).exit_code == 3
    assert offline.exit_code(folder_of(order).path) == 3


# ---- what goes wrong -----------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """Of all its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in bytes_of(each).split()]


def follower() -> int:
    """The process that tells W&B of a run of this process."""
    for child in children(os.getpid()):
        if b"\0follow\0" in command(child):
            return child
    return 0


def command(pid: int) -> bytes:
    """What a process was started as."""
    return bytes_of(Path(f"/proc/{pid}/cmdline"))


def bytes_of(path: Path) -> bytes:
    """Of a process or a thread that has just ended: nothing."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def service() -> list[int]:
    return [each for each in children(follower()) if b"wandb-core" in command(each)]


WHY = {
    signal.SIGKILL: "it has failed",
    signal.SIGSTOP: "it has not taken everything in time",
}


@pytest.mark.parametrize("number", [*WHY])
def test_the_end_or_the_silence_of_wandbs_own_process_in_mid_run_changes_no_weight(
    number: signal.Signals,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from trainer.tracking import telling

    if number == signal.SIGSTOP:
        monkeypatch.setattr(telling, "LAST_S", 1.0)  # it will be waited for in vain
    struck: list[int] = []

    def strike(line: Line) -> None:
        if isinstance(line, Epoch) and line.epoch == 1:
            struck.extend(wait_until(service))
            os.kill(struck[0], number)

    alone = train(order_for(tmp_path / "alone", data, tiny()))
    order = order_for(tmp_path / "run", data, tiny(track={"to": ["wandb"]}))
    result = train(order, strike)
    assert struck
    assert finals(result) == finals(alone)
    assert not follower()
    said = capfd.readouterr().err
    assert said.count("the run goes on without W&B") == (number == signal.SIGKILL)
    assert said.count("W&B has not taken everything in 1 s") == (number == signal.SIGSTOP)
    assert f"W&B: offline, {WHY[number]}; later: wandb sync" in said
    wait_until(lambda: not command(struck[0]), what="the end of W&B's own process")
    head, rows = table(order)
    assert rows_on_wandb(order, head) == rows  # written anew


def finals(result: Result) -> tuple[int, Any, dict[str, float]]:
    return result.exit_code, result.facts["final_weights_sha256"], result.metrics


class Answer(BaseHTTPRequestHandler):
    """Says one number to everything."""

    number = 200

    def do_GET(self) -> None:
        self.send_response(self.number)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that answers with the parameter, and no more."""
    handler = type("Handler", (Answer,), {"number": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Silence:
    """A server that takes connections and never says a word; how long each was waited for."""

    def __init__(self, server: socket.socket) -> None:
        self.server, self.waited = server, list[float]()
        self.url = f"http://127.0.0.1:{server.getsockname()[1]}"
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        with suppress(OSError):  # the test is over
            while True:
                asked, _ = self.server.accept()
                began = time.monotonic()
                with asked, suppress(OSError):
                    while asked.recv(4096):
                        pass
                self.waited.append(time.monotonic() - began)


@pytest.fixture
def silence() -> Iterator[Silence]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Silence(server)
        server.shutdown(socket.SHUT_RDWR)


KEY = {"WANDB_API_KEY": "a" * 40}


@pytest.mark.parametrize(
    ("answering", "mode"),
    [(200, "online"), (404, "online"), (503, "offline")],
    indirect=["answering"],
)
def test_the_server_is_asked_before_the_run_is_sent_there(answering: str, mode: str) -> None:
    from trainer.tracking.on_wandb import mode_of

    assert mode_of(KEY | {"WANDB_BASE_URL": answering})[0] == mode


def test_a_port_where_nobody_listens_is_no_server() -> None:
    from trainer.tracking.on_wandb import mode_of

    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"http://127.0.0.1:{server.getsockname()[1]}"
    began = time.monotonic()
    mode, why = mode_of(KEY | {"WANDB_BASE_URL": gone})
    assert mode == "offline" and "refused" in why
    assert time.monotonic() - began < 20


def test_a_run_does_not_wait_while_a_server_that_never_answers_is_given_its_3_s(
    silence: Silence,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The probe as it is, in a process that may not even go on before the last epoch is over."""
    for name, value in {**KEY, "WANDB_BASE_URL": silence.url}.items():
        monkeypatch.setenv(name, value)
    held: list[int] = []
    in_vain = threading.Event()

    def give_up() -> None:
        in_vain.set()
        os.kill(held[0], signal.SIGCONT)

    late = threading.Timer(TORCH_S, give_up)
    late.daemon = True

    def hold(line: Line) -> None:
        if not held:
            held.append(wait_until(follower))
            os.kill(held[0], signal.SIGSTOP)
            late.start()
        if isinstance(line, Epoch) and line.epoch == 3:
            late.cancel()
            os.kill(held[0], signal.SIGCONT)

    order = order_for(tmp_path / "run", data, tiny(track={"to": ["wandb"]}))
    assert train(order, hold).exit_code == 0
    assert not in_vain.is_set()
    assert "W&B: offline, no server: timed out" in capfd.readouterr().err
    assert len(silence.waited) == 1 and silence.waited[0] < 30
    head, rows = table(order)
    assert rows_on_wandb(order, head) == rows


@pytest.mark.parametrize(
    ("env", "mode"),
    [
        ({"WANDB_MODE": "disabled"}, "disabled"),
        ({"WANDB_MODE": "offline"}, "offline"),
        ({"NETRC": "/nowhere"}, "offline"),
    ],
)
def test_the_environment_may_say_where_wandb_writes(env: dict[str, str], mode: str) -> None:
    from trainer.tracking.on_wandb import mode_of

    assert mode_of(env)[0] == mode


@pytest.mark.parametrize("answering", [403], indirect=True)
def test_a_server_that_does_not_take_the_run_leaves_it_offline(
    answering: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**KEY, "WANDB_BASE_URL": answering}.items():
        monkeypatch.setenv(name, value)
    order = order_for(tmp_path / "run", data, tiny(track={"to": ["wandb"]}))
    assert train(order).exit_code == 0
    head, rows = table(order)
    assert rows_on_wandb(order, head) == rows


# ---- with a server -------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WandbServer]:
    """W&B, and the environment of somebody who has an account there."""
    server = WandbServer().start()
    for name, value in {**KEY, "WANDB_BASE_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def test_wandb_gets_each_row_once_from_all_attempts_of_a_run(
    server: WandbServer, data: Path, tmp_path: Path
) -> None:
    config = tiny(track={"to": ["wandb"], "project": "birds"})
    names = {"name": "small-birds", "batch": "first-look"}
    first = order_for(tmp_path / "7k3m9q", data, config, **names)
    leave = Leave()
    train(first, lambda line: isinstance(line, Epoch) and leave.ask("the test"), leave=leave)
    assert [row["epoch"] for row in server.rows] == [1]
    (newest,) = folder_of(first).checkpoints.glob("step-*")
    second = order_for(tmp_path / "7k3m9q", data, config, resume=str(newest), **names)
    assert train(second).exit_code == 0
    head, rows = table(second)
    assert [[row[name] for name in head] for row in server.rows] == rows
    assert server.ends == [75, 0]
    told = ("name", "displayName", "groupName", "project", "jobType")
    said = ["7k3m9q", "small-birds", "first-look", "birds", "train"]
    assert [server.run[name] for name in told] == said


def test_a_server_that_goes_away_in_mid_run_changes_no_weight(
    server: WandbServer,
    data: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it has not got stands in the file that `wandb sync` takes."""
    from trainer.tracking import telling

    monkeypatch.setattr(telling, "LAST_S", 1.0)
    alone = train(order_for(tmp_path / "alone", data, tiny()))

    def strike(line: Line) -> None:
        if isinstance(line, Epoch) and line.epoch == 2:
            wait_until(lambda: server.run, what="the run on W&B")
            server.stop()

    order = order_for(tmp_path / "run", data, tiny(track={"to": ["wandb"]}))
    assert finals(train(order, strike)) == finals(alone)
    assert not follower()
    assert "W&B has not taken everything in 1 s" in capfd.readouterr().err
    head, rows = table(order)
    assert rows_on_wandb(order, head) == rows


# ---- when it is off ------------------------------------------------------------------------------


def test_by_default_nobody_is_told_and_no_config_means_anything_else() -> None:
    plain = read("model: {name: test_vit}", "a.yaml").config
    assert plain.track == Track()
    told = read("model: {name: test_vit}\ntrack: {to: [wandb], project: birds}", "b.yaml").config
    assert told.experiment() == plain.experiment()


def test_a_trainer_loads_neither_wandb_nor_tensorboard() -> None:
    leaves = "os._exit = lambda code: (print('loaded', *sys.modules), sys.exit(0))"
    code = f"import os, sys, trainer.__main__ as start; {leaves}; start.main()"
    said = subprocess.run(
        [sys.executable, "-c", code, "attend", "--parent", str(os.getpid())],
        input=b"",
        capture_output=True,
        check=True,
    ).stderr.decode()
    loaded = said.partition("loaded ")[2].split()
    assert "timm" in loaded
    assert not {"wandb.sdk", "tensorboard", "optuna"} & {*loaded}


def test_a_follower_loads_no_torch() -> None:
    code = "import sys, trainer.tracking.on_wandb, trainer.tracking.on_tensorboard"
    said = subprocess.check_output(
        [sys.executable, "-c", f"{code}; print(*sys.modules)"], text=True
    )
    assert "torch" not in said.split()


def test_weights_are_for_wandb_alone(caplog: pytest.LogCaptureFixture) -> None:
    from schemas.errors import ConfigError

    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigError, match="only W&B takes weights"):
        read("model: {name: test_vit}\ntrack: {to: [tensorboard], weights: true}", "a.yaml")
