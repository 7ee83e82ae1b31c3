"""What a frozen backbone says of each image, computed once; then only the head trains.

Every image is seen in a few augmented views, those of the first epochs; epoch after epoch they come
round again. An attempt that goes on computes them anew and finds the same.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from schemas.components.model import Timm
from schemas.config import TrainConfig
from schemas.errors import count
from trainer.data.loader import Batch, Pictures, Sample, stream
from trainer.data.plan import VALIDATION, Place, Plan
from trainer.faults import ConfigFault
from trainer.learn.learner import Learner
from trainer.learn.nets import classifiers

Alive = Callable[[str], None]


class Features(Pictures):
    """Samples by their places, as the head sees them."""

    def __init__(self, pictures: Pictures, rows: Mapping[Place, Tensor], views: int) -> None:
        super().__init__(pictures.images, pictures.course, pictures.seed)
        self.rows, self.views = rows, views

    def __getitem__(self, place: Place) -> Sample:
        epoch, index = place
        if epoch == VALIDATION:
            return self.rows[place], self.images.targets[index]
        return self.rows[epoch % self.views, index], self.label(epoch, index)


def instead(
    config: TrainConfig, pictures: Pictures, plan: Plan, learner: Learner, alive: Alive
) -> Pictures:
    """The features in place of the pictures, where the config wants that; the learner's models are
    their heads from here on, though they keep all weights.
    """
    views = min(config.model.feature_views, plan.epochs)
    if not views:
        return pictures
    places = [(VALIDATION, image) for image in plan.parts.validate.tolist()]
    places += [(view, image) for view in range(views) for image in plan.parts.train.tolist()]
    cuts = [places[start : start + plan.batch] for start in range(0, len(places), plan.batch)]
    batches = stream(pictures, cuts, config.data.workers, learner.device)
    rows: dict[Place, Tensor] = {}
    for cut, said in zip(cuts, computed(batches, learner), strict=True):
        alive(f"features: {len(rows)} of {count(len(places), 'view')}")
        rows |= zip(cut, said[0].cpu(), strict=True)
    dropped = config.model.drop_rate if isinstance(config.model, Timm) else 0.0
    for model in {learner.model, learner.judged}:
        only_head(model, dropped)
    learner.normal = None
    refuse_what_is_behind(learner, *said)
    return Features(pictures, rows, views)


def computed(batches: Iterator[Batch], learner: Learner) -> Iterator[tuple[Tensor, Tensor]]:
    """What the head sees of each batch, and what it says to that."""
    with what_the_head_sees(learner.judged) as seen, torch.no_grad():
        for images, _ in map(learner.place, batches):
            seen.clear()
            logits = learner.logits(images)
            rows = torch.cat(seen)[-len(images) :].float()  # where memory was small: the last try
            yield rows.reshape(*rows.shape, *[1] * (4 - rows.ndim)), logits


def refuse_what_is_behind(learner: Learner, seen: Tensor, logits: Tensor) -> None:
    """The head alone must say what the whole model said."""
    with torch.no_grad():
        said = learner.logits(seen)
    if said.shape != logits.shape or not torch.allclose(said, logits, rtol=0.02, atol=0.02):
        name = type(learner.model).__name__
        what = f"{name} does more with its features than its head says"
        raise ConfigFault(what, fix="model.feature_views=0")


@contextmanager
def what_the_head_sees(model: nn.Module) -> Iterator[list[Tensor]]:
    """What comes into the classifier, whatever the model is built of."""
    seen: list[Tensor] = []

    def see(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0])

    handle = head(model).register_forward_pre_hook(see)
    try:
        yield seen
    finally:
        handle.remove()


def only_head(model: nn.Module, drop_rate: float) -> None:
    """From here on the model takes features: its weights are all there, its backbone is not run."""
    last = head(model)

    def forward(features: Tensor) -> Tensor:
        shown = features if isinstance(last, nn.Conv2d) else features.flatten(1)
        said: Tensor = last(F.dropout(shown, drop_rate, model.training))
        return said

    model.forward = forward


def head(model: nn.Module) -> nn.Module:
    """The one module at the end."""
    places = classifiers(model)
    if len(places) != 1:
        what = f"{type(model).__name__} has no single head that could be trained alone"
        raise ConfigFault(what, fix="model.feature_views=0")
    return model.get_submodule(places[0].rstrip("."))
