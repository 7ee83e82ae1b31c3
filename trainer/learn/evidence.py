"""What is kept of a run whose loss was no number: the batch with which that began, to look at."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from safetensors.torch import save_file

from schemas.rundir import AttemptDir, write_atomic
from trainer.data.images import Images
from trainer.data.loader import Pictures, stream
from trainer.data.plan import Plan
from trainer.faults import Diverged

LOG = logging.getLogger(__name__)


@contextmanager
def kept(attempt: AttemptDir, pictures: Pictures, plan: Plan) -> Iterator[None]:
    """Nobody holds on to batches for this: a batch is a function of its place in the plan."""
    try:
        yield
    except Diverged as error:
        if error.step is not None and plan.rank == 0:
            try:
                keep(attempt, pictures, plan, error.step)
                error.where = str(attempt.diverged)
            except OSError as disk:
                LOG.warning("could not keep the batch of step %s: %s", error.step, disk)
        raise


def keep(attempt: AttemptDir, pictures: Pictures, plan: Plan, step: int) -> None:
    """The augmented images of a step, before any were mixed, their labels, and their files."""
    whole, epoch = replace(plan, rank=0, ranks=1), step // plan.steps_per_epoch
    places = next(whole.batches(epoch, step))
    images, targets = next(stream(pictures, [places], 0, torch.device("cpu")))
    attempt.diverged.mkdir(exist_ok=True)
    batch = {"images": images.contiguous(), "targets": targets}
    save_file(batch, attempt.diverged / "batch.safetensors")
    said = {
        "step": step,
        "epoch": epoch + 1,
        "files": [str(pictures.images.paths[image]) for _, image in places],
        "classes": [said_of(pictures.images, target) for target in targets.tolist()],
    }
    write_atomic(attempt.diverged / "batch.json", json.dumps(said, indent=1).encode())


def said_of(images: Images, label: int) -> str:
    """A training label in words."""
    return f"{label} years" if images.numbers else images.classes[label]
