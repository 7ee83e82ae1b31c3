"""A tool and its verbs: only the verb that is asked for is imported, and ends without delay."""

import atexit
import gc
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

import typer

from publisher.desk import console

# A command makes values, keeps them and ends: looking for garbage as often as Python does by
# itself, and once more at the end, would cost a list a fifth of its time, a large submit as much.
GARBAGE = 500_000


def add_verbs(
    tool: str,
    app: typer.Typer,
    verbs: Mapping[str, str],
    bare: Iterable[str],
    only: Iterable[str],
) -> None:
    """Those verbs of `<verb>: <module of publisher/commands>.<function>` that are asked for."""
    for verb in only:
        name, _, function = verbs[verb].partition(".")
        module = import_module(f"publisher.commands.{name}")
        help = module.HELP.replace(f"publisher {verb}", f"{tool} {verb}")
        console.add(app, verb, getattr(module, function), help, bare=verb in bare)


def start(name: str, known: Iterable[str], app: Callable[[Iterable[str]], typer.Typer]) -> None:
    """Become this tool, with the verb of the command line; with all of them where it has none."""
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)
    asked = [word for word in sys.argv[1:2] if word in set(known)]
    app(asked or known)(prog_name=name)
