"""The process that reads what a trainer tells and passes it on. Loads no torch."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from trainer.tracking.told import TOLD, Ended, Told

LOG = logging.getLogger(__name__)
LOOK_S = 0.2
NAMES = {"wandb": "W&B", "tensorboard": "TensorBoard"}


class Place(Protocol):
    """Where a run is shown. It may raise whatever it likes: it is told nothing more then."""

    def take(self, told: Told) -> None:
        """One line after the other; the first says which run it is."""


def follow(place: str, file: Path) -> int:
    """Pass on all lines; the exit code is for whoever looks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # it never takes a core that the run could use
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("trainer").setLevel(logging.INFO)
    try:
        shown = opened(place, file)
        for told in lines(file):
            shown.take(told)
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        LOG.warning("the run goes on without %s: %s %s", NAMES[place], type(error).__name__, words)
        return 1
    return 0


def opened(place: str, file: Path) -> Place:
    """The place of a name; what it needs is imported only here."""
    if place == "wandb":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to a server of its makers
        os.environ.setdefault("WANDB_DATA_DIR", str(file.parent / "wandb"))
        from trainer.tracking.on_wandb import OnWandb

        return OnWandb(file.parent, os.environ)
    from trainer.tracking.on_tensorboard import OnTensorBoard

    return OnTensorBoard(file.parent)


def lines(file: Path) -> Iterator[Told]:
    """Every line, as soon as it is there whole, up to the last one."""
    with file.open("rb") as lines:
        rest = b""
        while True:
            rest += lines.readline()
            if not rest.endswith(b"\n"):
                time.sleep(LOOK_S)
                continue
            told, rest = TOLD.validate_json(rest), b""
            yield told
            if isinstance(told, Ended):
                return
