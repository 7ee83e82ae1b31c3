"""Real workers on GPUs that only the driver's library knows: nvidia-ml-py over a library of ours.

What no test here can show is a GPU that computes: a script stands in for `trainer.entry.probe`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import wait_until
from support.workers import Site

from queue_worker import host
from queue_worker.gpus import lane
from schemas.run import State, new_nonce
from schemas.rundir import write_atomic

SOURCE = Path(__file__).with_name("support") / "nvml.c"
PROBE = {
    **{"torch": "2.10.0", "cuda": "12.8", "kernel": "", "device": "V100", "sm": "sm_70"},
    **{"built_for": ["sm_70"], "amp": "fp16"},
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the driver's library."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("driver")
    command = [compiler, "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


class Host:
    """A host with GPUs: what its driver says, and who works there."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.says, self.uuid = folder / "says", new_nonce()
        self.cards = [(0, 32476, "-"), (0, 32476, "-")]
        self.say()
        driver = {"LD_LIBRARY_PATH": str(library), "NVML_SAYS": str(self.says)}
        self.site = Site(folder, NVML_UUID=self.uuid, TRAINQ_HOST="vm", **driver)
        probe = folder / "trainer" / "entry" / "probe.py"
        probe.parent.mkdir(parents=True)
        for package in (probe.parent, probe.parent.parent):
            (package / "__init__.py").touch()
        probe.write_text(f"print({json.dumps(PROBE)!r})")

    def say(self, index: int = 0, *, error: int = 0, free: int = 32476, who: str = "-") -> None:
        """From now on the driver says this of a card."""
        self.cards[index] = (error, free, who)
        rows = [f"{error} 32768 {free} {who}\n" for error, free, who in self.cards]
        write_atomic(self.says, "".join(rows).encode())

    def doctor(self) -> list[dict[str, str]]:
        """What `worker doctor` finds on GPU 0."""
        command = [sys.executable, "-m", "queue_worker", "doctor", "--gpu", "0", "--json"]
        env, folder = {**os.environ, **self.site.env}, self.site.folder
        asked = subprocess.run(command, env=env, cwd=folder, stdout=subprocess.PIPE, check=False)
        return list(json.loads(asked.stdout)["findings"])

    def close(self) -> None:
        self.site.close()
        for path in lane.lock_folder().glob(f"trainq-gpu-GPU-{self.uuid}-*.lock"):
            path.unlink()


@pytest.fixture
def gpus(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = Host(tmp_path, library)
    yield found
    found.close()


def test_a_worker_waits_for_people_names_them_and_goes_on_when_they_have_left(gpus: Host) -> None:
    site = gpus.site
    with subprocess.Popen(["sleep", "3100"]) as notebook:
        gpus.say(free=12200, who=f"{notebook.pid}:20480")
        worker = site.worker("0", "--wait-for-gpu", "--no-warm").ready()
        run_id = site.submit("steps=2")
        whose = f"GPU 0: {host.owner(os.getpid())}'s sleep 3100 (pid {notebook.pid}, 20 GB)"
        waits = f"takes no runs: {whose}; waits until the card is free"
        wait_until(lambda: waits in worker.said(), what="its word")
        assert f"Waits   {whose}" in worker.said()
        assert "GPU 0   Tesla V100-SXM2-32GB   32.0 GiB (11.9 free)" in worker.said()
        assert site.queue.get(run_id).state is State.QUEUED
        found = {one["text"]: one["level"] for one in gpus.doctor()}
        assert found["GPU 0: Tesla V100-SXM2-32GB, 32.0 GiB (11.9 free)"] == "ok"
        assert found["torch 2.10.0 computes on sm_70 with driver 560.35.03; amp: fp16"] == "ok"
        assert found[f"GPU 0 has its worker: pid {worker.pid} (vm:0)"] == "ok"
        assert found[whose] == "warn"
        notebook.kill()
    gpus.say()
    assert site.ended(run_id).state is State.FINISHED
    assert "others have just left" in worker.said()
    gpus.say(error=15)
    lost = "takes no runs: GPU 0 does not answer: GPU is lost"
    wait_until(lambda: lost in worker.said(), what="its word on the lost card")


def test_a_worker_of_two_cards_keeps_both_and_offers_what_the_fuller_one_has(gpus: Host) -> None:
    site = gpus.site
    gpus.say(1, free=12200, who="1:20480")
    worker = site.worker("0,1", "--no-warm").ready()
    large = site.submit("steps=2", gpus=2, memory_mb=14 << 10)
    small = site.submit("steps=5000", gpus=2, memory_mb=10 << 10)
    site.at_step(small, 1)
    (trainer,) = worker.trainers()
    shown = host.environment(trainer.pid)
    assert (shown["CUDA_VISIBLE_DEVICES"], shown["CUDA_DEVICE_ORDER"]) == ("0,1", "PCI_BUS_ID")
    for index, free in ((0, 23476), (1, 3200)):
        gpus.say(index, free=free, who=f"{trainer.pid}:9000" + (",1:20480" if index else ""))
    card = wait_until(
        lambda: next((v.card for v in site.queue.workers() if v.card.offer_mb < 32000), None),
        what="its card",
    )
    assert (card.gpus, card.memory_mb, card.offer_mb) == (2, 32768, 12200)
    assert card.shared_with.startswith("GPU 1:") and card.busy_with == ""
    for taken in ("0", "1", "1,0"):
        late = site.worker(taken)
        assert late.wait() == 2 and "already has a worker: pid" in late.said()
    trainer.kill()  # it dies, but the driver still shows it: not another one, not yet
    ending = f"GPU 0: a trainer of ours (pid {trainer.pid}, 9 GB) is still ending"
    wait_until(lambda: ending in worker.said(), what="its word on the dead one")
    for index, free in ((0, 32476), (1, 12200)):
        gpus.say(index, free=free, who="1:20480" if index else "-")
    site.at_step(small, 1, attempt=2)
    assert site.queue.get(large).state is State.QUEUED
