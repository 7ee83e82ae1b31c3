"""What a worker takes on GPUs that it shares with people: readings, the decision, the lookout."""

import ctypes
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.driver import Driver
from support.waiting import PATIENCE_S, wait_until
from support.workers import Site

from queue_worker import host, start
from queue_worker.attempts import sweep
from queue_worker.gpus import admission, gpu, lane, lookout
from queue_worker.gpus.admission import UNSEEN, Manners, Offer, Process, Reading
from queue_worker.gpus.lane import Lane
from queue_worker.gpus.lookout import Lookout
from schemas.errors import UsageError
from schemas.run import State

PTRACE_SEIZE = 0x4206
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
    return admission.offer(readings, manners, training=training)


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
    assert offer("silent", manners=WAITS).busy_with.endswith("waits until the card is free")
    assert offer("silent", manners=WANTS_12).busy_with == (
        "GPU 0: 20 GB are taken by nobody the driver names; waits until 12 GB are free"
    )


def test_a_lost_gpu_takes_nothing_whatever_the_manners() -> None:
    found = offer("lost")
    assert found.busy_with == "GPU 0 does not answer: GPU is lost"
    assert found.memory_mb == 1  # 0 would say that no limit is known


def test_our_own_trainer_is_nobody_to_wait_for_and_gives_its_memory_back() -> None:
    assert offer("trainer", manners=WAITS, training=True) == Offer(20480 + 12000)


def looks(*times: tuple[float, str, bool], manners: Manners = SHARES) -> list[Offer]:
    """What follows for one card at these times, from these readings, with or without a trainer."""
    past, found = UNSEEN, []
    for now, name, training in times:
        seen, past = admission.look(
            [recorded(name)], manners, training=training, past=past, now=now
        )
        found.append(seen)
    return found


def test_a_trainer_that_outlived_its_run_keeps_the_worker_from_its_card() -> None:
    soon, late, gone = looks(
        (100, "trainer", False), (131, "trainer", False), (132, "empty", False)
    )
    whose = "GPU 0: a trainer of ours (pid 7000, 12 GB)"
    assert (soon.busy_with, soon.broken) == (f"{whose} is still ending", False)
    assert (late.busy_with, late.broken) == (
        f"{whose} does not die; a reboot frees the card",
        True,
    )
    assert gone == Offer(32476)


def test_a_trainer_that_dies_is_known_though_it_shows_neither_mark_nor_command() -> None:
    before, after = looks((0, "trainer", True), (1, "dying", False), manners=WAITS)
    assert before.busy_with == ""
    assert after.busy_with == "GPU 0: a trainer of ours (pid 7000, 12 GB) is still ending"
    alone = looks((0, "dying", False), manners=WAITS)[0]
    assert alone.busy_with.endswith("waits until the card is free")  # nobody knows whose it was


def test_a_card_that_others_have_just_left_must_stay_free_for_a_while() -> None:
    busy, just, again, anew, free = looks(
        (0, "notebook", False),
        (2, "empty", False),
        (4, "notebook", False),
        (8.9, "empty", False),
        (9, "empty", False),
        manners=WAITS,
    )
    assert busy.busy_with.endswith("waits until the card is free")
    assert again.busy_with == busy.busy_with
    assert (
        just.busy_with
        == anew.busy_with
        == ("others have just left; waits 5 s whether the card stays free")
    )
    assert free == Offer(32476)


def test_a_card_that_was_free_all_the_time_is_taken_between_runs_at_once() -> None:
    *_, idle = looks((0, "empty", False), (1, "trainer", True), (2, "empty", False), manners=WAITS)
    assert idle == Offer(32476)


def test_whoever_comes_while_we_train_is_named_and_waited_for_afterwards() -> None:
    during = offer("notebook", manners=WAITS, training=True)
    assert during.busy_with == "" and during.shared_with.startswith("GPU 0: bo's")


def test_a_driver_that_names_nobody_leaves_the_card_to_the_trainer_that_is_there() -> None:
    for driver in ("silent", "container"):
        _, during = looks((0, "empty", False), (1, driver, True), manners=WANTS_12)
        assert (during.memory_mb, during.busy_with) == (32476, "")


def test_a_lost_gpu_is_told_while_it_trains_too() -> None:
    assert "GPU is lost" in offer("lost", training=True).busy_with


def test_a_driver_that_fails_once_is_not_broken_and_one_that_goes_on_is() -> None:
    once, well, again, later = looks(
        *[(0, "lost", False), (1, "empty", False), (2, "lost", True), (33, "lost", False)]
    )
    assert [each.broken for each in (once, well, again, later)] == [False, False, False, True]
    assert "GPU is lost" in once.busy_with and well == Offer(32476)


def test_several_cards_offer_what_the_fullest_has_and_tell_of_each() -> None:
    found = offer("empty", "notebook", manners=WAITS)
    assert found.memory_mb == 12200
    assert found.busy_with.startswith("GPU 1: bo's")
    both = offer("crowded", "notebook", manners=WAITS).busy_with
    assert both.startswith("GPU 0: bo's python lab.py") and "; GPU 1: bo's" in both
    lost = offer("notebook", "lost", manners=WAITS)
    assert lost.busy_with == "GPU 1 does not answer: GPU is lost"


def test_the_cpu_has_no_limit() -> None:
    assert offer() == Offer()


def test_a_driver_too_old_to_name_processes_still_tells_the_memory() -> None:
    facts = {"memory": {"total": 1 << 35, "free": 1 << 34}}
    read = gpu.reading_of(0, Driver(facts | {"processes_error": "NVMLError_FunctionNotFound"}))
    assert (read.free_mb, read.processes, read.fault) == (16384, (), "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("LibraryNotFound", 2, "this host has no NVIDIA driver"),
        ("InvalidArgument", 2, "has no such GPU"),
        ("DriverNotLoaded", 1, "the NVIDIA driver fails: Driver Not Loaded"),
        ("GpuIsLost", 1, "GPU is lost"),
        ("LibRmVersionMismatch", 1, "version mismatch"),
    ],
)
def test_only_a_start_that_can_never_succeed_is_final(error: str, code: int, said: str) -> None:
    refusal = gpu.refusal(0, getattr(pynvml, f"NVMLError_{error}")())
    assert refusal.exit_code == code  # systemd starts a worker again, unless it left with 2
    assert said in refusal.what and "--gpu 0" in refusal.what


@pytest.mark.parametrize("error", ["init_error", "handle_error", "memory_error"])
def test_whatever_the_driver_refuses_is_a_reading_with_a_fault(error: str) -> None:
    assert gpu.reading_of(3, Driver({error: "NVMLError_Unknown"})) == Reading(
        3, fault="Unknown Error"
    )


def test_secrets_of_somebodys_command_line_stay_on_the_host() -> None:
    words = [sys.executable, "-c", "input()", "--token", "hush", "--key=hush"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as child:
        wait_until(lambda: "input()" in host.command(child.pid), what="its command line")
        said = host.command(child.pid)
    assert "--token ****" in said and "hush" not in said


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
    watched = Lookout(lambda: (cards.pop(0),), SHARES)
    assert watched.offer(training=False).shared_with
    assert watched.offer(training=False) == Offer(32476)


def test_the_lookout_answers_by_a_look_that_began_after_the_question(
    stuck: threading.Event,
) -> None:
    begun, answers = threading.Event(), list[Offer]()
    cards = [recorded("notebook"), recorded("empty")]

    def look() -> tuple[Reading, ...]:
        begun.set()
        stuck.wait()
        return (cards.pop(0),)

    watched = Lookout(look, WAITS)
    first = threading.Thread(target=lambda: watched.offer(training=True))
    second = threading.Thread(target=lambda: answers.append(watched.offer(training=True)))
    first.start()
    assert begun.wait(
        PATIENCE_S
    )  # the first look is under way: it says nothing of what comes after it
    second.start()
    wait_until(lambda: watched._asked == 2, what="the second question")
    stuck.set()
    for thread in (first, second):
        thread.join(PATIENCE_S)
    assert [answer.memory_mb for answer in answers] == [32476]


def test_a_driver_that_was_not_asked_for_long_is_not_called_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookout, "SILENT_S", 0.01)
    monkeypatch.setattr(lookout, "PATIENCE_S", PATIENCE_S)
    slow = threading.Event()
    watched = Lookout(lambda: (slow.wait(0.02), (recorded("empty"),))[1], SHARES)
    assert watched.offer(training=False) == Offer(32476)
    slow.wait(0.03)
    assert watched.offer(training=False) == Offer(32476)


def test_nothing_is_taken_before_the_driver_has_answered_once(
    stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "PATIENCE_S", 0.05)
    watched = Lookout(lambda: (stuck.wait(), ())[1], SHARES)
    assert "has not answered" in watched.offer(training=False).busy_with
    stuck.set()
    wait_until(lambda: watched.offer(training=False) == Offer(), what="the driver's answer")


def test_a_driver_that_hangs_keeps_neither_the_worker_nor_its_beats(
    stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "PATIENCE_S", 0.05)
    monkeypatch.setattr(lookout, "SILENT_S", 0.2)
    watched = Lookout(lambda: (stuck.wait(), ())[1], SHARES)
    watched.offer(training=True)  # the driver never answers, this does
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


def test_nobody_waits_for_more_than_a_card_has() -> None:
    cards = (gpu.Gpu(0, "V100", "GPU-9", "560", 32768, 30000),)
    start._demand_room(32768, cards)
    with pytest.raises(UsageError, match="GPU 0 has 32 GB: 40 GB will never be free"):
        start._demand_room(40960, cards)


@pytest.mark.parametrize("given", [None, "0", "3,0", "GPU-9", "GPU-9f2c-11", " 0 "])
def test_a_gpu_that_a_scheduler_gave_to_us_is_taken(given: str | None) -> None:
    start.demand_permission((gpu.Gpu(0, "V100", "GPU-9f2c-11", "560", 1, 1),), given)


@pytest.mark.parametrize("given", ["", "1", "1,2", "GPU-8", "MIG-9f2c", "10"])
def test_a_gpu_that_a_scheduler_gave_to_somebody_else_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="--gpu 0: CUDA_VISIBLE_DEVICES leaves us"):
        start.demand_permission((gpu.Gpu(0, "V100", "GPU-9f2c-11", "560", 1, 1),), given)


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
        ("--gpu 7", "--gpu 7: "),  # no driver here, no such GPU elsewhere
    ],
)
def test_a_worker_that_is_asked_for_nonsense_says_so_in_one_line(flags: str, said: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "queue_worker", *flags.split()],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert (asked.returncode, asked.stdout) == (2, "")
    assert said in asked.stderr.splitlines()[0] and "Traceback" not in asked.stderr


# ---- anything a driver may say -------------------------------------------------------------------

READINGS = st.builds(
    Reading,
    index=st.just(0),
    memory_mb=st.just(32768),
    free_mb=st.integers(0, 32768),
    processes=st.lists(
        st.builds(
            Process,
            pid=st.integers(1, 4),
            memory_mb=st.integers(0, 32768),
            command=st.sampled_from(["", "python"]),
            trainer=st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
    fault=st.sampled_from(["", "", "", "GPU is lost"]),
)
TURNS = st.lists(st.tuples(st.floats(0, 40), READINGS, st.booleans()), min_size=1, max_size=6)
MANNERS = st.sampled_from([SHARES, WAITS, WANTS_12])


@settings(max_examples=150, deadline=None)
@given(turns=TURNS, manners=MANNERS)
def test_whatever_the_driver_says_the_worker_has_an_offer_and_reasons_that_pass(
    turns: list[tuple[float, Reading, bool]], manners: Manners
) -> None:
    past, now = UNSEEN, 0.0
    for passed, reading, training in turns:
        now += passed
        found, past = admission.look([reading], manners, training=training, past=past, now=now)
        assert found.memory_mb >= 1 and "\n" not in found.busy_with + found.shared_with
        assert not (found.busy_with and found.shared_with)
        assert not found.broken or found.busy_with
        if reading.fault:
            assert found.busy_with
        elif training:
            assert not found.busy_with
        elif not manners.wait:
            assert bool(found.busy_with) == bool(past.trainers)
    empty = Reading(0, 32768, 32476)
    for at in (now + 1, now + 1 + admission.SETTLE_S):
        found, past = admission.look([empty], manners, training=False, past=past, now=at)
    assert found == Offer(32476)  # nothing keeps it from a card that is free


# ---- what SIGKILL cannot end ---------------------------------------------------------------------


@pytest.fixture
def immortal() -> Iterator[Callable[[int], None]]:
    """Makes a process outlive SIGKILL in its parent's eyes, as one does that hangs in a driver.

    The dead child of a parent stays with its tracer until that one has seen it.
    """
    libc, held = ctypes.CDLL(None, use_errno=True), []

    def hold(pid: int) -> None:
        if libc.ptrace(PTRACE_SEIZE, pid, None, None):
            pytest.skip(f"this host lets nobody trace: {os.strerror(ctypes.get_errno())}")
        held.append(pid)

    yield hold
    for pid in held:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def test_a_trainer_that_not_even_sigkill_ends_gives_its_run_back_and_keeps_its_worker_from_more(
    tmp_path: Path, immortal: Callable[[int], None]
) -> None:
    site = Site(tmp_path, TRAINQ_STALL_S="3", TRAINQ_LEASE_S="4")
    try:
        runs = [site.submit("steps=9 gate=2 hang=3 first") for _ in range(2)]
        workers = [site.worker("cpu", "--no-warm"), site.worker("cpu:1", "--no-warm", "--burst")]
        trainers = []
        for worker in workers:
            (trainer,) = wait_until(worker.trainers, what="its trainer")
            immortal(trainer.pid)
            trainers.append(trainer.pid)
        for run_id in runs:
            site.at_step(run_id, 2)
            site.open_gate(run_id)
        for worker, pid in zip(workers, trainers, strict=True):
            stuck = re.compile(
                rf"takes no runs: the trainer of \w+ \(pid {pid}\) hangs in the kernel"
            )
            wait_until(lambda w=worker, s=stuck: s.search(w.said()), what="its word")
            fault = "(gpu_fault): the trainer hangs in the kernel"
            wait_until(lambda w=worker, f=fault: f in w.said(), what="what became of its run")
        assert {site.queue.get(run_id).state for run_id in runs} == {State.QUEUED}
        assert workers[1].wait() == 1  # a burst waits for nothing that needs a reboot
        os.waitpid(trainers[0], 0)  # the driver lets it go after all
        assert [site.ended(run_id).state for run_id in runs] == [State.FINISHED] * 2
    finally:
        site.close()
