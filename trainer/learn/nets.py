"""Where models come from: timm, torchvision, or somebody's own module; and what their heads are.

Whoever made it, a model says in `pretrained_cfg`, as timm's do, what its classifier is called and
which images it was trained on.
"""

import inspect
import os
import socket
from collections.abc import Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
import torch.nn.functional as F
import torchvision
from huggingface_hub import constants as hub
from torch import Tensor, nn

from schemas.components.data import Extent, px, sides
from schemas.components.model import Directional, LastLayer, Mlp, Net, Own, Timm, Torchvision
from schemas.errors import UsageError
from schemas.settings import Settings
from trainer import plugin
from trainer.faults import ConfigFault, DataFault
from trainer.learn import outputs

PATIENCE_S = 3.0  # to reach a server of weights at all
ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "gelu": nn.GELU}


def create(spec: Net, classes: int, size: Extent) -> nn.Module:
    """The model of a spec, its weights drawn or published; what it refuses is said in one line."""
    sizes = outputs.sizes(spec, classes)
    try:
        model = made(spec, sum(sizes), size)
        if not isinstance(spec.head, LastLayer):
            crown(model, spec.head, spec.name, sizes)
    except (DataFault, ConfigFault, torch.OutOfMemoryError, MemoryError):
        raise
    except UsageError as error:
        raise ConfigFault(error.what, fix=error.fix) from error
    except Exception as error:  # whatever a constructor says of its arguments
        raise ConfigFault(
            f"{spec.kind} cannot build {spec.name} for {classes} classes at "
            f"{px(size)}: {first_line(error)}",
            fix="change model or data.img_size",
        ) from error
    if spec.grad_checkpointing:
        checkpointed(model, spec.name)
    return model


@singledispatch
def made(spec: Net, classes: int, size: Extent) -> nn.Module:
    """The bare model."""
    raise TypeError(f"no model for {spec!r}")


# ---- timm ----------------------------------------------------------------------------------------


@made.register
def _(spec: Timm, classes: int, size: Extent) -> nn.Module:
    """What is left at timm's default is not passed: not every model takes it."""
    if spec.pretrained and not answers(hub.ENDPOINT):
        hub.HF_HUB_OFFLINE = True  # the cache may have them; otherwise fail now, not in a minute
    known = timm.get_pretrained_cfg(spec.name)
    options: dict[str, Any] = {
        "img_size": size if known and known.fixed_input_size else None,
        "drop_rate": spec.drop_rate or None,
        "drop_path_rate": spec.drop_path_rate or None,
        "in_chans": spec.in_chans if spec.in_chans != 3 else None,
        **spec.options,
    }
    try:
        model: nn.Module = timm.create_model(
            spec.name, pretrained=spec.pretrained, num_classes=classes, **options
        )
    except OSError as error:  # also what the hub raises when it has, or reaches, nothing
        raise unreached("timm", spec.name, "the hub", error) from error
    return model


# ---- torchvision ---------------------------------------------------------------------------------


@made.register
def _(spec: Torchvision, classes: int, size: Extent) -> nn.Module:
    """Its head is for our classes from the beginning; published weights fill all the rest."""
    square = {"image_size": size} if spec.name.startswith("vit_") else {}
    model: nn.Module = torchvision.models.get_model(
        spec.name, weights=None, num_classes=classes, **square, **spec.options
    )
    default = weights_of(spec.name)
    look = default.transforms()
    described(
        model,
        classes,
        mean=tuple(look.mean),
        std=tuple(look.std),
        interpolation=look.interpolation.value,
        crop_pct=min(1.0, look.crop_size[0] / look.resize_size[0]),
        input_size=(3, *sides(size)),
    )
    if spec.pretrained:
        load(model, default, spec.name)
    return model


def load(model: nn.Module, default: Any, name: str) -> None:
    """torchvision's published weights, but for the head."""
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    file = cache / Path(urlsplit(default.url).path).name
    try:
        if not file.exists() and not answers(default.url):
            raise ConnectionError(f"nobody answers at {urlsplit(default.url).hostname}")
        weights = default.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise unreached("torchvision", name, "its server", error) from error
    head = classifiers(model)
    body = {key: value for key, value in weights.items() if not key.startswith(head)}
    missing, foreign = model.load_state_dict(body, strict=False)
    if foreign or any(not key.startswith(head) for key in missing):
        raise ConfigFault(
            f"torchvision's weights do not fit {name} with these options",
            fix="model.pretrained=false, or no model.options",
        )


def weights_of(name: str) -> Any:
    """What torchvision recommends."""
    return getattr(torchvision.models.get_model_weights(name), "DEFAULT")  # noqa: B009


# ---- published weights with the head that they came with -----------------------------------------


@singledispatch
def published(spec: Net) -> dict[str, Tensor]:
    """All tensors, once a model has been made with them."""
    raise TypeError(f"nobody publishes weights of {spec!r}")


@published.register
def _(spec: Timm) -> dict[str, Tensor]:
    options: dict[str, Any] = {"in_chans": 1} if spec.in_chans == 1 else {}
    whole: nn.Module = timm.create_model(spec.name, pretrained=True, **options)
    return whole.state_dict()


@published.register
def _(spec: Torchvision) -> dict[str, Tensor]:
    found: dict[str, Tensor] = weights_of(spec.name).get_state_dict(progress=False)
    return found


# ---- somebody's own ------------------------------------------------------------------------------


@made.register
def _(spec: Own, classes: int, size: Extent) -> nn.Module:
    """Called with the number of classes, and with what else it takes."""
    settings = Settings.read(os.environ, Path(".env"))
    maker = plugin.named(spec.name, settings, "model.name=package.module:function")
    told = {"img_size": size, "in_chans": spec.in_chans}
    takes = inspect.signature(maker).parameters
    found = maker(
        num_classes=classes,
        **{name: value for name, value in told.items() if name in takes},
        **spec.options,
    )
    if not isinstance(found, nn.Module):
        raise ConfigFault(f"{spec.name} gives a {type(found).__name__}", fix="a torch.nn.Module")
    insist_on_scores(found, spec, classes, size)
    if not hasattr(found, "pretrained_cfg"):
        described(found, classes, input_size=(spec.in_chans, *sides(size)))
    return found


def insist_on_scores(model: nn.Module, spec: Own, classes: int, size: Extent) -> None:
    """An image is shown to somebody's model, so that no run begins that could not take a step."""
    if not any(each.requires_grad for each in model.parameters()):
        raise ConfigFault(f"{spec.name} has nothing that learns", fix="layers, or nn.Parameter")
    learns = model.training
    try:
        with torch.no_grad():
            said: Any = model.eval()(torch.zeros(1, spec.in_chans, *sides(size)))
    except Exception:  # it may want a GPU; otherwise its first step says where
        return
    finally:
        model.train(learns)
    shape = list(said.shape) if isinstance(said, Tensor) else f"a {type(said).__name__}"
    if shape != [1, classes]:
        what = f"{spec.name} gives {shape} for an image, not {[1, classes]}"
        raise ConfigFault(what, fix="a tensor with num_classes scores for each image")


# ---- heads ---------------------------------------------------------------------------------------


def described(model: nn.Module, classes: int, **look: Any) -> None:
    """Give a model what timm's have: the name of its classifier, the look of its images."""
    last = ""
    for name, part in model.named_modules():
        if classes in (getattr(part, "out_features", 0), getattr(part, "out_channels", 0)):
            last = name
    model.pretrained_cfg = {"classifier": last or None, **look}  # type: ignore[assignment]


def classifiers(model: nn.Module) -> tuple[str, ...]:
    """Name prefixes of the classifier; some models have two."""
    published: Any = getattr(model, "pretrained_cfg", {})  # somebody's own model may have none
    names = published.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


class Beside(nn.ModuleList):
    """Heads that each see the same features; their outputs stand one behind the other."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([head(features) for head in self], 1)


def crown(model: nn.Module, spec: Mlp | Directional, name: str, sizes: Sequence[int]) -> None:
    """Another head in place of the last layer, which keeps its name; of several heads, each."""
    places = [prefix.rstrip(".") for prefix in classifiers(model)]
    last = model.get_submodule(places[0]) if len(places) == 1 else None
    if not isinstance(last, nn.Linear):
        raise ConfigFault(f"{name} has no single linear layer at its end", fix="model.head=linear")
    heads = [head(spec, last.in_features, size) for size in sizes]
    model.set_submodule(places[0], heads[0] if len(heads) == 1 else Beside(heads))


@singledispatch
def head(spec: Any, width: int, size: int) -> nn.Module:
    """From so many features to so many values."""
    raise TypeError(f"no head for {spec!r}")


@head.register
def _(spec: Directional, width: int, size: int) -> nn.Module:
    return Directions(spec.scale, width, size)


class Directions(nn.Linear):
    """Cosines between features and classes, in full precision: angles are small numbers."""

    def __init__(self, scale: float, width: int, size: int) -> None:
        super().__init__(width, size, bias=False)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        kind = features.device.type
        with torch.autocast("cpu" if kind == "meta" else kind, enabled=False):
            found, classes = F.normalize(features.float()), F.normalize(self.weight.float())
            return self.scale * F.linear(found, classes)


@head.register
def _(spec: Mlp, width: int, size: int) -> nn.Module:
    """Hidden layers and the last one."""
    layers: list[nn.Module] = []
    for wide in spec.hidden:
        layers += [nn.Linear(width, wide)]
        layers += [nn.BatchNorm1d(wide)] if spec.norm else []
        layers += [ACTIVATIONS[spec.activation]()]
        layers += [nn.Dropout(spec.drop_rate)] if spec.drop_rate else []
        width = wide
    return nn.Sequential(*layers, nn.Linear(width, size))


def checkpointed(model: nn.Module, name: str) -> None:
    """Blocks forget what they computed, and compute it again on the way back."""
    try:
        model.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AttributeError, AssertionError) as error:  # timm asserts where it cannot
        fix = "model.grad_checkpointing=false"
        raise ConfigFault(f"{name} cannot compute its blocks twice", fix=fix) from error


# ---- weights of others ---------------------------------------------------------------------------


def answers(url: str) -> bool:
    """Whether somebody listens where published weights come from; a proxy is taken at its word."""
    if hub.HF_HUB_OFFLINE or "https" in getproxies():
        return not hub.HF_HUB_OFFLINE
    place = urlsplit(url)
    port = place.port or {"http": 80}.get(place.scheme, 443)
    try:
        socket.create_connection((place.hostname or "", port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True


def unreached(whose: str, name: str, where: str, error: OSError) -> DataFault:
    """There are no weights here and no way to them."""
    return DataFault(
        f"{whose}'s weights for {name} are not in this host's cache, and {where} cannot be "
        f"reached: {first_line(error)}",
        fix="model.weights=<a local file>, or fill the cache where there is a network, "
        "or model.pretrained=false",
    )


def first_line(error: BaseException) -> str:
    """What fits into one line of somebody else's error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
