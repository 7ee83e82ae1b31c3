"""The `queue` command: look at runs and steer them."""

import sys
from collections.abc import Iterable
from importlib import import_module

import typer

from publisher import console

# Verbs, and the function of publisher/commands/<verb>.py that does it.
VERBS = {
    "list": "list_runs",
    "show": "show",
    "why": "why",
    "logs": "logs",
    "watch": "watch",
    "cancel": "cancel",
    "hold": "hold",
    "release": "release",
    "move": "move",
    "wait": "wait",
    "results": "results",
    "compare": "compare",
    "export": "export",
}
BARE = {"list", "watch", "results", "export"}  # that do something when they are given nothing
ADMIN = "admin"


def app(only: Iterable[str] = (*VERBS, ADMIN)) -> typer.Typer:
    """The app with these verbs; what the others import would cost a list a third of its time."""
    desk = console.desk(
        "Look at the queue and steer it.",
        "queue list",
        "queue logs @last -f",
        "queue cancel 7f3k2q --reason 'wrong split'",
    )
    for verb in only:
        module = import_module(f"publisher.commands.{verb}")
        if verb == ADMIN:
            desk.add_typer(module.app, name=ADMIN)
        else:
            console.add(desk, verb, getattr(module, VERBS[verb]), module.HELP, bare=verb in BARE)
    return desk


def main() -> None:
    asked = [word for word in sys.argv[1:2] if word in {*VERBS, ADMIN}]
    app(asked or (*VERBS, ADMIN))(prog_name="queue")


if __name__ == "__main__":
    main()
