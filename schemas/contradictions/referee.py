"""What may contradict what: which rule looks at which parts of a config, and who looks."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from schemas.contradictions import augmenting, images, learning, models, using
from schemas.contradictions.contradiction import Contradiction

Parts = Callable[[BaseModel], tuple[Any, ...]]  # of the whole config, which imports us


def _parts(*names: str) -> Parts:
    """The values at these dotted names."""
    if len(names) > 1:
        return attrgetter(*names)
    only = attrgetter(*names)
    return lambda config: (only(config),)


# each rule, and the parts of a config that are all it looks at
RULES: tuple[tuple[Callable[..., Iterable[Contradiction]], Parts], ...] = (
    (images.of_the_data, _parts("data", "mix")),
    (learning.of_the_steps, _parts("train", "data.batch_size")),
    (learning.of_the_compiler, _parts("train", "model")),
    (learning.of_the_optimizer, _parts("optim")),
    (learning.of_the_rates, _parts("schedule", "train.epochs", "optim.lr")),
    (models.of_the_model, _parts("model", "data.img_size")),
    (augmenting.of_the_crops, _parts("augment")),
    (augmenting.of_the_batches, _parts("augment", "data")),
    (augmenting.of_the_stages, _parts("augment", "train.epochs")),
    (augmenting.of_the_sizes, _parts("data", "model", "train.epochs")),
    (augmenting.of_the_width, _parts("data", "model", "augment")),
    (learning.of_the_loss, _parts("loss", "data.source")),
    (models.of_the_features, _parts("model", "augment", "mix", "data")),
    (learning.of_the_margin, _parts("loss", "model", "mix")),
    (models.of_the_answers, _parts("model", "loss", "data.source")),
    (models.of_the_years, _parts("model", "loss", "data")),
    (using.of_the_vote, _parts("predict")),
    (using.of_the_tracking, _parts("track")),
    (using.of_the_search, _parts("search", "train.epochs")),
)


class Referee:
    """Finds what no single key can know to be wrong; the same parts are looked at once.

    A part is known by which it is, not by what it equals.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, ...], tuple[list[Contradiction], object]] = {}

    def contradictions(self, config: BaseModel) -> list[Contradiction]:
        """All of them, in the order of the rules."""
        found: list[Contradiction] = []
        for number, (rule, parts_of) in enumerate(RULES):
            parts = parts_of(config)
            seen = (number, *map(id, parts))
            known = self._found.get(seen)
            if known is None:  # the parts are kept too, so that their ids stay their own
                known = self._found[seen] = list(rule(*parts)), parts
            found += known[0]
        return found
