"""Somebody's own preparation: a function image -> image, named by a dotted path."""

from collections.abc import Callable

from PIL import Image

from schemas.settings import Settings
from trainer import plugin

OwnFunction = Callable[[Image.Image], Image.Image | None]


def own_function(path: str, settings: Settings) -> OwnFunction:
    """The function of `package.module:function`."""
    function: OwnFunction = plugin.named(path, settings, "--by package.module:function")
    return function
