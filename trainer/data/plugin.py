"""Somebody's own preparation: a function image -> image, named by a dotted path.

Its package must stand in TRAINQ_PLUGINS: whoever may name a function may run code here.
"""

import importlib
from collections.abc import Callable

from PIL import Image

from schemas.errors import UsageError
from schemas.settings import Settings

OwnFunction = Callable[[Image.Image], Image.Image | None]


def own_function(path: str, settings: Settings) -> OwnFunction:
    """The function of `package.module:function`."""
    module, colon, name = path.partition(":")
    package = module.partition(".")[0]
    if not colon or not name or not package:
        raise UsageError(f"{path!r} names no function", fix="--by package.module:function")
    allowed = [each.strip() for each in settings.plugins.split(",") if each.strip()]
    if package not in allowed:
        named = ", ".join(allowed) or "nothing"
        raise UsageError(
            f"{package} is not allowed to run here: TRAINQ_PLUGINS names {named}",
            fix=f"TRAINQ_PLUGINS={','.join([*allowed, package])}",
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"cannot load {path}: {error}", fix="install its package, or set PYTHONPATH"
        ) from error
    if not callable(found):
        raise UsageError(f"{path} is no function", fix="a function that takes an image")
    function: OwnFunction = found
    return function
