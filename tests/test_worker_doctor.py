"""`worker doctor`: what it asks of a host, and what it says of GPUs, units and colleagues."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.runs import a_worker
from support.waiting import TORCH_S
from support.workers import Site

from queue_worker import checkup, unit
from queue_worker.door.records import WorkerView
from queue_worker.gpus import lane
from queue_worker.gpus.admission import Offer
from queue_worker.gpus.gpu import Gpu, Probe
from schemas.diagnosis import Finding, of_strangers
from schemas.errors import TrainqError

V100 = Gpu(0, "Tesla V100-SXM2-32GB", "GPU-1", "535.161.08", 32768, 32476, "12.2")
WELL = Probe("2.10.0+cu128", "12.8", sm="sm_70", built_for=("sm_70", "sm_80"), amp="fp16")


def told(findings: Iterable[Finding]) -> dict[str, str]:
    return {f"{one.level} {one.subject}": one.text for one in findings}


# ---- devices -------------------------------------------------------------------------------------


def test_a_card_that_computes_is_told_with_driver_and_precision() -> None:
    assert told(checkup.device_findings(V100, WELL)) == {
        "ok gpu": "GPU 0: Tesla V100-SXM2-32GB, 32.0 GiB (31.7 free)",
        "ok torch": "torch 2.10.0+cu128 computes on sm_70 with driver 535.161.08; amp: fp16",
    }


def test_a_torch_without_kernels_for_a_v100_is_told_with_the_wheel_that_has_them() -> None:
    bare = Probe("2.11.0+cu128", "12.8", kernel="no kernel image is available", sm="sm_70")
    *_, found = checkup.device_findings(V100, bare)
    assert (found.level, found.subject) == ("FAIL", "torch")
    assert "torch==2.10.0" in found.fix and "no kernel image" in found.text


def test_a_card_without_room_for_a_kernel_is_a_warning() -> None:
    full = Probe("2.10.0", kernel="CUDA error: out of memory", sm="sm_70", built_for=("sm_70",))
    found = told(checkup.device_findings(V100, full))
    assert found["warn torch"].endswith("has kernels for sm_70; not tried, the card is full")


def test_a_driver_too_old_for_torch_is_named_as_the_reason() -> None:
    new = Probe("2.11.0+cu130", "13.0", kernel="The NVIDIA driver on your system is too old")
    found = told(checkup.device_findings(V100, new))
    assert found["FAIL driver"] == "driver 535.161.08 speaks CUDA 12.2, torch was built for 13.0"


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Offer(32476), {}),
        (Offer(1, busy_with="GPU 0 does not answer: GPU is lost"), {"FAIL gpu": "GPU is lost"}),
        (Offer(9, shared_with="GPU 0: bo's lab.py (pid 7)"), {"warn gpu": "bo's lab.py"}),
    ],
)
def test_whoever_else_has_the_card_is_named(seen: Offer, said: dict[str, str]) -> None:
    found = told(checkup.beside(0, "", seen))
    assert found.keys() == said.keys()
    assert all(words in found[key] for key, words in said.items())


def test_the_worker_that_has_a_card_is_named_while_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lane.holder(path) == ""
    held = lane.lock(path, "v100:0")
    assert lane.holder(path) == f"pid {os.getpid()} (v100:0)"
    assert told(checkup.beside(0, lane.holder(path), Offer()))["ok gpu"].startswith("GPU 0 has its")
    held.close()
    assert lane.holder(path) == ""


# ---- systemd -------------------------------------------------------------------------------------

UNIT = {
    **{"LoadState": "loaded", "ActiveState": "active", "KillMode": "mixed"},
    **{"TimeoutStopUSec": "1min 30s", "OOMPolicy": "continue", "Restart": "on-failure"},
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, {"ok systemd": "trainq-worker@0 is active"}),
        ({"LoadState": "not-found"}, {"ok systemd": "no unit"}),
        ({"ActiveState": "failed"}, {"FAIL systemd": "has failed"}),
        ({"TimeoutStopUSec": "30s"}, {"ok systemd": "", "warn systemd": "kills after 30 s"}),
        ({"KillMode": "control-group"}, {"ok systemd": "", "warn systemd": "KillMode=control"}),
        ({"OOMPolicy": "stop"}, {"ok systemd": "", "warn systemd": "ends the worker as well"}),
        ({"Restart": "no"}, {"ok systemd": "", "warn systemd": "not started again"}),
    ],
)
def test_a_unit_that_would_cost_steps_is_told(
    changed: dict[str, str], said: dict[str, str]
) -> None:
    found = told(unit.judge({**UNIT, **changed}, "0", grace_s=60))
    assert found.keys() == said.keys()
    assert all(words in found[key] for key, words in said.items())


def test_a_host_without_systemd_has_no_unit_and_spans_are_read_as_it_writes_them() -> None:
    assert told(unit.judge({}, "0", 60)).keys() == {"ok systemd"}
    spans = ("1min 30s", "infinity", "500ms", "1h 2min", "")
    assert [unit.seconds(span) for span in spans] == [90, float("inf"), 0.5, 3720, 0]


# ---- the queue and its workers -------------------------------------------------------------------


def a_view(alive: bool = True, run: str = "", **card: Any) -> WorkerView:
    return WorkerView(card=a_worker("v100:0", **card), seen_at=1.0, run=run, alive=alive)


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (a_view(), ("ok", "v100:0 waits for runs")),
        (a_view(run="7f3k2q"), ("ok", "v100:0 trains 7f3k2q")),
        (a_view(alive=False), ("warn", "v100:0 was seen today and is silent")),
        (a_view(busy_with="bo's lab.py"), ("warn", "v100:0 takes nothing: bo's lab.py")),
    ],
)
def test_workers_of_the_host_are_told(view: WorkerView, said: tuple[str, str]) -> None:
    (found,) = checkup.colleagues([view])
    assert (found.level, found.text) == said


def test_names_that_nothing_reads_and_records_that_nobody_can_read_are_told() -> None:
    near, far = of_strangers(["TRAINQ_LEASE", "TRAINQ_XYZZY"])
    assert (near.fix, far.fix) == ("did you mean TRAINQ_LEASE_S?", "README lists all settings")
    assert list(checkup.unread(0)) == []
    assert told(checkup.unread(1)) == {"warn queue": "1 record cannot be read and set aside"}


def test_an_error_of_a_start_is_a_finding() -> None:
    found = checkup.of(TrainqError("no", where="here", fix="do"), "gpu")
    assert (found.level, found.text, found.fix) == ("FAIL", "no (here)", "do")


# ---- the command ---------------------------------------------------------------------------------


def ask(folder: Path, *flags: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "queue_worker", "doctor", *flags]
    return subprocess.run(
        command,
        env={**os.environ, **env},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=TORCH_S,
    )


def test_the_doctor_of_a_sound_host_finds_settings_redis_torch_and_the_worker(site: Site) -> None:
    site.worker("cpu").ready()
    asked = ask(site.folder, "--gpu", "cpu", "--json", **site.env)
    assert (asked.returncode, asked.stderr) == (0, "")
    told = json.loads(asked.stdout)
    sources = {one["name"]: one["source"] for one in told["settings"]}
    assert (sources["TRAINQ_RUNS"], sources["TRAINQ_PREFIX"]) == ("the environment", "default")
    levels = {one["subject"]: one["level"] for one in told["findings"]}
    assert levels["redis"] == levels["keeps"] == levels["torch"] == levels["worker"] == "ok"
    assert "FAIL" not in levels.values()


def test_a_doctor_who_finds_something_broken_says_so_and_exits_1(tmp_path: Path) -> None:
    asked = ask(tmp_path, "--gpu", "99", REDIS_URL="redis://:hush@127.0.0.1:1/0")
    assert (asked.returncode, asked.stderr) == (1, "")
    assert "FAIL  redis      cannot reach Redis at redis://:****@127.0.0.1:1/0" in asked.stdout
    assert "hush" not in asked.stdout
    assert "FAIL  gpu        --gpu 99:" in asked.stdout
    assert asked.stdout.splitlines()[-1].endswith("2 failures")


def test_a_doctor_who_is_asked_for_nonsense_says_so_in_one_line(tmp_path: Path) -> None:
    asked = ask(tmp_path, "--gpu", "0,0")
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr.startswith("error: --gpu 0,0: 0 is named twice")
