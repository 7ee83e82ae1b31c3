"""What a worker takes on GPUs that it shares with people: readings, the decision, the lookout."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.driver import Driver
from support.waiting import wait_until
from support.workers import Site

from queue_worker import admission, gpu, host, lane, lookout, start, sweep
from queue_worker.admission import Manners, Offer, Process, Reading
from queue_worker.lane import Lane
from queue_worker.lookout import Lookout
from schemas.run import State

SHARES, WAITS = Manners(), Manners(wait=True)
WANTS_12 = Manners(wait=True, min_free_mb=12 * 1024)


def recorded(name: str, index: int = 0) -> Reading:
    """A reading with its owners and commands: the processes themselves are not of this machine."""
    driver = Driver.of(name)
    read = gpu.reading_of(index, driver)
    known = {
        fact["pid"]: {key: fact.get(key) for key in ("owner", "command", "trainer")}
        for fact in driver.facts.get("processes", ())
    }
    processes = tuple(
        Process(
            one.pid,
            one.memory_mb,
            known[one.pid]["owner"] or "",
            known[one.pid]["command"] or "",
            trainer=bool(known[one.pid]["trainer"]),
        )
        for one in read.processes
    )
    return Reading(read.index, read.memory_mb, read.free_mb, processes, read.fault)


def offer(*names: str, manners: Manners = SHARES, training: bool = False) -> Offer:
    readings = [recorded(name, index) for index, name in enumerate(names)]
    return admission.offer(readings, manners, training)


def test_an_empty_card_is_offered_whole() -> None:
    assert offer("empty") == Offer(32476)
    assert offer("empty", manners=WAITS) == Offer(32476)
    assert offer("empty", manners=WANTS_12) == Offer(32476)


def test_without_manners_others_only_make_the_offer_smaller_and_are_named() -> None:
    found = offer("notebook")
    assert (found.memory_mb, found.busy_with) == (12200, "")
    assert found.shared_with == (
        "GPU 0: bo's python -m ipykernel_launcher -f kernel.json (pid 4121, 20 GB)"
    )


def test_a_worker_that_waits_takes_nothing_while_others_compute_and_names_them() -> None:
    found = offer("notebook", manners=WAITS)
    assert found.busy_with.startswith("GPU 0: bo's python -m ipykernel_launcher")
    assert found.busy_with.endswith("waits until the card is free")


def test_a_worker_that_wants_so_much_goes_beside_others_when_it_is_free() -> None:
    assert offer("notebook", manners=Manners(True, 11 * 1024)).busy_with == ""
    assert offer("notebook", manners=WANTS_12).busy_with.endswith("waits until 12 GB are free")


def test_the_largest_are_named_and_the_others_counted() -> None:
    assert offer("crowded", manners=WAITS).busy_with == (
        "GPU 0: bo's python lab.py (pid 4121, 20 GB), eva's python train.py (pid 5010, 8 GB) "
        "and 2 more; waits until the card is free"
    )


def test_a_process_of_another_container_is_told_as_one_that_we_cannot_see() -> None:
    assert "an unseen process (pid 99999)" in offer("container").shared_with


def test_a_driver_that_names_nobody_still_tells_the_memory() -> None:
    assert offer("silent") == Offer(12200)
    assert offer("silent", manners=WANTS_12).busy_with == (
        "GPU 0: 20 GB are taken by nobody the driver names; waits until 12 GB are free"
    )


def test_a_lost_gpu_takes_nothing_whatever_the_manners() -> None:
    found = offer("lost")
    assert found.busy_with == "GPU 0 does not answer: GPU is lost"
    assert found.memory_mb == 1  # 0 would say that no limit is known


def test_our_own_trainer_is_nobody_to_wait_for_and_gives_its_memory_back() -> None:
    assert offer("trainer", manners=WAITS, training=True) == Offer(20480 + 12000)


def test_a_trainer_that_outlived_its_run_keeps_the_worker_from_its_card() -> None:
    assert offer("trainer").busy_with == (
        "GPU 0: trainq's python -m trainer attend (pid 7000, 12 GB) of an earlier run does not "
        "die; a reboot frees the card"
    )


def test_several_cards_offer_what_the_fullest_has_and_tell_of_each() -> None:
    found = offer("empty", "notebook", manners=WAITS)
    assert found.memory_mb == 12200
    assert found.busy_with.startswith("GPU 1: bo's")
    assert offer("lost", "notebook", manners=WAITS).busy_with.count("GPU") == 3


def test_the_cpu_has_no_limit() -> None:
    assert offer() == Offer()


@pytest.mark.parametrize("error", ["init_error", "handle_error", "memory_error"])
def test_whatever_the_driver_refuses_is_a_reading_with_a_fault(error: str) -> None:
    assert gpu.reading_of(3, Driver({error: "NVMLError_Unknown"})) == Reading(
        3, fault="Unknown Error"
    )


def test_processes_of_this_host_are_told_with_owner_and_command() -> None:
    mark = sweep.mark("0123abcd")
    child = subprocess.Popen(["sleep", "61"], env={**os.environ, sweep.VARIABLE: str(mark)})
    try:
        wait_until(lambda: host.command(child.pid) == "sleep 61", what="its command line")
        facts = {
            "memory": {"total": 1 << 35, "free": 1 << 34},
            "processes": [
                {"pid": child.pid, "usedGpuMemory": 1 << 30},
                {"pid": os.getpid(), "usedGpuMemory": None},
            ],
        }
        ours, foreign = gpu.reading_of(0, Driver(facts)).processes
    finally:
        child.kill()
        child.wait()
    assert ours == Process(child.pid, 1024, host.owner(os.getpid()), "sleep 61", trainer=True)
    assert (foreign.owner, foreign.trainer, foreign.memory_mb) == (ours.owner, False, 0)
    assert len(foreign.command) <= 40
    assert (host.owner(child.pid), host.command(child.pid)) == ("", "")


# ---- the lookout ---------------------------------------------------------------------------------


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Lets a driver go on that hangs."""
    free = threading.Event()
    yield free
    free.set()


def test_the_lookout_looks_afresh_each_time() -> None:
    cards = [recorded("notebook"), recorded("empty")]
    watched = Lookout(lambda: (cards.pop(0),), WAITS)
    assert watched.offer(training=False).busy_with
    assert watched.offer(training=False) == Offer(32476)


def test_a_driver_that_hangs_keeps_neither_the_worker_nor_its_beats(
    stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "PATIENCE_S", 0.05)
    monkeypatch.setattr(lookout, "SILENT_S", 0.2)
    watched = Lookout(lambda: (stuck.wait(), ())[1], SHARES)
    before = time.monotonic()
    watched.offer(training=True)
    assert time.monotonic() - before < 1
    wait_until(
        lambda: "has not answered" in watched.offer(training=True).busy_with, what="the silence"
    )
    stuck.set()
    wait_until(lambda: watched.offer(training=True) == Offer(), what="the driver's answer")


# ---- several devices -----------------------------------------------------------------------------


def test_a_lane_of_several_gpus_names_and_shows_them_all() -> None:
    wide = Lane.parse("0,1", "v100")
    assert (wide.name, wide.devices, wide.indices) == ("v100:0,1", ("0", "1"), (0, 1))
    assert start.visible(wide.indices)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert start.visible(()) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ""}
    assert Lane.parse("cpu,cpu:1").indices == ()


def test_every_gpu_of_a_lane_is_locked_in_one_order() -> None:
    cards = tuple(gpu.Gpu(i, "V100", f"GPU-{9 - i}", "560", 1, 1) for i in (0, 1))
    both = start._locks(Lane("v100", "0,1"), cards, "q")
    swapped = start._locks(Lane("v100", "1,0"), cards[::-1], "q")
    assert both == swapped and len(both) == 2
    assert start._locks(Lane("v100", "1"), cards[1:], "q")[0] in both
    cpu = start._locks(Lane("box", "cpu,cpu:1"), (), "q")
    assert cpu == [lane.lock_name("box", device, "", "q") for device in ("cpu:1", "cpu")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def test_only_a_worker_of_two_takes_runs_of_two(site: Site) -> None:
    wide, narrow = site.submit("steps=2", gpus=2), site.submit("steps=2")
    assert site.worker("cpu", "--burst").wait() == 0
    assert site.queue.get(narrow).state is State.FINISHED
    assert site.queue.get(wide).state is State.QUEUED
    worker = site.worker("cpu:1,cpu:2", "--burst")
    assert worker.wait() == 0, worker.said()
    ran = site.queue.get(wide)
    assert ran.state is State.FINISHED and ran.worker.endswith(":cpu:1,cpu:2")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--gpu 0,0", "0 is named twice"),
        ("--gpu 0,cpu", "not a GPU of this worker"),
        ("--gpu cpu --wait-for-gpu", "--wait-for-gpu needs a GPU to wait for"),
        ("--gpu 0 --min-free-mem 12G", "--min-free-mem says what to wait for"),
        ("--gpu 0 --wait-for-gpu --min-free-mem 12Q", "'12Q' is no amount of memory"),
        ("--gpu 7", "--gpu 7: the NVIDIA driver has no such GPU"),
    ],
)
def test_a_worker_that_is_asked_for_nonsense_says_so_in_one_line(flags: str, said: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "queue_worker", *flags.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (asked.returncode, asked.stdout) == (2, "")
    assert said in asked.stderr.splitlines()[0] and "Traceback" not in asked.stderr
