"""The `publisher` command: check configs and put them in the queue."""

from collections.abc import Iterable

import typer

from publisher.desk import console, verbs

# Verbs, and the module and function of publisher/commands that do it.
VERBS = {
    "submit": "submit.submit",
    "validate": "validate.validate",
    "preflight": "preflight.preflight",
    "diff": "diff.diff",
    "doctor": "doctor.doctor",
    "import": "import_.import_configs",
    "init": "init.init",
    "retry": "retry.retry",
    "search": "search.search",
    "edit": "edit.edit",
    "schema": "schema.schema",
}
BARE = {"doctor", "init", "schema"}  # that do something when they are given nothing


def app(only: Iterable[str] = VERBS) -> typer.Typer:
    """The app with these verbs."""
    desk = console.desk(
        "Check configs and put them in the queue.",
        "publisher validate birds.yaml",
        "publisher submit birds.yaml optim.lr=3e-4",
        "publisher retry @failed",
    )
    verbs.add_verbs("publisher", desk, VERBS, BARE, only)
    return desk


def main() -> None:
    verbs.start("publisher", VERBS, app)


if __name__ == "__main__":
    main()
