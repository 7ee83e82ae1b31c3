"""What of a model learns, and how fast: parts that are frozen, and rates that decay with depth."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from schemas.components.model import Freeze, Net
from schemas.errors import count
from trainer.faults import ConfigFault
from trainer.learn.nets import classifiers

BACKBONE = "backbone"
NORMS = (nn.modules.batchnorm._BatchNorm,)
LOG = logging.getLogger(__name__)


class Freezer:
    """Freezes by epoch: a function of the epoch alone, so that nothing of it must be remembered.

    An optimizer is made before, of all parameters: it passes over those without a gradient, and
    each keeps its place when its part begins to learn.
    """

    def __init__(self, spec: Sequence[Freeze], model: nn.Module) -> None:
        self.spec, self.model, self.epoch = spec, model, -1
        self._head = classifiers(model)
        names = [name for name, _ in model.named_parameters()]
        for part in (part for each in spec for part in each.parts):
            if not any(self._within(name, (part,)) for name in names):
                raise ConfigFault(
                    f"model.freeze: there is no part {part!r}", fix=known(part, names)
                )
        if spec and all(self._within(name, self.parts(0)) for name in names):
            raise ConfigFault("model.freeze leaves nothing that learns", fix="leave a part out")

    def parts(self, epoch: int) -> tuple[str, ...]:
        """What is frozen in an epoch, counted from 0."""
        frozen = [each for each in self.spec if not each.until or epoch < each.until]
        return tuple(dict.fromkeys(part for each in frozen for part in each.parts))

    def learn(self, epoch: int) -> None:
        """The model as it learns in this epoch; free where nothing has changed."""
        if self.model.training and epoch == self.epoch:
            return
        self.model.train()
        self.epoch, parts = epoch, self.parts(epoch)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(not self._within(name, parts))
        for name, module in self.model.named_modules():
            if isinstance(module, NORMS) and self._within(name, parts):
                module.eval()

    def _within(self, name: str, parts: Iterable[str]) -> bool:
        own = any(f"{name}.".startswith(f"{part}.") for part in parts)
        return own or (BACKBONE in parts and not f"{name}.".startswith(self._head))


def tell(spec: Net, model: nn.Module) -> None:
    """What is frozen and how fast the rest learns, for those who read the log."""
    for each in spec.freeze:
        until = f"for {count(each.until, 'epoch')}" if each.until else "for the whole run"
        LOG.info("frozen %s: %s", until, ", ".join(each.parts))
    if spec.lr_scale_min < 1:
        layers = layers_of(model)
        LOG.info("the learning rate of each layer, as a part of optim.lr:")
        for row in table(layers, scales_of(layers.values(), spec.lr_scale_min)):
            LOG.info("%s", row)


def known(part: str, names: Iterable[str]) -> str:
    """Which part may have been meant."""
    parts = {name.rsplit(".", n)[0] for name in names for n in range(1, name.count(".") + 1)}
    if close := get_close_matches(part, parts, 2, 0.6):
        return f"did you mean {' or '.join(close)}?"
    return f"it has {', '.join(dict.fromkeys(name.partition('.')[0] for name in names))}"


def decayed(optimizer: torch.optim.Optimizer, model: nn.Module, lowest: float) -> None:
    """Layer-wise decay: each layer's rate is the same part of the next one's, the first layer's
    is `lowest` of the head's. timm's schedulers multiply `lr_scale` in, torch's do not.

    By the lowest and not by the decay, which means another thing for every depth.
    """
    if lowest == 1:
        return
    layers = layers_of(model)
    scales = scales_of(layers.values(), lowest)
    layer = {parameter: layers[name] for name, parameter in model.named_parameters()}
    split: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        for number in sorted({layer[parameter] for parameter in group["params"]}):
            own = [parameter for parameter in group["params"] if layer[parameter] == number]
            split.append({**group, "params": own, "lr_scale": scales[number]})
    optimizer.param_groups[:] = split


def layers_of(model: nn.Module) -> Mapping[str, int]:
    """The layer of each parameter, from 0 at the images, as timm counts them."""
    if not hasattr(model, "group_matcher"):
        what = f"{type(model).__name__} does not say what its layers are (group_matcher)"
        raise ConfigFault(what, fix="model.lr_scale_min=1.0")
    found: dict[str, int] = group_parameters(model, model.group_matcher(coarse=False), reverse=True)  # type: ignore[operator]
    last = max(found.values())
    return {name: found.get(name, last) for name, _ in model.named_parameters()}


def scales_of(layers: Iterable[int], lowest: float) -> dict[int, float]:
    """The rate of each layer, as a part of the head's."""
    last = max(layers)
    return {n: float(lowest ** ((last - n) / last)) if last else 1.0 for n in range(last + 1)}


def table(layers: Mapping[str, int], scales: Mapping[int, float]) -> Iterator[str]:
    """A row a layer: its scale and what it is made of."""
    for number, scale in scales.items():
        names = [name for name, layer in layers.items() if layer == number]
        if names:
            shown = list(dict.fromkeys(".".join(name.split(".")[:2]) for name in names))
            more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
            yield f"{number:>3}  {scale:.4f}  {', '.join(shown[:3])}{more}"
