"""Builds a timm model and gives it its first weights. Whatever does not fit is said in one line."""

import logging
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from huggingface_hub import constants as hub
from timm.models import load_state_dict
from torch import Tensor, nn

from schemas.components.model import Timm
from schemas.errors import count
from trainer import randomness
from trainer.faults import ConfigFault, DataFault

HUB_PATIENCE_S = 3.0  # to reach the hub at all; its own retries would take most of a minute
LOG = logging.getLogger(__name__)

Weights = dict[str, Tensor]


def build(spec: Timm, classes: int, img_size: int, data_root: Path, seed: int) -> nn.Module:
    """The model of a config with its first weights: drawn from the seed, published, or local."""
    if spec.pretrained and not hub_answers():
        hub.HF_HUB_OFFLINE = True  # the cache may have them; otherwise fail now, not in a minute
    randomness.settle(randomness.stream(seed, "model"), devices=False)
    model = create(spec, classes, img_size)
    start = "timm's published weights" if spec.pretrained else "random weights"
    if spec.weights:
        start = fit(model, read_weights(data_root / spec.weights), spec.weights)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    LOG.info("model %s, %s parameters, starts from %s", spec.name, f"{parameters:,}", start)
    return model


def create(spec: Timm, classes: int, img_size: int) -> nn.Module:
    """timm's model. What is left at timm's default is not passed: not every model takes it."""
    try:
        known = timm.get_pretrained_cfg(spec.name)
        options: dict[str, Any] = {
            "img_size": img_size if known and known.fixed_input_size else None,
            "drop_rate": spec.drop_rate or None,
            "drop_path_rate": spec.drop_path_rate or None,
        }
        model: nn.Module = timm.create_model(
            spec.name, pretrained=spec.pretrained, num_classes=classes, **options
        )
    except OSError as error:  # also what the hub raises when it has, or reaches, nothing
        raise DataFault(
            f"timm's weights for {spec.name} are not in this host's cache, and the hub cannot be "
            f"reached: {first_line(error)}",
            fix="model.weights=<a local file>, or fill the cache where there is a network, "
            "or model.pretrained=false",
        ) from error
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # whatever a constructor says of its arguments
        raise ConfigFault(
            f"timm cannot build {spec.name} for {classes} classes at {img_size} px: "
            f"{first_line(error)}",
            fix="change model or data.img_size",
        ) from error
    if spec.grad_checkpointing:
        checkpointed(model, spec.name)
    return model


def checkpointed(model: nn.Module, name: str) -> None:
    """Blocks forget what they computed, and compute it again on the way back."""
    try:
        model.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AttributeError, AssertionError) as error:  # timm asserts where it cannot
        fix = "model.grad_checkpointing=false"
        raise ConfigFault(f"{name} cannot compute its blocks twice", fix=fix) from error


def hub_answers() -> bool:
    """Whether somebody listens where pretrained weights come from; a proxy is taken at its word."""
    if hub.HF_HUB_OFFLINE or "https" in getproxies():
        return not hub.HF_HUB_OFFLINE
    place = urlsplit(hub.ENDPOINT)
    port = place.port or {"http": 80}.get(place.scheme, 443)
    try:
        socket.create_connection((place.hostname or "", port), timeout=HUB_PATIENCE_S).close()
    except OSError:
        return False
    return True


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
        raise DataFault(
            f"cannot read weights from {path}: {first_line(error)}",
            fix="save the model's state_dict as .safetensors or with torch.save",
        ) from error
    return weights


def fit(model: nn.Module, weights: Weights, name: str) -> str:
    """Load weights of the same architecture; a head for other classes is left as it was drawn."""
    weights = as_timm_would(model, weights)
    own = model.state_dict()
    head = heads(model)
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


def as_timm_would(model: nn.Module, weights: Weights) -> Weights:
    """timm's own conversion for the architecture: old names, position embeddings of other sizes."""
    convert: Any = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    converted: Weights = convert(weights, model) if convert else weights
    return converted


def heads(model: nn.Module) -> tuple[str, ...]:
    """Name prefixes of the classifier; some models have two."""
    published: Any = getattr(model, "pretrained_cfg", {})  # somebody's own model has none
    names = published.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def first_of(names: list[str]) -> str:
    return f" ({names[0]})" if names else ""


def first_line(error: BaseException) -> str:
    """What fits into one line of somebody else's error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
