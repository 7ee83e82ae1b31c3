"""The Python API with servers of its own: a real worker, a Redis that dies, the private one."""

import subprocess
import sys
from pathlib import Path

from support.servers import TestServer
from support.waiting import PATIENCE_S
from support.workers import Site

from publisher.client import BatchHandle, Client, RunHandle
from queue_worker.door import embedded
from schemas.run import State
from schemas.settings import Settings

MODEL = {"model": {"name": "resnet10t"}, "train": {"epochs": 3}}
QUICK = {"TRAINQ_PREFLIGHT_S": "0"}


def one(handle: RunHandle | BatchHandle) -> RunHandle:
    assert isinstance(handle, RunHandle)
    return handle


def test_a_real_worker_finishes_what_a_program_submits(tmp_path: Path) -> None:
    site = Site(tmp_path)
    try:
        site.worker("cpu", "--no-warm")
        client = Client(Settings.read(site.env))
        run = one(client.submit(MODEL, note="steps=3 step_s=0.01"))
        assert run.wait(timeout=PATIENCE_S).state is State.FINISHED
        assert "begin at step 0" in run.logs() and run.metrics()["epoch"].tolist()
        row = client.results().iloc[0]
        assert row["worker"].endswith(":cpu") and row["gpu_hours"] > 0 and row["duration_s"] > 0
    finally:
        site.close()


def test_a_card_of_a_redis_that_went_says_so_instead_of_raising(tmp_path: Path) -> None:
    server = TestServer(tmp_path / "srv").start()
    client = Client(Settings.read({"REDIS_URL": server.url, "TRAINQ_USER": "ana", **QUICK}))
    run, batch = one(client.submit(MODEL, seed=9)), client.submit(MODEL, seeds=2)
    server.kill()
    for handle in (run, batch):
        assert "cannot reach Redis" in handle._repr_html_()
    assert "cannot reach Redis" in repr(run)


def test_the_private_server_serves_programs_too(tmp_path: Path) -> None:
    settings = Settings.read({"TRAINQ_STATE": str(tmp_path), "TRAINQ_USER": "ana", **QUICK})
    try:
        run = one(Client(settings).submit(MODEL))
        assert Client(settings).run(run.id).state is State.QUEUED
    finally:
        embedded.stop(tmp_path / "redis")


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = "import sys, publisher.client; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"pandas", "numpy", "torch", "rq", "redis"} & set(loaded)


def test_a_laptop_without_pandas_is_told_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["pandas"] = None
from publisher.results.frames import frame
from schemas.errors import TrainqError
try:
    frame([])
except TrainqError as error:
    print(*error.lines())
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "tables of runs need pandas" in said and "pip install 'trainq[tables]'" in said
