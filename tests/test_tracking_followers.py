"""Followers outlive a finished run for a while, and nothing else: neither its host nor a next one
is harmed.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.trainers import tiny
from support.waiting import PATIENCE_S, wait_until

from queue_worker.attempts import followers, sweep
from queue_worker.attempts.child import Trainer
from queue_worker.attempts.followers import Followers
from queue_worker.attempts.sweep import Mark
from schemas.events import FOLLOWER, MARK
from trainer.tracking.told import Begun

# what counts of a trainer here: it starts one that shows its run elsewhere, and ends
ENDS = f"""
import os, subprocess, sys
env = {{"{MARK}": os.environ["{MARK}"] + "{FOLLOWER}"}}
subprocess.Popen(["sleep", "600"], env=env, start_new_session=True, stdout=subprocess.DEVNULL)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def marks() -> Iterator[list[Mark]]:
    """Of trainers that were here; their followers are ended with the test."""
    made: list[Mark] = []
    yield made
    sweep.end_remains(*(mark.followers for mark in made))


def left(code: int, marks: list[Mark]) -> Mark:
    """The mark of a trainer that has ended so."""
    trainer = Trainer([sys.executable, "-c", ENDS, str(code)], {})
    marks.append(trainer.mark)
    wait_until(trainer.ended, what="its end")
    assert trainer.collect() == code
    trainer.close()
    return trainer.mark


@pytest.mark.parametrize("code", [0, 1, 75])
def test_only_the_followers_of_a_finished_run_may_stay(code: int, marks: list[Mark]) -> None:
    mark = left(code, marks)
    if code:
        wait_until(lambda: mark.followers not in sweep.alive(), what="the follower's end")
    else:
        assert mark.followers in sweep.alive()


def test_a_worker_waits_for_the_followers_of_all_runs_but_the_last_two(marks: list[Mark]) -> None:
    kept, turns = Followers(), []
    for _ in range(3):
        kept.stay(left(0, marks))

    def waited() -> bool:
        turns.append(len(turns))
        if len(turns) == 2:
            sweep.end_remains(marks[0].followers)  # as if it had sent everything
        return len(turns) < 1000

    kept.wait(waited)
    assert 2 <= len(turns) < 1000
    before = len(turns)
    kept.wait(waited)  # two may stay
    assert len(turns) == before
    kept.wait(lambda: False, few=0)  # whoever is asked to leave waits for none
    assert {marks[1].followers, marks[2].followers} <= sweep.alive()


def test_a_follower_that_does_not_end_itself_is_ended(
    marks: list[Mark], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "LONGEST_S", 0.0)
    kept = Followers()
    kept.stay(left(0, marks))
    turns = iter(range(1000))
    kept.wait(lambda: next(turns, None) is not None, few=0)
    assert next(turns, None) is not None
    assert marks[0].followers not in sweep.alive()


def test_a_follower_ends_with_a_trainer_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "told.jsonl"
    config = tiny(track={"to": ["tensorboard"]})
    begun = Begun(id="7k3m9q", name="a", batch="", track=config.track, config=config.canonical())
    file.write_text(begun.model_dump_json() + "\n" + '{"kind": "ended", "co')  # as a crash has it
    follower = subprocess.Popen(
        [sys.executable, "-m", "trainer", "follow", "tensorboard", str(file)],
        stdin=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert follower.stdin
    wait_until(lambda: list(tmp_path.glob("tensorboard/events*")), 60, "its event file")
    follower.send_signal(signal.SIGINT)  # a Ctrl-C is for the trainer
    assert follower.poll() is None
    follower.stdin.close()
    assert follower.wait(PATIENCE_S) == 1
