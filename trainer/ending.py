"""When a run has learnt enough before its last epoch. A function of what was measured, so that a
run that was interrupted ends where it would have ended.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.components.loop import Evaluate
from schemas.errors import count
from trainer.judge.metrics import better


def enough(
    evaluate: Evaluate, rows: Sequence[Mapping[str, Any]], seconds: float, limit_s: float
) -> str:
    """Why no further epoch begins; empty to go on. Never before there are best weights."""
    if not any(evaluate.metric in row for row in rows):
        return ""
    if limit_s and seconds >= limit_s and evaluate.metric in rows[-1]:
        return f"{seconds:.0f} s of training, and train.limit_s={limit_s:g}"
    metric = evaluate.patience_metric or evaluate.metric
    waited = since_best(metric, [row[metric] for row in rows if metric in row])
    if evaluate.patience and waited >= evaluate.patience:
        return f"no better {metric} for {count(waited, 'evaluation')}"
    return ""


def since_best(metric: str, values: Sequence[float]) -> int:
    """How many evaluations have come since the best one; of equals the first one counts."""
    best, waited = None, 0
    for value in values:
        waited += 1
        if better(metric, value, best):
            best, waited = value, 0
    return waited
