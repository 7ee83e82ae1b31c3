"""How long, how exactly, how safely; and what a good model is."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.components.spec import (
    BelowOne,
    Count,
    NonNegative,
    Part,
    Positive,
    Spec,
    Switch,
    Whole,
)

Metric = Literal["accuracy", "macro_f1", "loss"]
LOWER_IS_BETTER = frozenset({"loss"})


class NoAverage(Spec):
    """The weights as they are."""

    kind: Literal["none"] = "none"


class Ema(Spec):
    """An exponential moving average of the weights is what is evaluated and kept."""

    kind: Literal["ema"] = "ema"
    decay: BelowOne = 0.9998
    """How much of the average stays at each step."""
    warmup: Switch = True
    """Less stays in the first steps, 1 - (1 + step) ** -2/3: a short run needs it."""


class Swa(Spec):
    """The plain mean of the weights of the last steps is what is evaluated and kept."""

    kind: Literal["swa"] = "swa"
    start: Part = 0.75
    """From this part of the run on."""


Average = Annotated[NoAverage | Ema | Swa, Field(discriminator="kind")]


class Loop(Spec):
    """How long, how exactly, how safely."""

    epochs: Count = 10
    """Passes over the training part."""
    accumulate: Count = 1
    """Micro-batches an optimizer step; divides the batch."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """auto: bf16 where the GPU has it, fp16 with a scaler on a V100, fp32 on the CPU."""
    clip_norm: NonNegative = 0.0
    """Gradient norm limit; 0 is off."""
    clip_value: NonNegative = 0.0
    """Limit of every single value of a gradient; 0 is off."""
    clip_agc: NonNegative = 0.0
    """Adaptive: limit of a gradient's norm as a part of its weight's, row by row, the head apart;
    0 is off."""
    average: Average = Field(default_factory=NoAverage)
    """Of the weights, over steps."""
    compile: Switch = False
    """Let torch.compile write kernels of its own for the model: minutes at the start of a run."""
    limit_s: NonNegative = 0.0
    """Seconds of training after which no further epoch begins; 0 is off."""
    deterministic: Switch = False
    """Also choose only kernels that repeat bit by bit on a GPU."""
    log_every: Count = 10
    """Steps between two looks at the loss."""
    save_every_s: Positive = 300.0
    """Seconds between two checkpoints; every epoch's end may save too."""
    save_every_steps: Whole = 0
    """Steps between two checkpoints; 0: by time only."""
    nan_limit: Count = 3
    """Steps in a row with a loss that is no number before the run counts as diverged."""

    @property
    def clips(self) -> bool:
        """Whether gradients have a limit."""
        return bool(self.clip_norm or self.clip_value or self.clip_agc)


class Evaluate(Spec):
    """What a good model is."""

    metric: Metric = "accuracy"
    """Which value picks the best epoch."""
    every: Count = 1
    """Epochs between two evaluations; the last epoch is always evaluated."""
    patience: Whole = 0
    """Evaluations in a row without a better value before the run is finished; 0 is off."""
    patience_metric: Metric | None = None
    """Which value must get better; left out: the one that picks the best epoch."""
    keep: Annotated[Count, Field(le=50)] = 1
    """How many of the best epochs leave their weights: best, best-2, best-3 ..."""
    keep_last: Switch = False
    """The last weights stay too, whether they are good or not: last."""
