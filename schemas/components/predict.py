"""How the test set is answered by one or several finished runs; no training hangs on it."""

from typing import Literal

from schemas.components.spec import Positive, Spec, Switch


class Predict(Spec):
    """How the test set is answered. A member is one run, or all folds of one config."""

    tta: tuple[Literal["hflip", "crops", "scales"], ...] = ()
    """More looks at each image, whose mean counts."""
    vote: Literal["soft", "hard", "rank"] = "soft"
    """soft: the mean probability; hard: each run names one class; rank: the mean of ranks."""
    ties: Literal["mean", "rare"] = "mean"
    """Of a hard vote: the larger mean probability wins, or the rarer class."""
    weights: tuple[Positive, ...] = ()
    """How much each member counts, in the order of the runs; left out: all alike."""
    search_weights: Switch = False
    """Look for the weights of members that were best on their validation images."""
    tune_priors: Switch = False
    """Give each class the weight that was best for macro F1 on the validation images."""
