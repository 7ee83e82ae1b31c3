"""What of optimizers and schedules no single key can know to be wrong."""

from collections.abc import Iterator

from schemas import timm_optimizers
from schemas.components.optim import Named, Optim, Sgd
from schemas.components.schedule import MultiStep, OneCycle, Restarts, Schedule
from schemas.contradictions import Contradiction


def of_the_optimizer(optim: Optim) -> Iterator[Contradiction]:
    """A look ahead along nothing, options that an optimizer does not have."""
    if isinstance(optim, Named):
        for option, value in optim.options.items():
            if refusal := timm_optimizers.refusal_of_option(optim.name, option, value):
                key = f"optim.options.{option}"
                yield Contradiction(key, refusal[0], ("optim.name",), refusal[1])
    if isinstance(optim, Sgd) and optim.nesterov and not optim.momentum:
        text = "nesterov needs a momentum"
        yield Contradiction("optim.nesterov", text, ("optim.momentum",), "write momentum: 0.9")


def of_the_rates(schedule: Schedule, epochs: int, peak: float) -> Iterator[Contradiction]:
    """A schedule that does not fit into the run, or goes up where it should go down."""
    if isinstance(schedule, OneCycle):
        return
    warmup = schedule.warmup_epochs
    if warmup >= epochs:
        text = f"the warm-up must be shorter than the run of {epochs} epochs"
        yield Contradiction("schedule.warmup_epochs", text, ("train.epochs",))
    if isinstance(schedule, Restarts) and warmup >= schedule.first:
        text = f"the warm-up must be shorter than the first cosine, of {schedule.first:g} epochs"
        yield Contradiction("schedule.warmup_epochs", text, ("schedule.first",))
    if warmup > 0 and schedule.warmup_lr > peak:
        text = f"the warm-up must start at or below optim.lr, which is {peak:g}"
        others = ("optim.lr", "schedule.warmup_epochs")
        yield Contradiction("schedule.warmup_lr", text, others)
    if getattr(schedule, "min_lr", 0.0) > peak:
        text = f"the {schedule.kind} must end at or below optim.lr, which is {peak:g}"
        yield Contradiction("schedule.min_lr", text, ("optim.lr",))
    if isinstance(schedule, MultiStep) and list(schedule.at) != sorted(set(schedule.at)):
        yield Contradiction("schedule.at", f"epochs must go up, got {list(schedule.at)}")
