"""Runs the Lua files: one transition each, the shared parts (`_*.lua`) before every one of them.

Knows how a script is called, not what any of them means.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.resources import files
from typing import Any

import redis
from redis.commands.core import Script

PARTS = ("_records", "_line", "_indexes", "_moves")


class Scripts:
    """The scripts on one connection, for the keys of one prefix."""

    def __init__(self, connection: redis.Redis, prefix: str, **always: Any) -> None:
        self._connection = connection
        self._prefix = prefix
        self._always = always  # arguments that every script gets
        self._loaded: dict[str, Script] = {}

    def run(self, name: str, **arguments: Any) -> Any:
        """Run `lua/<name>.lua`; its arguments travel as one JSON object."""
        return self.call(name, (), **arguments)()

    def call(self, name: str, texts: Sequence[str], **arguments: Any) -> Callable[[], Any]:
        """A call that is ready to be sent; long texts travel beside the JSON, as they are."""
        script = self._loaded.get(name)
        if script is None:
            script = self._connection.register_script(source(name))
            self._loaded[name] = script
        whole = json.dumps({**self._always, **arguments}, ensure_ascii=False)
        sent = [text.encode(errors="replace") for text in (whole, *texts)]  # as Lua can carry it
        return partial(script, keys=[self._prefix], args=sent)


@cache
def source(name: str) -> str:
    """The whole text that the server runs for this name."""
    folder = files("queue_worker.door") / "lua"
    return "\n".join((folder / f"{part}.lua").read_text() for part in (*PARTS, name))
