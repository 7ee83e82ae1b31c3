"""Somebody's own code, named by a dotted path.

Its package must stand in TRAINQ_PLUGINS: whoever may name a function may run code here.
"""

import importlib
from collections.abc import Callable
from typing import Any

from schemas.errors import UsageError
from schemas.settings import Settings


def named(path: str, settings: Settings, example: str) -> Callable[..., Any]:
    """The function or class of `package.module:name`."""
    module, colon, name = path.partition(":")
    package = module.partition(".")[0]
    if not colon or not name or not package:
        raise UsageError(f"{path!r} names no function", fix=example)
    allowed = [each.strip() for each in settings.plugins.split(",") if each.strip()]
    if package not in allowed:
        stands = ", ".join(allowed) or "nothing"
        raise UsageError(
            f"{package} is not allowed to run here: TRAINQ_PLUGINS names {stands}",
            fix=f"TRAINQ_PLUGINS={','.join([*allowed, package])}",
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"cannot load {path}: {error}", fix="install its package, or set PYTHONPATH"
        ) from error
    except (Exception, SystemExit) as error:  # somebody's module runs when it is imported
        what = f"cannot load {path}: {type(error).__name__}: {' '.join(str(error).split())}"
        raise UsageError(what, fix=f"mend it; python -c 'import {module}' shows where") from error
    if not callable(found):
        raise UsageError(f"{path} is no function", fix="a function, or a class")
    function: Callable[..., Any] = found
    return function
