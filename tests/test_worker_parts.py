"""The small parts of the worker: logs that grow, lanes and locks, orphans, the banner."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.runs import a_worker
from support.waiting import PATIENCE_S, wait_until
from support.workers import FAKE

from queue_worker import banner, host, standing
from queue_worker.attempts import sweep
from queue_worker.attempts.child import TURN_LIMIT, Trainer
from queue_worker.attempts.tail import Tail, last_line
from queue_worker.door.records import Control
from queue_worker.gpus import gpu, lane
from queue_worker.gpus.admission import Offer
from queue_worker.gpus.gpu import Probe
from queue_worker.gpus.lane import Lane
from schemas import source, writing
from schemas.config import TrainConfig
from schemas.errors import TrainqError, UsageError
from schemas.settings import Settings


def test_a_growing_log_is_read_line_by_line_and_its_end_too(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    tail = Tail(path)
    assert tail.lines() == []
    path.write_bytes(b"one\ntw")
    assert tail.lines() == ["one"]
    with path.open("ab") as file:
        file.write("o\n 10%|#\r 20%|##\r 30%|###\nünfinished".encode())
    assert tail.lines() == ["two", " 30%|###"]
    assert tail.lines(rest=True) == ["ünfinished"]


def test_a_line_of_rubbish_is_cut_and_never_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_bytes(b"\xff" * 3_000_000)
    tail = Tail(path)
    lines = [line for _ in range(20) for line in tail.lines()]
    assert lines and all(len(line) <= 2000 for line in lines)


def test_of_a_flood_only_the_end_is_read_when_the_trainer_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("flood\n" * 500_000 + "the end\n")
    lines = Tail(path).lines(rest=True)
    assert lines[-1] == "the end" and len(lines) < 100_000


def test_the_last_line_is_the_last_with_something_in_it(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    assert last_line(path) == ""
    path.write_text("Traceback\nKeyError: 'x'\n\n  \n")
    assert last_line(path) == "KeyError: 'x'"


def test_a_lane_is_named_by_host_and_gpu() -> None:
    assert Lane.parse("0", "v100") == Lane("v100", "0")
    assert Lane.parse("cpu:2", "box").name == "box:cpu:2"
    assert (Lane.parse("3").indices, Lane.parse("cpu").indices) == ((3,), ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gpu",
        "-1",
        "0,",
        "0,cpu",
        "0,0",
        "00",
        "0,00",
        "0\n",
        "cpu:0",
        "cpu:01",
        "cpu:",
        "cpu:x",
        "cpu,cpu",
        "0 ",
        "1" * 9,
    ],
)
def test_a_lane_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--gpu"):
        Lane.parse(text)


def test_what_keeps_a_worker_back_is_told_with_the_way_out() -> None:
    said = {"by": "bo", "at": 1.0}
    mine = Control(kind="hold", scope="worker:v100:0", reason="3 deaths in a row", **said)
    host = Control(kind="drain", scope="host:v100", **said)
    every = Control(kind="hold", scope="all", **said)
    others = [
        Control(kind="hold", scope=scope, **said)
        for scope in ("worker:v100:1", "host:a100", "user:ana", "batch:b1")
    ]
    cap = Control(kind="cap", scope="user:ana", value=2, **said)
    card = a_worker("v100:0")
    assert standing.back([*others, cap], card) == ""
    assert standing.back([mine, *others], card) == (
        "held by bo (3 deaths in a row); worker resume v100:0 lets it go on"
    )
    assert standing.back([host], card) == "drained by bo; worker resume v100 lets it go on"
    assert "queue release --all" in standing.back([every], card)
    busy = card.model_copy(update={"busy_with": "GPU 0: bo's lab.py"})
    assert standing.back(others, busy) == "GPU 0: bo's lab.py"


def test_one_gpu_of_a_host_has_one_worker_whatever_its_queue(tmp_path: Path) -> None:
    one = lane.lock_name("v100", "0", "GPU-1", "redis://a")
    assert one == lane.lock_name("v100", "0", "GPU-1", "redis://b")
    assert one != lane.lock_name("v100", "1", "GPU-2", "redis://a")
    on_the_cpu = {lane.lock_name("v100", "cpu", "", f"redis://{queue}") for queue in "ab"}
    assert len(on_the_cpu) == 2


def test_a_lock_is_free_again_the_moment_its_holder_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import pathlib, sys, time; from queue_worker.gpus import lane;"
        f"held = lane.lock(pathlib.Path({str(path)!r}), 'v100:0'); print('held', flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=rf"already has a worker: pid {holder.pid}"):
            lane.lock(path, "v100:0")
        holder.kill()
    lane.lock(path, "v100:0").close()


def test_orphans_are_ended_and_the_children_of_the_living_are_not() -> None:
    dead = subprocess.Popen(["true"])
    started = host.start_time(dead.pid)
    dead.wait()
    gone = sweep.Mark(dead.pid, started or "1", "0123abcd")
    mine = sweep.mark("89abcdef")
    command = ["sleep", "60"]
    orphan = subprocess.Popen(command, env={sweep.VARIABLE: str(gone)}, start_new_session=True)
    child = subprocess.Popen(command, env={sweep.VARIABLE: str(mine)}, start_new_session=True)
    wait_until(lambda: host.environment(child.pid).get(sweep.VARIABLE), what="its environment")
    wait_until(lambda: host.environment(orphan.pid).get(sweep.VARIABLE), what="its environment")
    assert orphan.pid in sweep.end_orphans()
    assert orphan.wait(PATIENCE_S) == -signal.SIGKILL and child.poll() is None
    assert sweep.end_remains(mine) == [child.pid]
    assert child.wait(PATIENCE_S) == -signal.SIGKILL


@pytest.mark.parametrize("text", ["", "1", "1:2", "x:2:3", "::"])
def test_a_mark_that_is_none_marks_nothing(text: str) -> None:
    assert sweep.parse(text) is None


def test_a_trainer_never_gets_the_passwords_of_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:canary@host")
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-canary")
    trainer = Trainer(FAKE.split(), {"CUDA_VISIBLE_DEVICES": ""})
    try:
        wait_until(lambda: trainer.hear(0.1) and trainer.warm, what="a warm trainer")
        assert "canary" not in str(host.environment(trainer.pid))
    finally:
        trainer.discard()


FLOOD = """
import os
line = b'{"kind":"saved","path":"' + b"x" * 200 + b'","step":1}\\n'
while True: os.write(1, line * 64)
"""


def test_a_trainer_that_floods_its_pipe_is_heard_in_turns_that_end() -> None:
    trainer = Trainer([sys.executable, "-c", FLOOD], {})
    try:
        lines = wait_until(lambda: trainer.hear(1), what="the flood")
        for _ in range(20):
            lines = trainer.hear(1)
            assert len(lines) <= 2 * TURN_LIMIT / 200
    finally:
        trainer.discard()


def test_a_trainer_whose_parent_is_another_leaves() -> None:
    command = [*FAKE.split(), "attend", "--parent", str(os.getpid() + 1)]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 75


def test_a_torch_without_kernels_for_the_gpu_is_refused_with_the_wheel_to_install() -> None:
    gpu.demand_kernels(Probe(torch="2.10.0", sm="sm_70", built_for=("sm_70",)))
    lacking = Probe(
        torch="2.11.0", kernel="no kernel image", sm="sm_70", built_for=("sm_75",), device="V100"
    )
    with pytest.raises(TrainqError) as refused:
        gpu.demand_kernels(lacking)
    said = "\n".join(refused.value.lines())
    assert "torch==2.10.0" in said and "sm_75" in said and "V100" in said


@pytest.mark.parametrize(
    ("built_for", "starts"),
    [
        (("sm_60", "sm_70", "sm_80"), True),
        (("sm_75", "sm_80"), False),
        (("compute_70",), False),
        ((), False),
    ],
)
def test_a_card_that_others_have_filled_is_no_reason_to_refuse_a_start(
    built_for: tuple[str, ...], starts: bool
) -> None:
    full = Probe("2.10.0", kernel="CUDA out of memory. Tried ...", sm="sm_72", built_for=built_for)
    assert full.untried == starts
    if starts:
        gpu.demand_kernels(full)
    else:
        with pytest.raises(TrainqError, match="out of memory"):
            gpu.demand_kernels(full)


@pytest.mark.parametrize(
    ("cuda", "where", "fix"),
    [
        ("13.0", "it was built for CUDA 13.0", "must not be built for more"),
        ("", "it was built for the CPU only", "pip install torch==2.10.0"),
    ],
)
def test_a_torch_that_does_not_find_the_gpu_is_refused_with_the_reason(
    cuda: str, where: str, fix: str
) -> None:
    with pytest.raises(TrainqError, match="cannot use the GPU") as refused:
        gpu.demand_kernels(Probe(torch="2.11.0", cuda=cuda, kernel="driver too old"))
    assert refused.value.where == where and fix in refused.value.fix


def test_a_probe_that_cannot_run_says_why() -> None:
    with pytest.raises(TrainqError, match="torch could not be started") as refused:
        gpu.probe([sys.executable, "-c", "import no_such_torch"], dict(os.environ))
    assert "no_such_torch" in refused.value.where


def test_the_banner_shows_the_device_the_queue_and_the_ways_out(tmp_path: Path) -> None:
    start = banner.Start(
        lane="v100:0",
        pid=4121,
        versions={"python": "3.11.7", "torch": "2.10.0", "timm": "1.0.31", "trainq": "0.1.0"},
        gpus=(
            (
                gpu.Gpu(0, "Tesla V100-SXM2-16GB", "GPU-1", "560.35", 16384, 16179),
                Probe(torch="2.10.0", sm="sm_70", built_for=("sm_70", "sm_75"), amp="fp16"),
            ),
        ),
        redis_place="redis://10.0.0.5:6379/0",
        redis_facts={"redis_version": "7.4.0", "aof_enabled": 0},
        latency_ms=1.23,
        runs=tmp_path,
        runs_root="0fe9d0c44cf2",
        free_bytes=412 << 30,
        data=tmp_path,
        has_data=False,
    )
    settings = Settings.read({"SLACK_WEBHOOK_URL": "https://hook"})
    said = "\n".join(banner.lines(start, settings, Offer(9, shared_with="GPU 0: bo's lab.py")))
    assert "Shares  GPU 0: bo's lab.py" in said
    for word in ("v100:0", "4121", "V100", "16.0 GiB", "sm_70 kernel test ok", "amp: fp16"):
        assert word in said
    for word in ("Redis 7.4.0", "AOF OFF", "webhook", "412 GiB free", "SIGTERM"):
        assert word in said
    assert "https://hook" not in said
    assert f"Data    {tmp_path}   (no such folder: " in said and "set TRAINQ_DATA" in said


@settings(max_examples=40)
@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), max_size=60)
)
@example("null")
@example("1e-3")
@example(".5e3")
@example("a: b # c\n- d\u2028\U0001f600")
def test_a_written_config_is_read_back_as_it_was(note: str) -> None:
    changes = {"note": note, "optim": {"lr": 1e-5}, "name": "on"}
    config = TrainConfig.model_validate({"model": {"kind": "timm", "name": "resnet18"}, **changes})
    assert source.read(writing.dump(config.canonical()).decode(), "config.yaml").config == config
