"""The `queue` command: look at runs and steer them."""

from collections.abc import Iterable
from importlib import import_module

import typer

from publisher.desk import console, verbs

# Verbs, and the module and function of publisher/commands that do it.
VERBS = {
    "list": "list.list_runs",
    "show": "show.show",
    "why": "why.why",
    "logs": "logs.logs",
    "watch": "watch.watch",
    "cancel": "cancel.cancel",
    "retry": "retry.retry",  # `publisher retry`: it steers a run, and it makes one
    "hold": "hold.hold",
    "release": "release.release",
    "move": "move.move",
    "wait": "wait.wait",
    "results": "results.results",
    "compare": "compare.compare",
    "export": "export.export",
}
BARE = {"list", "watch", "results", "export"}  # that do something when they are given nothing
ADMIN = "admin"
KNOWN = (*VERBS, ADMIN)


def app(only: Iterable[str] = KNOWN) -> typer.Typer:
    """The app with these verbs."""
    desk = console.desk(
        "Look at the queue and steer it.",
        "queue list",
        "queue logs @last -f",
        "queue cancel 7f3k2q --reason 'wrong split'",
    )
    asked = list(only)
    verbs.add_verbs("queue", desk, VERBS, BARE, [verb for verb in asked if verb in VERBS])
    if ADMIN in asked:
        desk.add_typer(import_module("publisher.commands.admin").app, name=ADMIN)
    return desk


def main() -> None:
    verbs.start("queue", KNOWN, app)


if __name__ == "__main__":
    main()
