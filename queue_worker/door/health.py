"""Good and bad about a Redis server that holds a team's queue: `examine` asks, `judge` says.

Knows no run. The worst that Redis can do to us is to forget, so persistence comes first.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import redis

from queue_worker.door.connection import Place
from schemas.diagnosis import Finding, fail, ok, warn

SKEW_S = 2.0  # of clocks, beyond which times in lists puzzle people
LOOKS = 5  # at the clock; the quickest counts, one alone may have hit a hiccup
SLOW_MS = 50.0  # a claim is one round trip, a listing a few
FULL = 0.75  # of maxmemory
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of itself."""

    address: str  # the password masked
    info: Mapping[str, Any]  # of INFO
    saves: str | None  # its RDB schedule; None when it does not tell
    ahead_s: float  # its clock before ours
    latency_ms: float

    def number(self, name: str) -> int:
        """A number of INFO; managed servers leave some out."""
        value = self.info.get(name, 0)
        return int(value) if isinstance(value, int | float) else 0


def examine(client: "redis.Redis", place: Place) -> Facts:
    """Ask it; a few round trips."""
    latency_s, ahead_s = min(_clocks(client) for _ in range(LOOKS))
    return Facts(
        address=place.address,
        info=client.info("all"),
        saves=_saves(client),
        ahead_s=ahead_s,
        latency_ms=latency_s * 1000,
    )


def _clocks(client: "redis.Redis") -> tuple[float, float]:
    """How long a round trip takes, and how far its clock is before ours."""
    began, clock = time.perf_counter(), time.time()
    whole, micro = client.time()
    latency_s = time.perf_counter() - began
    return latency_s, whole + micro / 1e6 - clock - latency_s / 2


def judge(facts: Facts) -> list[Finding]:
    """All there is to say, the gravest first."""
    judges = (_server, _persistence, _writes, _memory, _clock, _door)
    return [finding for each in judges for finding in each(facts)]


def _saves(client: "redis.Redis") -> str | None:
    try:
        return str(client.config_get("save").get("save", ""))
    except redis.RedisError:  # managed servers forbid CONFIG
        return None


def _server(facts: Facts) -> Iterator[Finding]:
    name = "Valkey" if facts.info.get("server_name") == "valkey" else "Redis"
    number = facts.info.get("valkey_version") or facts.info.get("redis_version", "?")
    said = f"{name} {number} at {facts.address}, {facts.latency_ms:.1f} ms away"
    if facts.latency_ms > SLOW_MS:
        fix = "lists will be slow; a Redis nearer to the workers helps"
        yield warn("redis", said, fix)
    else:
        yield ok("redis", said)
    if facts.number("cluster_enabled"):
        yield fail("redis", "it is a cluster: our scripts use many keys", "a plain Redis or Valkey")
    if facts.info.get("role", "master") not in ("master", "primary"):
        yield fail("redis", "it is a replica and takes no writes", "REDIS_URL of its primary")


def _persistence(facts: Facts) -> Iterator[Finding]:
    fix = "CONFIG SET appendonly yes, and appendonly yes in its configuration"
    if facts.number("aof_enabled"):
        yield ok("keeps", "AOF on: after a crash at most its last second is missing")
    elif facts.saves:
        yield warn("keeps", f"AOF off, snapshots only ({facts.saves}): minutes can be lost", fix)
    elif facts.saves is None:
        yield warn("keeps", "AOF off, and it does not tell whether it takes snapshots", fix)
    else:
        yield fail("keeps", "neither AOF nor snapshots: it forgets everything when it ends", fix)


def _writes(facts: Facts) -> Iterator[Finding]:
    said = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    failed = [name for name in said if facts.info.get(name, "ok") != "ok"]
    if failed:
        fix = "its disk is full or read-only: look at df and at its log"
        yield fail("keeps", f"its last write to disk failed ({', '.join(failed)})", fix)


def _memory(facts: Facts) -> Iterator[Finding]:
    most, used = facts.number("maxmemory"), facts.number("used_memory")
    policy = str(facts.info.get("maxmemory_policy", "noeviction"))
    if most and policy != "noeviction":
        fix = "CONFIG SET maxmemory-policy noeviction"
        yield fail("memory", f"when it is full it throws runs away ({policy})", fix)
    elif most and used > FULL * most:
        said = f"{used / most:.0%} of its {most / GIB:.1f} GiB are used; full, it takes no runs"
        yield warn("memory", said, "raise maxmemory, or queue admin prune")
    else:
        yield ok("memory", f"{used / (1 << 20):.0f} MiB used, nothing is thrown away ({policy})")


def _clock(facts: Facts) -> Iterator[Finding]:
    side = "ahead of" if facts.ahead_s > 0 else "behind"
    said = f"Redis is {abs(facts.ahead_s):.1f} s {side} this host"
    if abs(facts.ahead_s) > SKEW_S:
        fix = "an NTP client on both; runs are safe (all times are Redis's), lists look odd"
        yield warn("clock", said, fix)
    else:
        yield ok("clock", said)


def _door(facts: Facts) -> Iterator[Finding]:
    """Whoever reaches Redis may queue runs, and so use the GPUs."""
    url = urlsplit(facts.address)
    if url.scheme not in ("redis", "rediss") or url.password or _loopback(url.hostname or ""):
        return
    fix = "requirepass or ACL users, and the password in REDIS_URL"
    yield warn("door", "it asks for no password: whoever reaches it may use the GPUs", fix)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")
