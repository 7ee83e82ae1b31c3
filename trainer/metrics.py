"""How good a model is, measured on the whole validation part; and which value is better."""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F

from trainer import scores
from trainer.data.loader import Batch
from trainer.learner import Learner

LOWER_IS_BETTER = frozenset({"loss"})


@torch.inference_mode()
def evaluate(learner: Learner, batches: Iterable[Batch]) -> dict[str, float]:
    """Accuracy, macro F1 and plain cross entropy; they stay on the device until the last batch."""
    learner.crew.align(learner.model)
    nothing = torch.empty(0, dtype=torch.int64, device=learner.device)
    guesses, answers = [nothing], [nothing]
    loss = torch.zeros((), dtype=torch.float64, device=learner.device)
    for images, answer in map(learner.place, batches):
        logits = learner.logits(images).float()
        loss += F.cross_entropy(logits, answer, reduction="sum")
        guesses.append(logits.argmax(1))
        answers.append(answer)
    mine = loss.item(), torch.cat(guesses).cpu(), torch.cat(answers).cpu()
    losses, guesses_of, answers_of = zip(*learner.crew.gather(mine), strict=True)
    guessed, true = torch.cat(guesses_of).numpy(), torch.cat(answers_of).numpy()
    matrix = scores.confusion(true, guessed, int(max(true.max(), guessed.max())) + 1)
    values = {
        "loss": sum(losses) / len(true),
        "accuracy": scores.accuracy(matrix),
        "macro_f1": scores.macro_f1(matrix),
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def better(metric: str, value: float, than: float | None) -> bool:
    """Strictly better: of equals the first one stays."""
    if than is None:
        return True
    return value < than if metric in LOWER_IS_BETTER else value > than
