"""What a worker says about itself when it starts. Pure: facts to lines."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queue_worker.gpus.admission import Offer
from queue_worker.gpus.gpu import Gpu, Probe
from schemas.settings import Settings

SHOWN = ("python", "torch", "timm", "trainq")
NO_DATA = "   (no such folder: no run will find its data; set TRAINQ_DATA)"


@dataclass(frozen=True, slots=True)
class Start:
    """The facts of a start."""

    lane: str
    pid: int
    versions: Mapping[str, str]
    gpus: tuple[tuple[Gpu, Probe], ...]
    redis_place: str
    redis_facts: Mapping[str, Any]  # of INFO
    latency_ms: float
    runs: Path
    runs_root: str
    free_bytes: int
    data: Path
    has_data: bool


def lines(start: Start, settings: Settings, offer: Offer) -> list[str]:
    """The banner."""
    installed = "   ".join(f"{name} {start.versions.get(name, '-')}" for name in SHOWN)
    return [
        f"trainq worker {start.lane}   pid {start.pid}   {installed}",
        *(f"  Device  {device}" for device in _devices(start)),
        *(f"  {word}  {said}" for word, said in _beside(offer)),
        f"  Redis   {start.redis_place}   {_redis(start.redis_facts)}   {start.latency_ms:.1f} ms",
        f"  Slack   {_slack(settings)}",
        f"  Runs    {start.runs}   (root {start.runs_root}, {start.free_bytes >> 30} GiB free)",
        f"  Data    {start.data}{'' if start.has_data else NO_DATA}",
        "  Leave   Ctrl-C or SIGTERM: the run saves a checkpoint and goes back to the queue",
    ]


def _redis(facts: Mapping[str, Any]) -> str:
    name = "Valkey" if facts.get("server_name") == "valkey" else "Redis"
    number = facts.get("valkey_version") or facts.get("redis_version", "?")
    if facts.get("aof_enabled"):
        return f"{name} {number}   AOF on"
    return f"{name} {number}   AOF OFF: what it knows is lost when it dies (appendonly yes)"


def _devices(start: Start) -> list[str]:
    return [_device(*pair) for pair in start.gpus] or ["CPU   amp: none"]


def _device(gpu: Gpu, probe: Probe) -> str:
    total, free = gpu.memory_mb / 1024, gpu.free_mb / 1024
    tried = "not tried: the card is full" if probe.untried else "kernel test ok"
    return (
        f"GPU {gpu.index}   {gpu.name}   {total:.1f} GiB ({free:.1f} free)   driver "
        f"{gpu.driver}   {probe.sm} {tried}   amp: {probe.amp}   "
        f"torch has {' '.join(probe.built_for)}"
    )


def _beside(offer: Offer) -> list[tuple[str, str]]:
    """Who else is on the cards."""
    told = [("Waits ", offer.busy_with), ("Shares", offer.shared_with)]
    return [(word, said) for word, said in told if said]


def _slack(settings: Settings) -> str:
    if settings.slack_file:
        return f"dry run into {settings.slack_file}"
    if settings.slack_bot_token:
        return f"{settings.slack_channel or 'no channel set (SLACK_CHANNEL)'} with a bot token"
    if settings.slack_webhook_url:
        return "webhook (a repeat is possible after a lost reply)"
    return f"off (SLACK_BOT_TOKEN is not set): notices go to {settings.runs}/notices.jsonl"
