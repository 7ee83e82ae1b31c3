"""`queue watch`: a calm screen on a terminal, a line for each change in a pipe."""

import re
import signal

from support.desk import Desk, fail, finish, lines
from support.runs import claim
from support.servers import ON_ONE_SERVER
from support.terminal import OTHER_SCREEN, OWN_SCREEN, Terminal
from support.waiting import PATIENCE_S

from queue_worker.queue import Claim, Report
from schemas.run import Best, Progress

pytestmark = ON_ONE_SERVER


def comes_to(desk: Desk, claimed: Claim, epoch: int, number: int = 2) -> None:
    """As a worker whose trainer has measured an epoch."""
    progress = Progress(step=10 * epoch, steps=30, epoch=epoch, epochs=3, eta_s=60)
    best = Best(metric="accuracy", value=0.25 * epoch, epoch=epoch)
    row = {"epoch": epoch, "accuracy": 0.25 * epoch}
    report = Report(number=number, progress=progress, best=best, metrics=(row,))
    desk.door.report(claimed.run.id, claimed.token, report)


def test_a_run_is_drawn_in_its_place_until_it_has_ended(desk: Desk) -> None:
    run_id = desk.submit()
    with Terminal(desk, "queue", "watch", run_id) as terminal:
        assert OTHER_SCREEN in terminal.until("no worker is alive")
        claimed = claim(desk.door)
        lines(desk.door, claimed, "reading the data")
        terminal.until("reading the data")
        comes_to(desk, claimed, 1)
        terminal.until("1/3")
        assert "best 0.250 at epoch 1" in terminal.until("accuracy  0.250")
        finish(desk.door, claimed)
        assert terminal.to_its_end() == 0
    after = terminal.seen.rpartition(OWN_SCREEN)[2]
    assert OWN_SCREEN in terminal.seen and f"{run_id} resnet10t finished, best accuracy" in after


def test_nothing_is_drawn_while_nothing_changes(desk: Desk) -> None:
    desk.submit("--hold")
    with Terminal(desk, "queue", "watch", "@last") as terminal:
        terminal.until("queue cancel")
        assert terminal.becomes_quiet_for(2.2)  # two looks and more
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.to_its_end() == 130
    assert terminal.seen.rpartition(OWN_SCREEN)[2].strip().startswith("no longer watching")


def test_a_watched_queue_is_a_list_and_no_color_is_obeyed(desk: Desk) -> None:
    run_id = desk.submit()
    with Terminal(desk, "queue", "watch", NO_COLOR="1") as terminal:
        terminal.until("Workers: none is alive")
        terminal.process.send_signal(signal.SIGINT)
        terminal.to_its_end()
    assert run_id in terminal.seen and not re.search(r"\x1b\[[0-9;]*[1-9][0-9]*m", terminal.seen)


def test_a_pipe_gets_a_line_for_each_change_and_ends_with_the_batch(desk: Desk) -> None:
    desk.publisher("submit", str(desk.config), "--seeds", "2", "--again")
    batch = desk.door.batches()[0].card.id
    process = desk.start("queue", "watch", "-b", batch)
    assert process.stdout and process.stderr
    for _ in range(2):
        assert "queued, " in process.stdout.readline()
    first = claim(desk.door)
    comes_to(desk, first, 1)
    told = [process.stdout.readline() for _ in range(2)]
    assert f"{first.run.id} good-seed" in told[0] or "claimed by v100:0" in "".join(told)
    assert "running 1/3, acc 0.250" in "".join(told)
    finish(desk.door, first)
    fail(desk.door, claim(desk.door), error="it broke")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert "finished" in out and "failed" in out and "\x1b" not in out and "\r" not in out
    assert process.returncode == 0 and f"queue results -b {batch}" in err


def test_a_dumb_terminal_gets_lines(desk: Desk) -> None:
    run_id = desk.submit()
    with Terminal(desk, "queue", "watch", run_id, TERM="dumb") as terminal:
        terminal.until("queued, no worker is alive")
        finish(desk.door, claim(desk.door))
        assert terminal.to_its_end() == 0
    assert "\x1b" not in terminal.seen and "claimed by v100:0 (attempt 1)" in terminal.seen


def test_only_one_thing_is_watched(desk: Desk) -> None:
    answer = desk.queue("watch", "@last", "--mine")
    assert answer.code == 2 and "-b BATCH" in answer.err
