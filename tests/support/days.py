"""A day of commands, played in this process, written down and compared with what is kept."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from support.desk import Desk
from support.golden import FOLDER
from support.servers import TestServer
from support.transcript import ANSI, TALK, lasting, pipes, terminal, typed, written

Step = str | Callable[[Desk], None]
COLUMNS = pytest.mark.parametrize("columns", ["80", "120"])
PLAIN = {"NO_COLOR": "1"}
COLOURS = pytest.mark.parametrize(
    ("columns", "env"),
    [("80", {}), ("120", {}), ("80", PLAIN), ("120", {**PLAIN, "FORCE_COLOR": "1"})],
    ids=["80", "120", "80-no-color", "120-no-color-but-forced"],
)


@contextmanager
def somebodys_desk(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """In a folder whose name is as long each time: some lines are broken where they end."""
    folder = Path(mkdtemp(prefix="day-", dir="/tmp"))
    (folder / "s").symlink_to(server.socket)
    desk = Desk(server, folder)
    desk.env["REDIS_URL"] = f"unix://{folder}/s"
    monkeypatch.chdir(folder)
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    yield desk
    desk.close()
    shutil.rmtree(folder)


def played(desk: Desk, day: Sequence[Step], kind: Any = pipes) -> str:
    """The day, as it came."""
    told = []
    for step in day:
        if isinstance(step, str):
            code, came = typed(step, kind)
            told.append(f"$ {step}\n{written(came)}\n[{code}]\n")
        else:
            step(desk)
    return "\n".join(told)


def steady(desk: Desk, text: str) -> str:
    """The same as it is kept: it does not hang on ids and clocks."""
    ids = [row.id for row in desk.door.list()] + [view.card.id for view in desk.door.batches()]
    return lasting(text, ids, str(desk.folder))


def in_a_pipe(desk: Desk, day: Sequence[Step], name: str, columns: str) -> None:
    """It looks as it is kept, and nothing is wider than was asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", columns)
        seen, file = steady(desk, played(desk, day)), FOLDER / f"{name}_{columns}.txt"
    assert "\x1b" not in seen and "\r" not in seen
    if os.environ.get("GOLDEN") == "write":
        file.write_text(seen)
    assert seen == file.read_text()
    told = (row.removeprefix(TALK) for row in seen.splitlines())
    assert [row for row in told if len(row) > int(columns) and not row.startswith("$ ")] == []


def on_a_terminal(
    desk: Desk, day: Sequence[Step], name: str, columns: str, env: Mapping[str, str]
) -> None:
    """It says the same as in a pipe, in colours unless the environment forbids them."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {"COLUMNS": columns, "TERM": "xterm", **env}.items():
            patch.setenv(variable, value)
        seen = played(desk, day, terminal)
    screens = re.split(r"^(?=\$ )", (FOLDER / f"{name}_{columns}.txt").read_text(), flags=re.M)
    kept = "".join(each for each in screens if each.split("\n")[0].removeprefix("$ ") in day)
    assert steady(desk, ANSI.sub("", seen)) == re.sub(rf"^{TALK.strip()} ?", "", kept, flags=re.M)
    assert bool(ANSI.search(seen)) == (not env)
