"""The trainer's side: it writes lines into a file and never waits; followers read them.

A follower is a process of its own: what W&B or TensorBoard do, cost or break is not the run's. It
ends with the trainer, but for that of a finished run under a worker: it may stay a while, so that
nobody waits for a GPU that only an upload holds. No other attempt of a finished run can follow, so
nobody else speaks for it meanwhile.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from schemas.components.track import Track
from schemas.config import TrainConfig
from schemas.events import FOLLOWER, MARK, ExitCode, Order
from schemas.rundir import AttemptDir
from trainer.tracking.told import OFFLINE_S, Begun, Ended, Rows, Sight, Told

LOG = logging.getLogger(__name__)
# what followers get at the end: of a finished run, of one that leaves, of one that gives its
# weights away
LAST_S, LEAVING_S, WEIGHTS_S = 20.0, 5.0, 300.0


class Tracking:
    """An attempt as it is told to its followers; to nobody before it begins."""

    def __init__(self) -> None:
        self.file, self.track, self.began = Path(), Track(), 0.0
        self.followers: dict[str, subprocess.Popen[bytes]] = {}

    def begin(self, config: TrainConfig, order: Order, attempt: AttemptDir) -> None:
        """Start those whom the config names; whoever cannot start is not told."""
        self.file, self.track, self.began = attempt.told, config.track, time.monotonic()
        for place in config.track.to:
            self._start(place)
        self.tell(
            Begun(
                id=order.shown_as or order.run,
                name=order.name or config.name or order.run,
                batch=order.batch,
                track=config.track,
                config=config.canonical(),
            )
        )

    def _start(self, place: str) -> None:
        command = [sys.executable, "-m", "trainer", "follow", place, str(self.file.absolute())]
        try:
            self.file.touch()
            self.followers[place] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # nobody writes: its end tells the follower of ours
                stdout=2,  # ours may be a pipe to the worker
                start_new_session=True,  # a Ctrl-C is for the run alone
                env=os.environ | marked(os.environ),
            )
        except OSError as error:
            LOG.warning("%s is not told of this run: %s", place, error)

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Epochs that are closed."""
        if told := tuple(map(dict, rows)):
            self.tell(Rows(rows=told))

    def sight(self, sight: Sight) -> None:
        """What there is to see, and when: followers draw no more than the time allows."""
        after_s = round(time.monotonic() - self.began, 3)
        self.tell(sight.model_copy(update={"after_s": after_s}))

    def end(self, ended: Ended) -> None:
        """The last line, and a little patience with those who have to send it."""
        limit = LAST_S if ended.code == ExitCode.FINISHED else LEAVING_S
        limit = WEIGHTS_S if ended.weights else limit
        self.tell(ended.model_copy(update={"limit_s": limit}))
        if ended.code == ExitCode.FINISHED and MARK in os.environ:
            return  # a worker knows them
        for follower in self.followers.values():
            assert follower.stdin
            follower.stdin.close()
        for follower in self.followers.values():
            try:
                follower.wait(limit + OFFLINE_S)
            except subprocess.TimeoutExpired:
                follower.kill()
                follower.wait()

    def tell(self, told: Told) -> None:
        """A line for all of them."""
        if not self.followers:
            return
        try:
            with self.file.open("ab") as file:
                file.write(told.model_dump_json().encode() + b"\n")
        except (OSError, ValueError) as error:  # a full disk; a name that no JSON can hold
            LOG.warning("could not write %s: %s", self.file.name, error)


def marked(env: Mapping[str, str]) -> dict[str, str]:
    """What the environment of a follower has of its own: the worker spares it at our end."""
    return {MARK: env[MARK] + FOLLOWER} if MARK in env else {}
