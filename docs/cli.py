"""`make docs`: writes docs/cli.md, all of `--help`, as 80 columns show it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from publisher import __main__ as publisher
from publisher import queue_cli, trainq
from queue_worker import __main__ as worker
from queue_worker import steer
from trainer.entry import by_hand

PAGE = Path(__file__).with_name("cli.md")
HEAD = """\
# The command lines

Written by `make docs` from `--help`; a test compares.
`trainq TOOL ...` runs the same four tools.
"""
PLAIN = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "GITHUB_ACTIONS": "", "FORCE_COLOR": ""}


def page() -> str:
    """The text of the page."""
    return "\n".join([HEAD, *_sections()]).rstrip() + "\n"


def _sections() -> Iterator[str]:
    yield _section("trainq", trainq.USAGE)
    yield from _app("publisher", publisher.app())
    yield from _app("queue", queue_cli.app())
    yield _section("worker", _help(worker.app, "worker", ()))
    yield from list(_app("worker", steer.app))[1:]  # what it says first, `worker` says too
    yield from _app("trainer", by_hand.app)


def _app(tool: str, app: Any) -> Iterator[str]:
    """An app's own help, then that of everything below it."""
    for path in _paths(get_command(app), ()):
        yield _section(" ".join((tool, *path)), _help(app, tool, path))


def _paths(command: Any, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield above
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from _paths(inner, (*above, name))


def _help(app: Any, tool: str, path: tuple[str, ...]) -> str:
    result = CliRunner().invoke(app, [*path, "--help"], prog_name=tool, env=PLAIN)
    assert result.exit_code == 0, (tool, path, result.output)
    return result.stdout


def _section(title: str, text: str) -> str:
    """A heading and the text as it stands, without the spaces that nobody sees."""
    rows = [row.rstrip() for row in text.strip("\n").splitlines()]
    while rows and not rows[-1]:
        rows.pop()
    level = "#" * min(2 + title.count(" "), 4)
    return "\n".join([f"{level} {title}", "", "```text", *rows, "```", ""])


if __name__ == "__main__":
    PAGE.write_text(page())
