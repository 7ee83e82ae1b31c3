"""Facts about this host and its processes, read from /proc. Knows no queue and no GPU."""

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from schemas import secrecy

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")
SHOWN = 40  # letters of somebody's command line


def boot_id() -> str:
    """Another one after every reboot: attempts of an older boot are dead for sure."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> str:
    """When this process began, in clock ticks since boot; empty when no such process lives.

    Pid and start time together are never reused, and a zombie does not count as living.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def free_bytes(folder: Path) -> int:
    """Free space where this folder is, or will be."""
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    return shutil.disk_usage(existing).free


def available_memory() -> int:
    """Bytes that a new process could use without swapping."""
    for line in (PROC / "meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def oom_kills() -> int:
    """How often the kernel has ended a process of our cgroup for want of memory."""
    for path in (_cgroup() / "memory.events", PROC / "vmstat"):
        try:
            rows = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
            return int(rows["oom_kill"])
        except (OSError, KeyError, ValueError):
            continue
    return 0


def _cgroup() -> Path:
    """Our cgroup's folder, when this kernel has version 2."""
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return CGROUP
    inside = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return CGROUP / inside.lstrip("/")


def environment(pid: int) -> dict[str, str]:
    """A process's environment as it was at its start; empty when it is gone or not ours to read."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(item).partition("=") for item in raw.split(b"\0") if item)
    return {name: value for name, _, value in pairs}


def owner(pid: int) -> str:
    """Whose process this is; empty when there is none that we can see."""
    try:
        uid = (PROC / str(pid)).stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a user of another container
        return f"uid {uid}"


def command(pid: int) -> str:
    """The beginning of a command line, as people know it: `python train.py`."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    plain = " ".join(_discreet([words[0].rpartition("/")[2], *words[1:]])).strip()
    shown = "".join(letter if letter.isprintable() else "?" for letter in plain)
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 3]}..."


def _discreet(words: list[str]) -> Iterator[str]:
    """A command line that may leave this host: `--token=abc` and `--token abc` without the abc."""
    hidden = False
    for word in words:
        yield "****" if hidden else secrecy.masked(word)
        hidden = word.startswith("-") and "=" not in word and secrecy.secret_key(word)


def neighbours() -> list[int]:
    """Processes of our user in our own pid namespace: only there do pids mean the same."""
    mine = _namespace("self")
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if entry.stat().st_uid == os.getuid() and _namespace(entry.name) == mine:
                found.append(int(entry.name))
        except OSError:
            continue  # gone meanwhile
    return found


def _namespace(pid: str) -> str:
    return str((PROC / pid / "ns/pid").readlink())
