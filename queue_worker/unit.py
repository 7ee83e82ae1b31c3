"""What systemd will do with a worker of this host, and whether that suits a run.

`examine` asks and changes nothing, `judge` says.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping

from schemas.diagnosis import Finding, fail, ok, warn

LIMIT_S = 5.0
ASKED = ("LoadState", "ActiveState", "KillMode", "TimeoutStopUSec", "OOMPolicy", "Restart")
UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SPAN = re.compile(r"(\d+)(us|ms|s|min|h|d)")
OURS = "as in deploy/trainq-worker@.service"


def examine(gpu: str) -> Mapping[str, str]:
    """What systemd says of this GPU's unit; nothing where there is no systemd."""
    command = ["systemctl", "show", f"trainq-worker@{gpu}", f"--property={','.join(ASKED)}"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition("=") for line in said.splitlines())
    return {name: value for name, _, value in pairs if name in ASKED}


def judge(said: Mapping[str, str], gpu: str, grace_s: float) -> Iterator[Finding]:
    """Whatever would cost a run its last steps."""
    name = f"trainq-worker@{gpu}"
    if said.get("LoadState", "not-found") != "loaded":
        yield ok("systemd", f"no unit {name}: workers are started in another way")
        return
    state = said.get("ActiveState", "")
    if state == "failed":
        yield fail("systemd", f"{name} has failed", f"journalctl -u {name} -n 20 says why")
    else:
        yield ok("systemd", f"{name} is {state}")
    stop_s = seconds(said.get("TimeoutStopUSec", "infinity"))
    if stop_s <= grace_s:
        what = f"{name}: systemd kills after {stop_s:.0f} s, a checkpoint may take {grace_s:.0f} s"
        yield warn("systemd", what, "TimeoutStopSec greater than TRAINQ_GRACE_S")
    for key, wanted, cost in (
        ("KillMode", "mixed", "its trainer is signalled beside it"),
        ("OOMPolicy", "continue", "a trainer that needs too much memory ends the worker as well"),
    ):
        if said.get(key, wanted) != wanted:
            yield warn("systemd", f"{name}: {key}={said[key]}: {cost}", f"{key}={wanted}, {OURS}")
    if said.get("Restart") == "no":
        what = f"{name} is not started again after a crash"
        yield warn("systemd", what, f"Restart=on-failure, {OURS}")


def seconds(span: str) -> float:
    """`1min 30s` as systemd writes it."""
    if span == "infinity":
        return float("inf")
    return sum(int(number) * UNITS_S[unit] for number, unit in SPAN.findall(span))
