"""How good a model is, measured on the whole validation part; and which value is better."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from schemas.components.loop import LOWER_IS_BETTER
from schemas.run import Best
from trainer.data.loader import Batch
from trainer.judge import scores
from trainer.judge.predictions import Probabilities
from trainer.judge.scores import Labels
from trainer.learn.learner import Learner


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model said of every validation image, and how good that is."""

    values: dict[str, float]
    true: Labels
    probabilities: Probabilities


@torch.inference_mode()
def evaluate(learner: Learner, batches: Iterable[Batch], classes: int) -> Evaluation:
    """Accuracy, macro F1 and plain cross entropy; they stay on the device until the last batch."""
    learner.crew.align(learner.judged)
    said = [torch.empty(0, classes, device=learner.device)]
    answers = [torch.empty(0, dtype=torch.int64, device=learner.device)]
    loss = torch.zeros((), dtype=torch.float64, device=learner.device)
    for images, answer in map(learner.place, batches):
        logits = learner.logits(images).float()
        loss += F.cross_entropy(logits, answer, reduction="sum")
        said.append(logits.softmax(1))
        answers.append(answer)
    mine = loss.item(), torch.cat(said).cpu(), torch.cat(answers).cpu()
    losses, said_of, answers_of = zip(*learner.crew.gather(mine), strict=True)
    probabilities, true = torch.cat(said_of).numpy(), torch.cat(answers_of).numpy()
    matrix = scores.confusion(true, probabilities.argmax(1), classes)
    values = {
        "loss": sum(losses) / len(true),
        "accuracy": scores.accuracy(matrix),
        "macro_f1": scores.macro_f1(matrix),
    }
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return Evaluation(finite, true, probabilities)


def ranked(tops: Sequence[Best], new: Best, keep: int) -> list[Best]:
    """The best ones so far, the best first; of equals the first one stays before the other."""
    worse = [n for n, old in enumerate(tops) if better(new.metric, new.value, old.value)]
    place = min(worse, default=len(tops))
    return [*tops[:place], new, *tops[place:]][:keep]


def better(metric: str, value: float, than: float | None) -> bool:
    """Strictly better: of equals the first one stays."""
    if than is None:
        return True
    return value < than if metric in LOWER_IS_BETTER else value > than
