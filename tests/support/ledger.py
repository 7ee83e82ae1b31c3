"""What a server was asked, in its own order and by its own clock: no stall of a test moves it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from importlib.resources import files
from itertools import pairwise
from statistics import median, quantiles

import redis
from redis.client import Monitor

from queue_worker.door.scripts import source
from schemas.run import new_nonce


@dataclass(frozen=True)
class Call:
    """A script that somebody ran, or a command that somebody gave, and what the script then did."""

    at: float
    name: str  # of the script; of the command
    text: str  # its arguments
    did: list[str] = field(default_factory=list)

    def numbers(self, pattern: str) -> list[float]:
        """What stands at the pattern's one group, wherever what it did is like that."""
        return [float(found) for found in re.findall(pattern, "\n".join(self.did))]

    def asks(self, lane: str) -> bool:
        """Whether the worker of a lane asks for a run."""
        return self.name == "claim" and f'"lane": "{lane}"' in self.text


class Ledger:
    """From its making on. The server keeps what was not read yet: nothing here has to keep pace."""

    def __init__(self, client: redis.Redis, monitor: Monitor) -> None:
        self._client, self._monitor, self._calls = client, monitor, list[Call]()

    def calls(self) -> list[Call]:
        """What was asked until now, oldest first."""
        end = new_nonce()
        self._client.echo(end)
        while (said := self._monitor.next_command())["command"] != f"ECHO {end}":
            if said["client_type"] == "lua":
                self._calls[-1].did.append(said["command"])
            else:
                self._calls.append(_call(said["time"], said["command"]))
        return self._calls


@contextmanager
def ledger(client: redis.Redis) -> Iterator[Ledger]:
    """Of the server behind this client."""
    with client, client.monitor() as monitor:
        yield Ledger(client, monitor)


def usual(gaps: Sequence[float]) -> float:
    """What a quarter of them does not exceed: a stall makes some longer, what is slow all."""
    return quantiles(gaps, n=4, method="inclusive")[0]


def rhythm(times: Sequence[float]) -> float:
    """How long it is from one to the next; half of them may be late by a stall."""
    return median(later - sooner for sooner, later in pairwise(times))


def _call(at: float, command: str) -> Call:
    word, _, text = command.partition(" ")
    if word != "EVALSHA":
        return Call(at, word, text)
    known, _, text = text.partition(" ")
    return Call(at, NAMES.get(known, known), text)


def digest(script: str) -> bytes:
    """How the server's clients name a script."""
    return sha1(source(script).encode()).hexdigest().encode()


NAMES = {
    digest(name).decode(): name
    for file in (files("queue_worker.door") / "lua").iterdir()
    if not (name := file.name.removesuffix(".lua")).startswith("_")
}
