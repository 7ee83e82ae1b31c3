"""Checkpoints are written while a run goes on, one at a time, and told of when they are whole."""

import math
import os
import time
from pathlib import Path

import pytest
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, result_of, tiny
from support.waiting import wait_until

from schemas.events import BEAT, Epoch, ExitCode, Line, Saved
from schemas.rundir import AttemptDir
from trainer.entry.attempt import execute
from trainer.entry.attend import GONE, listen
from trainer.faults import DiskFault, Leave, Leaving
from trainer.report import Report
from trainer.saving import Saver


class Fenced(Leave):
    """Our time is over from the first step on, until the first evaluation."""

    def __init__(self, attempt: AttemptDir, report: Report, said: list[Line]) -> None:
        super().__init__()
        self.attempt, self.report, self.said = attempt, report, said
        self.ours_until, self.held = time.monotonic(), False

    def check(self) -> None:
        if self.report.progress.step == 4 and not self.held:
            written = self.attempt.checkpoints
            wait_until(lambda: list(written.glob(".step-3.*/manifest.json")), what="all its files")
            assert not self.attempt.checkpoint(3).exists() and not self.saved()
            self.held, self.ours_until = True, math.inf
        super().check()

    def saved(self) -> list[int]:
        return [line.step for line in self.said if isinstance(line, Saved)]


def test_a_run_goes_on_while_a_checkpoint_is_written_and_tells_of_it_when_it_has_its_name(
    tmp_path: Path,
) -> None:
    data = draw_sketches(tmp_path / "data")  # 19 images train in 4 steps an epoch
    said: list[Line] = []
    report = Report([said.append])
    order = order_for(tmp_path / "run", data, tiny(train__save_every_steps=3))
    leave = Fenced(folder_of(order), report, said)
    assert execute(order, report, leave) == ExitCode.FINISHED
    assert leave.held and leave.saved() == [3, 6, 9]
    assert [line.epoch for line in said if isinstance(line, Epoch)] == [1, 2, 3]
    plain = order_for(tmp_path / "plain", data, tiny())
    assert execute(plain, Report([]), Leave()) == ExitCode.FINISHED
    ends = [result_of(each).facts["final_weights_sha256"] for each in (order, plain)]
    assert ends[0] == ends[1]


def test_what_is_handed_over_is_written_in_turn_and_told_in_turn() -> None:
    told: list[int] = []
    with Saver() as saver:
        for number in range(3):
            saver.write(lambda number=number: number, told.append)  # type: ignore[misc]
            assert told == list(range(number)) and saver.busy
        saver.settle()
        assert told == [0, 1, 2] and not saver.busy


def failing() -> None:
    raise DiskFault("no room")


def test_what_could_not_be_written_is_raised_in_the_loop() -> None:
    saver = Saver()
    saver.write(failing, print)
    with pytest.raises(DiskFault, match="no room"):
        wait_until(lambda: saver.look() or not saver.busy)  # type: ignore[func-returns-value]
    with pytest.raises(DiskFault, match="no room"), saver:
        saver.write(failing, print)


def test_whatever_ends_a_run_what_it_was_writing_is_told_and_the_first_reason_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []
    with pytest.raises(Leaving, match="the test"), Saver() as saver:
        saver.write(lambda: "whole", told.append)
        raise Leaving("the test")
    assert told == ["whole"]
    with pytest.raises(Leaving, match="the test"), Saver() as saver:
        saver.write(failing, print)
        raise Leaving("the test")
    assert "no room" in caplog.text


def test_our_time_is_counted_from_the_last_beat() -> None:
    reader, writer = os.pipe()
    os.write(writer, BEAT)
    os.close(writer)
    leave, before = Leave(), time.monotonic()
    assert listen(reader, 60.0, leave, os._exit) == "the worker is gone"
    os.close(reader)
    assert before < leave.ours_until - GONE * 60.0 <= time.monotonic()
