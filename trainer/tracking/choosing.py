"""Which images of an evaluation are worth showing; the trainer's side."""

from collections.abc import Iterable

import numpy as np

from schemas.components.track import Track
from trainer.data.images import Images
from trainer.data.split import Indices
from trainer.judge import scores
from trainer.judge.metrics import Evaluation
from trainer.tracking.told import Shown, Sight


def asked_for(track: Track) -> bool:
    """Whether there is anything to choose."""
    return bool(track.to and (track.confusion or track.wrong or track.grid))


def chosen(track: Track, epoch: int, images: Images, which: Indices, found: Evaluation) -> Sight:
    """What the config asks to see of this evaluation."""
    answers = found.probabilities.argmax(1)
    sure = found.probabilities.max(1)

    def shown(numbers: Iterable[int]) -> tuple[Shown, ...]:
        return tuple(
            Shown(
                path=str(images.paths[which[number]].absolute()),
                name=images.names[which[number]],
                true=images.classes[found.true[number]],
                answer=images.classes[answers[number]],
                sure=round(float(sure[number]), 4),
            )
            for number in numbers
        )

    cells: list[tuple[int, int, int]] = []
    if track.confusion:
        matrix = scores.confusion(found.true, answers, len(images.classes))
        cells = [(t, a, n) for t, a in np.argwhere(matrix).tolist() if (n := int(matrix[t, a]))]
    wrong = np.flatnonzero(answers != found.true)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][: track.wrong]
    grid = np.linspace(0, len(answers) - 1, min(track.grid, len(answers))).astype(int)
    return Sight(
        epoch=epoch,
        classes=images.classes if track.confusion else (),
        cells=tuple(cells),
        wrong=shown(wrong.tolist()),
        grid=shown(grid.tolist()),
    )
