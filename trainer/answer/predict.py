"""What finished runs say of the test set: one pass for each model and view, kept as it is made.

An interrupted prediction goes on where it was, in the middle of a pass too.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import resolve_model_data_config
from torch import nn

from schemas.components.data import Data
from schemas.components.sources import TestRows
from schemas.errors import UsageError
from schemas.rundir import write_atomic
from trainer import machine
from trainer.answer import stretches, views
from trainer.answer.finished import Finished
from trainer.answer.panel import Panel, Voice
from trainer.answer.views import PLAIN, View
from trainer.data import files, loader, pixels, sources
from trainer.data.course import Course, Way
from trainer.data.images import Images
from trainer.data.plan import VALIDATION
from trainer.data.split import Indices
from trainer.data.transforms import Normal
from trainer.faults import DataFault
from trainer.judge import sheets, tables
from trainer.judge.predictions import Probabilities
from trainer.judge.scores import Labels
from trainer.learn import outputs
from trainer.learn.learner import DTYPES
from trainer.machine import Precision

Alive = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be predicted, by whom."""

    runs: Sequence[Finished]
    views: Sequence[View]
    test: TestRows
    data_root: Path
    cache_root: Path
    work: Path  # where passes are kept until all are done


def said(job: Job, images: Images, alive: Alive) -> list[Probabilities]:
    """What each run says, the mean of its views."""
    job.work.mkdir(parents=True, exist_ok=True)
    everything = []
    for run in job.runs:
        passes = [one_pass(job, run, view, images, alive) for view in job.views]
        everything.append(np.mean(np.stack(passes), axis=0).astype(np.float32))
    return everything


def one_pass(job: Job, run: Finished, view: View, images: Images, alive: Alive) -> Probabilities:
    """One model, one view, every image; what was made of it before is not made again."""
    key = hashlib.sha256(f"{run.weights} {view} {images.digest}".encode()).hexdigest()[:16]
    size = run.config.data.batch_size
    batches = -(-len(images.names) // size)

    def rest(start: int) -> Iterator[Probabilities]:
        said = batches_said(job, run, view, images, alive, start)
        for number, part in enumerate(said, start // size + 1):
            yield part  # is kept, whatever comes of what follows
            alive(f"{run.name} {view.name}: {number} of {batches}")

    file = job.work / f"{run.name}-{view.name}-{key}.npy"
    return stretches.whole(file, len(images.names), rest)


def batches_said(
    job: Job, run: Finished, view: View, images: Images, alive: Alive, start: int
) -> Iterator[Probabilities]:
    """The probabilities of each batch of the images from this one on."""
    which = np.arange(start, len(images.names))
    return answers_of(run, run.net(), images, which, job.cache_root, alive, view)


@torch.inference_mode()
def answers_of(
    run: Finished,
    model: nn.Module,
    images: Images,
    which: Indices,
    cache_root: Path,
    alive: Alive,
    view: View = PLAIN,
) -> Iterator[Probabilities]:
    """What a model says of these images, batch by batch, as the run's config shows them."""
    data, device = run.config.data, machine.device()
    net = machine.place(model, device)
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    normal = Normal(look, device, run.config.model.in_chans)
    see = views.seen(view, data.extent, look)
    picture = pixels.pictures(data, images, cache_root, alive)
    pictures = loader.Pictures(images, Course(Way(picture, see)), run.config.seed)
    said = outputs.of(run.config, len(run.classes))
    dtype = DTYPES.get(precision(run, device))
    size = data.batch_size
    places = (
        [(VALIDATION, image) for image in which[start : start + size].tolist()]
        for start in range(0, len(which), size)
    )
    for batch, _ in loader.stream(pictures, places, data.workers, device):
        shown = normal(batch.to(device, non_blocking=True))
        shown = shown.to(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits = net(shown)
        yield said.joint(logits.float()).softmax(1).cpu().numpy()


def precision(run: Finished, device: torch.device) -> Precision:
    """As the run was trained, where this device can."""
    return machine.precision("auto", run.meta["precision"], device)


def images_of(test: TestRows, data_root: Path) -> Images:
    """The test set as images without answers."""
    found = sources.test_images(test, data_root)
    names, paths = tuple(found), tuple(found.values())
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if missing[5:] else "")
        what = f"{len(missing)} of {len(paths)} test images are missing: {named}"
        raise DataFault(what, fix="data.test.images is the folder that their names are below")
    # the files themselves: an interrupted pass of other images of these names is none of theirs
    digest = files.key_of([str(path) for path in paths], list(map(files.facts_of, paths)))
    return Images(paths, (0,) * len(names), (), names, digest)


def test_of(data: Data, run: Finished) -> TestRows:
    """The test set that a config names."""
    if data.test is None:
        raise UsageError(
            f"the config of {run.name} names no test set",
            fix="add data.test.root=eval (and data.test.csv, .images, .image, .answer)",
        )
    return data.test


# ---- handing in ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """What was said, and of which images."""

    images: Images
    answers: Labels
    together: Probabilities  # the mean, each voice by its weight


def voices(runs: Sequence[Finished]) -> list[Voice]:
    return [Voice(run.folder, run.config, run.classes) for run in runs]


def answered(job: Job, panel: Panel, alive: Alive) -> Answered:
    """Let every run speak, and count."""
    images = images_of(job.test, job.data_root)
    everything = said(job, images, alive)
    return Answered(images, panel.answers(everything), panel.together(everything))


def hand_in(job: Job, panel: Panel, out: Path, alive: Alive, table: Path | None = None) -> None:
    """The submission file, how it came to be, and all probabilities; the parts go last."""
    done = answered(job, panel, alive)
    write_atomic(out, submission(job.test, job.data_root, done.answers))
    write_note(out, note(job, panel))
    if table:
        tables.write(table, done.images.names, done.together)
    shutil.rmtree(job.work)


def submission(test: TestRows, data_root: Path, answers: Labels) -> bytes:
    """The competition's own table with the answers filled in: its columns, its rows, its order."""
    table = data_root / test.root / test.csv
    try:
        return sheets.filled(table, test.answer, answers.tolist())
    except ValueError as error:  # it is another table than it was when it was read
        raise DataFault(f"{table} has not as many rows as there are answers") from error


def note(job: Job, panel: Panel) -> dict[str, Any]:
    """How the answers came to be."""
    return {
        "runs": {run.name: str(run.weights) for run in job.runs},
        "views": [view.name for view in job.views],
        "classes": len(panel.classes),
        **panel.note,
    }


def write_note(out: Path, facts: Mapping[str, Any]) -> None:
    """Beside the file that they are about."""
    write_atomic(out.with_name(f"{out.name}.json"), json.dumps(facts, indent=2).encode())
