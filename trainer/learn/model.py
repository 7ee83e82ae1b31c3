"""Builds a model and gives it its first weights. Whatever does not fit is said in one line."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.models import load_state_dict
from torch import Tensor, nn

from schemas.components.data import Extent
from schemas.components.model import Net
from schemas.errors import count
from trainer import randomness
from trainer.data.images import enumerate_some
from trainer.faults import DataFault
from trainer.learn import nets
from trainer.learn.nets import classifiers, create, first_line

LOG = logging.getLogger(__name__)

Weights = dict[str, Tensor]


def build(spec: Net, names: Sequence[str], size: Extent, data_root: Path, seed: int) -> nn.Module:
    """The model of a config with its first weights: drawn from the seed, published, or local."""
    classes = len(names)
    randomness.settle(randomness.stream(seed, "model"), devices=False)
    model = create(spec, classes, size)
    published = getattr(spec, "pretrained", False)
    start = f"{spec.kind}'s published weights" if published else "random weights"
    if spec.weights:
        start = fit(model, read_weights(data_root / spec.weights), spec.weights)
    if spec.copy_head:
        donor = read_weights(data_root / spec.weights) if spec.weights else nets.published(spec)
        start += f", {copied(model, donor, names)}"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    LOG.info("model %s, %s parameters, starts from %s", spec.name, f"{parameters:,}", start)
    return model


def read_weights(path: Path) -> Weights:
    """The tensors of a .safetensors or .pth file; nothing in it is executed."""
    if not path.is_file():
        raise DataFault(
            f"there are no weights at {path}",
            fix="model.weights is a file below TRAINQ_DATA (or --data)",
        )
    try:
        weights: Weights = load_state_dict(str(path), device="cpu", weights_only=True)
    except Exception as error:  # torch, pickle and safetensors each have errors of their own
        why = first_line(error).partition(". ")[0]
        if "weights_only" in why:  # torch's advice is to run what is in it
            why = "it is damaged, or holds more than tensors, which would be run to be read"
        raise DataFault(
            f"cannot read weights from {path}: {why}",
            fix="save the model's state_dict as .safetensors or with torch.save",
        ) from error
    return weights


def fit(model: nn.Module, weights: Weights, name: str) -> str:
    """Load weights of the same architecture; a head for other classes is left as it was drawn."""
    weights = as_timm_would(model, weights)
    own = model.state_dict()
    head = classifiers(model)
    other = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    kept = {key: value for key, value in weights.items() if key in own and key not in other}
    lacking = [key for key in own if key not in kept and not key.startswith(head)]
    foreign = [key for key in weights if key not in own and not key.startswith(head)]
    if lacking or foreign:
        raise DataFault(
            f"the weights in {name} are of another model: {count(len(lacking), 'tensor')} missing "
            f"or of another shape{first_of(lacking)}, {len(foreign)} too many{first_of(foreign)}",
            fix="name the model that they were saved from, or take model.weights out",
        )
    model.load_state_dict(kept, strict=False)
    dropped = [key for key in own if key not in kept]
    return f"{name}: {count(len(kept), 'tensor')}" + (", the head is new" if dropped else "")


def copied(model: nn.Module, donor: Weights, names: Sequence[str]) -> str:
    """Give the head the donor's rows of the classes that both know; how many, in words."""
    donor = as_timm_would(model, donor)
    own = {key: value for key, value in model.state_dict().items() if key in heads(model, donor)}
    known = {len(donor[key]) for key in own}
    subset = infer_imagenet_subset({"num_classes": known.pop()}) if len(known) == 1 else None
    if subset is None:
        raise DataFault(
            "the first weights have no head for classes of ImageNet, whose rows could be copied",
            fix="model.copy_head=false",
        )
    theirs: list[str] = ImageNetInfo(subset).label_names()  # type: ignore[no-untyped-call]
    number = {name: row for row, name in enumerate(theirs)}
    pairs = [(mine, number[name]) for mine, name in enumerate(names) if name in number]
    if not pairs:
        raise DataFault(
            f"no class is called as one of {subset}: {enumerate_some(names)}",
            fix="name classes by their WordNet ids, or model.copy_head=false",
        )
    to, of = (list(rows) for rows in zip(*pairs, strict=True))
    for key, value in own.items():
        value[to] = donor[key][of].to(value.dtype)  # a state_dict shares its tensors
    return f"{len(pairs)} of {count(len(names), 'row')} of the head from {subset}"


def heads(model: nn.Module, donor: Weights) -> list[str]:
    """The tensors of the head that the donor has too, whatever the number of its classes."""
    own = model.state_dict()
    return [
        key
        for key in own
        if key.startswith(classifiers(model)) and key in donor
        if donor[key].shape[1:] == own[key].shape[1:]
    ]


def as_timm_would(model: nn.Module, weights: Weights) -> Weights:
    """timm's own conversion for the architecture: old names, position embeddings of other sizes."""
    convert: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    converted: Weights = convert(weights, model) if convert else weights
    return converted


def first_of(names: list[str]) -> str:
    return f" ({names[0]})" if names else ""


def bare(spec: Net) -> Net:
    """The model without its first weights: a checkpoint has better ones, and needs no network."""
    none = {"pretrained": False, "weights": None, "copy_head": False}
    mine = type(spec).model_fields
    return spec.model_copy(update={key: value for key, value in none.items() if key in mine})
