"""The warm trainer as its worker sees it: real processes, real signals, real silence."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from support.attendants import Attendant
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, result_of, tiny
from support.waiting import TORCH_S, wait_until

from schemas.config import TrainConfig
from schemas.events import Alive, Epoch, ExitCode, Order, Saved, parse_line
from schemas.run import Cause, Progress
from schemas.settings import Settings
from trainer import checkpoint
from trainer.entry.attend import GONE
from trainer.report import EventPipe

Start = Callable[..., Attendant]
LONG = tiny(train__epochs=10_000, train__save_every_steps=5)  # until somebody ends it
PATIENCE_S = 2.0  # of trainers that are to lose it; a quarter of it is for the last save
LONG_S = 5.0  # of those that are not, though a machine may stall us


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


@pytest.fixture
def attend(tmp_path: Path) -> Iterator[Start]:
    """Starts warm trainers, and ends those that still live."""
    started: list[Attendant] = []

    def start(**how: bool) -> Attendant:
        started.append(Attendant(tmp_path / f"trainer-{len(started)}", **how))
        return started[-1]

    yield start
    for trainer in started:
        trainer.kill()


def give(tmp_path: Path, data: Path, config: TrainConfig = LONG, **more: object) -> Order:
    return order_for(tmp_path / "run", data, config, **more)


def checkpoints(order: Order) -> list[Path]:
    """Whole checkpoints of an attempt, the furthest last; what is no whole one fails the test."""
    found = sorted(folder_of(order).checkpoints.glob("step-*"), key=checkpoint.step_of)
    assert [checkpoint.damage(folder) for folder in found] == [""] * len(found)
    return found


def test_a_run_that_was_killed_twice_ends_with_the_weights_and_rows_of_one_that_was_not(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    config = tiny(
        train={"epochs": 5, "save_every_steps": 3, "deterministic": True}, mix={"mixup": 0.2}
    )
    whole = order_for(tmp_path / "whole", data, config)
    assert attend().take(whole).code() == ExitCode.FINISHED
    expected = result_of(whole).facts["final_weights_sha256"]
    resume = ""
    for _ in range(2):
        order = give(tmp_path, data, config, resume=resume)
        trainer = attend().take(order)
        trainer.next(Saved)
        trainer.signal(signal.SIGKILL)
        assert trainer.code() == -signal.SIGKILL
        resume = str(checkpoints(order)[-1])
    last = give(tmp_path, data, config, resume=resume)
    assert attend().take(last).code() == ExitCode.FINISHED
    assert result_of(last).facts["started_at_step"] > 3
    assert result_of(last).facts["final_weights_sha256"] == expected
    assert folder_of(last).metrics.read_text() == folder_of(whole).metrics.read_text()


def test_sigterm_saves_at_the_next_step_and_leaves_with_75(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    order = give(tmp_path, data, tiny(train__epochs=10_000))
    trainer = attend().take(order)
    trainer.next(Epoch)
    trainer.signal(signal.SIGTERM)
    assert trainer.code() == ExitCode.SAVED
    result = result_of(order)
    assert (result.exit_code, result.cause) == (ExitCode.SAVED, None)
    assert [checkpoint.step_of(folder) for folder in checkpoints(order)] == [result.step]
    assert trainer.next(Saved).step == result.step


def test_a_trainer_that_hears_nothing_saves_and_leaves(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    for times in (1, 2, 4, 8):  # a machine that stalls leaves it no time for a step, or to save
        order = give(tmp_path, data, silence_s=times * PATIENCE_S)
        assert attend().take(order).code() == ExitCode.SAVED
        if folder_of(order).result.exists() and checkpoints(order):
            break
    assert result_of(order).error.startswith("no beat for ")
    assert checkpoints(order)


def test_the_last_write_comes_before_the_end_of_the_lease_whatever_its_length() -> None:
    for lease_s in ("0.5", "15", "300"):
        times = Settings.read({"TRAINQ_LEASE_S": lease_s})
        oldest_renewal_s = times.lease_s - times.renew_s  # of the lease when the last beat came
        assert GONE * times.silence_s < oldest_renewal_s - 0.04 * times.lease_s
        assert times.silence_s < GONE * times.silence_s


def test_beats_keep_a_trainer_going_and_one_that_was_frozen_looks_for_them_before_the_clock(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    trainers = [attend() for _ in range(2)]
    orders = [order_for(tmp_path / f"run-{n}", data, LONG, silence_s=LONG_S) for n in range(2)]
    for trainer, order in zip(trainers, orders, strict=True):
        trainer.take(order)
    going, frozen = trainers
    first = going.next(Epoch).step
    frozen.next(Epoch)
    frozen.beat()
    frozen.signal(signal.SIGSTOP)
    process = psutil.Process(frozen.process.pid)
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, what="the freeze")
    enough = time.monotonic() + 1.2 * LONG_S

    def works_on() -> bool:
        going.beat()
        steps = [line.progress.step for line in going.lines() if isinstance(line, Alive)]
        return time.monotonic() > enough and steps[-1] > first

    wait_until(works_on, what="work for longer than the silence")
    frozen.beat()
    frozen.signal(signal.SIGCONT)
    said = len(frozen.lines())

    def goes_on() -> bool:
        going.beat()
        frozen.beat()
        return len(frozen.lines()) > said + 3

    wait_until(goes_on, what="work after the thaw")
    going.hang_up()
    assert going.code() == ExitCode.SAVED
    assert result_of(orders[0]).error == "the worker is gone"


def test_a_fenced_trainer_is_gone_at_once_and_saves_nothing(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    order = give(tmp_path, data, tiny(train__epochs=10_000), silence_s=60)
    trainer = attend().take(order)
    trainer.next(Epoch)
    trainer.say(b"b\nF\n")
    assert trainer.code() == ExitCode.SAVED
    assert not checkpoints(order) and not folder_of(order).result.exists()


def test_a_trainer_that_cannot_reach_a_step_boundary_is_gone_soon_after_the_silence(
    attend: Start, tmp_path: Path
) -> None:
    config = tiny(train__epochs=10_000, data__pixels={"kind": "files"})
    order = give(tmp_path, draw_sketches(tmp_path / "data"), config, silence_s=PATIENCE_S)
    trainer = attend().take(order)
    trainer.next(Epoch)
    for image in (tmp_path / "data").glob("train/*/*"):
        image.unlink()
        os.mkfifo(image)  # opening it waits for ever
    last_beat = time.monotonic()
    trainer.beat()
    assert trainer.code() == ExitCode.SAVED
    assert time.monotonic() - last_beat > PATIENCE_S
    assert not folder_of(order).result.exists()


def test_what_others_print_goes_to_the_log_and_never_into_the_event_pipe(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    order = give(tmp_path, data, tiny(train__epochs=2))
    trainer = attend(noisy=True).take(order)
    assert trainer.code() == ExitCode.FINISHED
    assert len([line for line in trainer.lines() if isinstance(line, Epoch)]) == 2
    log = folder_of(order).log.read_text()
    assert "progress: 42%" in log and "a warning from a C library" in log
    assert "epoch 2/2 loss=" in log


def test_a_reader_that_stops_reading_stops_nothing_and_loses_only_signs_of_life(
    tmp_path: Path,
) -> None:
    reader, writer = os.pipe()
    pipe = EventPipe(writer)
    for step in range(3000):  # far more than a pipe holds
        pipe(Saved(path=f"attempts/1-00000001/checkpoints/step-{step}", step=step))
        pipe(Alive(progress=Progress(step=step)))
    read = tmp_path / "read"
    with read.open("wb") as file, subprocess.Popen(["cat"], stdin=reader, stdout=file):
        os.close(reader)
        pipe.flush(TORCH_S)
        os.close(writer)
    lines = [parse_line(line) for line in read.read_bytes().splitlines()]
    assert [line.step for line in lines if isinstance(line, Saved)] == list(range(3000))
    assert 0 < sum(isinstance(line, Alive) for line in lines) < 3000


def test_a_reader_that_is_gone_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    EventPipe(writer)(Saved(path="x", step=1))
    os.close(writer)


def test_a_loader_process_that_is_killed_ends_the_run_in_one_line(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    order = give(tmp_path, data, tiny(train__epochs=10_000, data__workers=1))
    trainer = attend().take(order)
    trainer.next(Epoch)
    (loader,) = psutil.Process(trainer.process.pid).children()
    loader.kill()
    assert trainer.code() == ExitCode.CODE
    assert result_of(order).cause is Cause.HOST_OOM
    assert result_of(order).error.startswith("DataLoader worker")


def test_an_idle_trainer_leaves_when_it_is_told_to_or_its_worker_goes(attend: Start) -> None:
    told, left = attend(), attend()
    told.signal(signal.SIGTERM)
    left.hang_up()
    assert told.code() == left.code() == ExitCode.SAVED


def test_sigusr1_writes_the_stacks_of_all_threads_into_the_log(
    attend: Start, data: Path, tmp_path: Path
) -> None:
    order = give(tmp_path, data, silence_s=60)
    trainer = attend().take(order)
    trainer.next(Epoch)
    trainer.signal(signal.SIGUSR1)
    wait_until(lambda: folder_of(order).log.read_text().count("hread 0x") >= 2, what="two stacks")


PARENT = """
import subprocess, sys, time
order = sys.stdin.readline()
child = subprocess.Popen(
    [sys.executable, "-m", "trainer", "attend", "--parent", str(__import__("os").getpid())],
    stdin=subprocess.PIPE, stdout=sys.stdout, start_new_session=True,
)
child.stdin.write(order.encode()); child.stdin.flush()
print(child.pid, flush=True)
time.sleep(600)
"""


def test_when_its_worker_is_killed_the_trainer_and_its_loader_processes_are_gone(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(train__epochs=10_000, data__workers=1)
    order = give(tmp_path, data, config, silence_s=60)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin and parent.stdout
        parent.stdin.write(order.model_dump_json() + "\n")
        parent.stdin.flush()
        trainer = psutil.Process(int(parent.stdout.readline()))
        wait_until(folder_of(order).metrics.exists, TORCH_S, what="an epoch")
        family = [trainer, *trainer.children(recursive=True)]
        parent.kill()
    assert len(family) == 2
    wait_until(lambda: not any(map(alive, family)), what="the end of trainer and loader")


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_trainer_whose_parent_is_not_the_one_it_was_told_of_leaves_at_once() -> None:
    done = subprocess.run([sys.executable, "-m", "trainer", "attend", "--parent", "1"], check=False)
    assert done.returncode == ExitCode.SAVED


def test_the_collector_rests_while_the_trainer_imports_and_looks_as_usual_once_it_trains() -> None:
    code = (
        "import gc; usual = gc.get_threshold(); from trainer import imports; imports.begin(); "
        "resting = gc.get_threshold()[0]; assert resting > 100 * usual[0], resting; "
        "imports.done(); assert gc.get_threshold() == usual and gc.get_freeze_count()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
