"""Where a run is shown beside its own folder; no training hangs on it."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.components.spec import Spec, Switch

# what W&B takes as a project; groups and tags may hold more
PROJECT = r"^[^/\\#?%:\x00-\x1f]{1,128}$"
WORDS = r"^[^\x00-\x1f]{1,64}$"
Project = Annotated[str, StringConstraints(pattern=PROJECT)]
Words = Annotated[str, StringConstraints(pattern=WORDS)]
Few = Annotated[int, Field(strict=True, ge=0, le=100)]


class Track(Spec):
    """Where a run is shown beside its own folder; metrics.csv is written in any case.

    Pictures may use 1% of the training's time: those of the shortest epochs are passed over.
    """

    to: tuple[Literal["wandb", "tensorboard"], ...] = ()
    """Who is told of every epoch; left out: nobody."""
    project: Project | None = None
    """W&B's; left out: WANDB_PROJECT, or trainq."""
    group: Words | None = None
    """W&B's; left out: the batch that the run is of."""
    job_type: Words = "train"
    """W&B's word for what a run does."""
    tags: tuple[Words, ...] = ()
    """W&B's, to find runs by."""
    weights: Switch = False
    """Give W&B the best weights of a finished run, as a model artifact."""
    confusion: Switch = False
    """Show at every evaluation which classes are taken for which."""
    wrong: Few = 0
    """So many images at every evaluation, of which the model was surest and wrong."""
    grid: Few = 0
    """So many validation images at every evaluation, the same each time, with truth and answer."""
