"""Finding Redis and saying clearly why it cannot be used. Knows no run and no key."""

import functools
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from queue_worker.door import embedded
from schemas.errors import QueueRefuses, QueueUnreachable, UsageError
from schemas.settings import Settings

OLDEST = (6, 2)  # ZINTER, exclusive stream ranges; RQ's safe pop needs it too

NEW_ENOUGH = f"use Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey"
START_ONE = "docker compose up -d redis   |   export REDIS_URL=redis://host:6379/0   |   unset it"
REFUSALS = (redis.AuthenticationError, redis.ResponseError)
AT_ONCE = (  # before the first write of a script: nothing was done
    redis.AuthenticationError,
    redis.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
)
PATIENCE_S = 3.0  # of one question
GLIMPSE_S = 0.5

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Place(NamedTuple):
    """Where Redis is, and who said so."""

    address: str  # the password masked
    source: str


NOWHERE = Place("this connection", "the caller")


def connect(
    settings: Settings, *, worker: bool, announce: Callable[[str], None] | None
) -> tuple[redis.Redis, Place]:
    """A client of a server that answers and is new enough, and where it is, for messages."""
    if settings.redis_url is None:
        server = embedded.ensure(settings.state.expanduser() / "redis")
        if server.started and announce:
            announce(f"started a private Redis server (REDIS_URL is not set): {server.url}")
        url = server.url
        place = Place(url, "the default: our private server (REDIS_URL is not set)")
    else:
        url = settings.redis_url.get_secret_value()
        place = Place(masked(url), "REDIS_URL")
    client = _client(url, place, worker)
    _check(client, place)
    return client, place


def glimpse(settings: Settings) -> tuple[redis.Redis, str] | None:
    """A client that gives up soon, and the prefix; the private server is not started for it."""
    socket = embedded.socket_path(settings.state.expanduser() / "redis")
    if settings.redis_url is None and not socket.exists():
        return None
    url = settings.redis_url.get_secret_value() if settings.redis_url else f"unix://{socket}"
    return _client(url, NOWHERE, worker=True, patience_s=GLIMPSE_S), settings.prefix


def masked(url: str) -> str:
    """The URL without its password, wherever a Redis URL may carry one."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
        netloc = host or ""
        netloc += f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "a URL that cannot be read"
    if "@" in parts.netloc:
        secret = ":****" if parts.password is not None else ""
        netloc = f"{parts.username or ''}{secret}@{netloc}"
    query = [(k, "****" if "password" in k.lower() else v) for k, v in parse_qsl(parts.query)]
    words = f"?{urlencode(query, safe='*/')}" if query else ""
    return f"{parts.scheme}://{netloc}{parts.path}{words}"


def told(method: Callable[Parameters, Answer]) -> Callable[Parameters, Answer]:
    """A method for people: whatever Redis has against us becomes one clear error."""

    @functools.wraps(method)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Answer:
        try:
            return method(*args, **kwargs)
        except UnicodeEncodeError as error:  # half a character, from a shell or a program
            raise UsageError(f"{error.object!a} is no text that can be kept") from error
        except (redis.RedisError, OSError) as error:
            raise unreachable(error, getattr(args[0], "place", NOWHERE)) from error

    return call


def unreachable(error: Exception, place: Place) -> QueueUnreachable:
    """What a person reads: why, where that address came from, and what to try."""
    source = f"address from {place.source}"
    if not isinstance(error, REFUSALS):
        what = f"cannot reach Redis at {place.address} ({_reason(error)})"
        return QueueUnreachable(what, where=source, fix=START_ONE)
    said, fix = _refusal(error)
    kind = QueueRefuses if isinstance(error, AT_ONCE) else QueueUnreachable
    return kind(f"Redis at {place.address} refuses {said}", where=source, fix=fix)


def _refusal(error: Exception) -> tuple[str, str]:
    """What it refuses and why, and what to do about it."""
    text = str(error).partition(" script:")[0]  # where in the Lua it was helps nobody
    if "HELLO must be called" in text or "Authentication required" in text:
        return "us: it wants a password", "export REDIS_URL=redis://:password@host:6379/0"
    if isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError):
        fix = "check user and password in REDIS_URL, and what that user's ACL allows"
        return f"us ({text})", fix
    if isinstance(error, redis.exceptions.ReadOnlyError):
        return "to write: it is a replica", "REDIS_URL of its primary"
    if isinstance(error, redis.OutOfMemoryError):
        fix = "raise its maxmemory, or forget old runs: queue admin prune --older-than 90d"
        return "to write: its memory is full", fix
    if "unknown command `HELLO`" in text:  # the first that is said; before Redis 6 there was none
        return "the first word: it is too old, or no Redis", NEW_ENOUGH
    if "DB index" in text:
        return f"us ({text})", "the number at the end of REDIS_URL is the database: mostly 0 to 15"
    return f"the command ({text})", "look at its memory, its disk and its log"


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, redis.TimeoutError):
        return "no answer in time"
    return str(error).rstrip(".").lower()


def _client(url: str, place: Place, worker: bool, patience_s: float = PATIENCE_S) -> redis.Redis:
    # the worker's threads repeat by themselves: ten silent retries would stop their heartbeat
    retry = Retry(NoBackoff(), 0) if worker else Retry(ExponentialBackoff(cap=0.4, base=0.025), 3)
    try:
        return redis.Redis.from_url(
            url, socket_timeout=patience_s, socket_connect_timeout=patience_s, retry=retry
        )
    except ValueError as error:
        fix = "export REDIS_URL=redis://[:password@]host:6379/0   (or rediss://, unix:///path)"
        raise QueueUnreachable(
            f"{place.address} is not a Redis URL", where=place.source, fix=fix
        ) from error


def _check(client: redis.Redis, place: Place) -> None:
    try:
        version = str(client.info("server")["redis_version"])
    except (redis.RedisError, OSError) as error:
        raise unreachable(error, place) from error
    if too_old(version):
        client.close()  # whoever catches this may keep it, and our frame, for long
        raise QueueUnreachable(
            f"Redis {version} at {place.address} is too old",
            where=f"address from {place.source}",
            fix=NEW_ENOUGH,
        )


def too_old(version: str) -> bool:
    """Whether a server lacks commands that we use."""
    return tuple(int(part) for part in version.split(".")[:2]) < OLDEST
