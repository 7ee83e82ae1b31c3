"""How long, how exactly, how safely; and what a good model is."""

from typing import Literal

from schemas.components.spec import Count, NonNegative, Positive, Spec, Switch, Whole


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


class Evaluate(Spec):
    """What a good model is."""

    metric: Literal["accuracy", "macro_f1", "loss"] = "accuracy"
    """Which value picks the best epoch."""
    every: Count = 1
    """Epochs between two evaluations; the last epoch is always evaluated."""
