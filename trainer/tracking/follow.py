"""The process that reads what a trainer tells and passes it on. Loads no torch."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from trainer import lifeline
from trainer.tracking.pace import Paced, Place
from trainer.tracking.told import OFFLINE_S, TOLD, Ended, Sight, Told

LOG = logging.getLogger(__name__)
LOOK_S = 0.2
NAMES = {"wandb": "W&B", "tensorboard": "TensorBoard"}


def follow(place: str, file: Path, why: str = "") -> int:
    """Pass on all lines; the exit code is for whoever looks. W&B's go into a file: it says why."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # it never takes a core that the run could use
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    logging.getLogger("trainer").setLevel(logging.INFO)
    threading.Thread(target=guard, args=(place, file), daemon=True).start()
    try:
        shown = Paced(NAMES[place], opened(place, file, why), lambda epoch: seen(file, epoch))
        for told in lines(file):
            shown.take(told)
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        LOG.warning("the run goes on without %s: %s %s", NAMES[place], type(error).__name__, words)
        offline(place, file, "it has failed")
        return 1
    return 0


def opened(place: str, file: Path, why: str) -> Place:
    """The place of a name; what it needs is imported only here."""
    if place == "wandb":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to a server of its makers
        os.environ.setdefault("WANDB_DATA_DIR", str(file.parent / "wandb"))
        from trainer.tracking.on_wandb import OnWandb

        return OnWandb(file.parent, os.environ, why)
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


def seen(file: Path, epoch: int) -> Sight | None:
    """What was told of an epoch, after all is told; nothing where the run was pruned since."""
    try:
        return next((t for t in lines(file) if isinstance(t, Sight) and t.epoch == epoch), None)
    except OSError:
        return None


def guard(place: str, file: Path) -> None:
    """Ends this process when its trainer has died, or had ended in order and the time is over.

    Whatever W&B hangs in: its own process is ended first.
    """
    os.read(0, 1)  # a pipe on which nobody writes: this is its end
    if ended := last_word(file):
        limit_s = max(ended.limit_s, OFFLINE_S) if is_offline() else ended.limit_s
        time.sleep(limit_s)
        LOG.warning("%s has not taken everything in %.0f s", NAMES[place], limit_s)
        offline(place, file, "it has not taken everything in time")
    lifeline.end_children()
    os._exit(1)


def offline(place: str, file: Path, why: str) -> None:
    """Begin anew, with all lines, into a file that can be sent later; for W&B alone, and once.

    What W&B has of a run that it is sending lies in the memory of its own process.
    """
    if place == "wandb" and not is_offline():
        lifeline.end_children()
        command = [sys.executable, "-m", "trainer", "follow", place, str(file), why]
        os.environ.pop("WANDB_SERVICE", None)  # the address of the one that is gone
        os.execve(sys.executable, command, os.environ | {"WANDB_MODE": "offline"})


def is_offline() -> bool:
    return os.environ.get("WANDB_MODE") == "offline"


def last_word(file: Path) -> Ended | None:
    """The end, where the trainer came to it."""
    try:
        told = TOLD.validate_json(file.read_bytes().splitlines()[-1])
    except (OSError, IndexError, ValidationError):  # cut off, or pruned
        return None
    return told if isinstance(told, Ended) else None
