"""What a doctor looks at besides Redis, Slack and GPUs: Python, git, disks, W&B.

Thin readers make facts, pure judges make findings of them; `examine` does both. No sockets.
"""

import importlib.metadata
import netrc
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas import code
from schemas.diagnosis import Finding, fail, ok, warn
from schemas.rundir import RunsRoot
from schemas.settings import Settings

GIB = 1 << 30
LITTLE, TOO_LITTLE = 20, 2  # GiB free; a checkpoint of a large model takes about one
CLIENT = ("trainq", "pydantic", "typer", "rich", "ruamel.yaml", "redis")
WORKER = (*CLIENT, "rq", "slack-sdk", "psutil", "torch", "torchvision", "timm")
OLDEST = (3, 11)
MODES = ("online", "offline", "shared", "disabled", "dryrun", "run")  # as wandb knows them
WANDB_HOST = "api.wandb.ai"
ABSENT = "not installed"
# logins of machines, images and rooms, not of a person
ANYBODY = {
    *("root", "admin", "administrator", "user", "users", "guest", "nobody", "runner", "docker"),
    *("ubuntu", "debian", "centos", "fedora", "ec2-user", "opc", "azureuser", "jovyan", "vscode"),
    *("student", "students", "team", "lab", "gpu", "ml"),
}


@dataclass(frozen=True, slots=True)
class Installed:
    """The interpreter and what it finds."""

    python: str
    versions: Mapping[str, str]
    source: str  # version of the trainer's source


@dataclass(frozen=True, slots=True)
class Checkout:
    """What git says of our source; `version` is empty where there is no git."""

    version: str
    commit: str = ""  # empty: not a checkout
    changed: int = 0  # files that differ from the commit


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is needed, and what this user may do with it."""

    path: Path
    there: bool
    readable: bool = False
    writable: bool = False
    empty: bool = False
    free_gib: float = 0.0
    root_id: str = ""


@dataclass(frozen=True, slots=True)
class Wandb:
    """How W&B would be reached; never the key itself."""

    key: bool
    login: str = ""  # where else a key was found
    mode: str = ""
    project: str = ""
    installed: bool = False


# ---- readers -------------------------------------------------------------------------------------


def examine(
    env: Mapping[str, str], settings: Settings, *, host: bool, home: Path | None = None
) -> list[Finding]:
    """Everything here; `host`: where runs are trained, not a desk that only submits."""
    wandb = read_wandb(env, home or Path.home())
    return [
        *(() if host else judge_user(settings.user)),
        *judge_python(read_python(WORKER if host else CLIENT), host=host),
        *judge_git(read_git(Path(__file__).resolve().parents[1])),
        *judge_runs(read_folder(settings.runs), host=host),
        *judge_data(read_folder(settings.data), host=host),
        *judge_wandb(wandb, host=host),
    ]


def read_python(packages: Sequence[str]) -> Installed:
    """Versions as they are installed; imports none of them."""
    versions = {name: _version(name) for name in packages}
    return Installed(platform.python_version(), versions, code.version())


def read_git(home: Path) -> Checkout:
    """The state of the folder that our packages lie in."""
    version = _git("--version").removeprefix("git version ")
    if not version or not (home / ".git").exists():
        return Checkout(version)
    changed = _git("-C", str(home), "status", "--porcelain", "--", *code.PACKAGES)
    return Checkout(version, _git("-C", str(home), "rev-parse", "HEAD"), len(changed.splitlines()))


def read_folder(path: Path) -> Folder:
    """A folder, or of one that is not there the nearest above it that is."""
    try:
        return _looked_at(path)
    except OSError:  # a folder above it is closed to us
        return Folder(path.absolute(), there=True)


def _looked_at(path: Path) -> Folder:
    nearest = next((each for each in (path, *path.absolute().parents) if each.exists()), path)
    if nearest != path or not path.is_dir():
        return Folder(
            path.absolute(),
            there=path.exists(),
            writable=os.access(nearest, os.W_OK | os.X_OK) and nearest.is_dir(),
            free_gib=_free(nearest),
        )
    readable = os.access(path, os.R_OK | os.X_OK)
    marker = RunsRoot(path).marker
    return Folder(
        path.absolute(),
        there=True,
        readable=readable,
        writable=os.access(path, os.W_OK | os.X_OK),
        empty=readable and not any(path.iterdir()),
        free_gib=_free(path),
        root_id=marker.read_text().strip() if os.access(marker, os.R_OK) else "",
    )


def read_wandb(env: Mapping[str, str], home: Path) -> Wandb:
    """As wandb itself would look: the key in the environment, else a login in ~/.netrc."""
    return Wandb(
        key=bool(env.get("WANDB_API_KEY")),
        login=_login(Path(env.get("NETRC") or home / ".netrc"), env.get("WANDB_BASE_URL", "")),
        mode=env.get("WANDB_MODE", ""),
        project=env.get("WANDB_PROJECT", ""),
        installed=_version("wandb") != ABSENT,
    )


def _login(path: Path, url: str) -> str:
    wanted = url.partition("://")[2].split("/")[0].split(":")[0] or WANDB_HOST
    try:
        return str(path) if netrc.netrc(path).authenticators(wanted) else ""
    except (OSError, netrc.NetrcParseError):
        return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


def _git(*words: str) -> str:
    command = ["git", "--no-optional-locks", *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _free(path: Path) -> float:
    try:
        return shutil.disk_usage(path).free / GIB
    except OSError:
        return 0.0


# ---- judges --------------------------------------------------------------------------------------


def judge_user(name: str) -> Iterator[Finding]:
    """Two people of one name are one: a share, a cap, and `--mine` is what both have submitted."""
    if name in ANYBODY:
        said = f"you are '{name}', as is everybody with that login: one share, one cap, one --mine"
        yield warn("user", said, "export TRAINQ_USER=your-own-name, or a line in .env")


def judge_python(found: Installed, *, host: bool) -> Iterator[Finding]:
    """A Python that is old enough to surprise, packages that are missing."""
    numbers = tuple(int(part) for part in found.python.split(".")[:2])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield fail("python", f"{found.python} is too old", f"Python {oldest} or newer")
    else:
        yield ok("python", f"{found.python}, trainer source {found.source}")
    missing = [name for name, version in found.versions.items() if version == ABSENT]
    there = [f"{name} {version}" for name, version in found.versions.items() if name not in missing]
    extra = "'trainq[worker]'" if host else "trainq"
    if missing:
        yield fail("packages", f"missing: {', '.join(missing)}", f"pip install {extra}")
    else:
        yield ok("packages", "  ".join(there))


def judge_git(found: Checkout) -> Iterator[Finding]:
    """Results name the code that made them only where git can tell it."""
    if not found.version:
        fix = "install git; without it a run's code is known by its hash alone"
        yield warn("git", "git is not there", fix)
    elif not found.commit:
        yield ok("git", f"{found.version}; trainq is installed, not a checkout")
    elif found.changed:
        files = f"{found.changed} changed or new file" + ("s" if found.changed > 1 else "")
        fix = "commit them, so that others can run the same; runs keep the diff meanwhile"
        yield warn("git", f"at {found.commit[:12]} with {files} of the source", fix)
    else:
        yield ok("git", f"{found.version}, at {found.commit[:12]}, nothing changed")


def judge_runs(found: Folder, *, host: bool) -> Iterator[Finding]:
    """The runs root must take checkpoints."""
    about = f"{found.path}, {found.free_gib:.0f} GiB free"
    if not host:
        here = (
            f"run folders are seen here: {about}" if found.root_id else "run folders are elsewhere"
        )
        yield ok("runs", f"{here}; lists and results come from Redis")
    elif found.there and not found.readable:
        yield fail("runs", f"{found.path} is no folder that can be read", "set TRAINQ_RUNS")
    elif not found.writable:
        yield fail("runs", f"{found.path} cannot be written", "chown it, or set TRAINQ_RUNS")
    elif found.free_gib < TOO_LITTLE:
        yield fail("runs", about, "free some space: queue admin prune --folders")
    elif found.free_gib < LITTLE:
        yield warn("runs", about, "old run folders: queue admin prune --folders --dry-run")
    elif not found.there:
        yield ok("runs", f"{about}; it is made when the first worker starts")
    else:
        yield ok("runs", f"{about}, root {found.root_id or 'without an id yet'}")


def judge_data(found: Folder, *, host: bool) -> Iterator[Finding]:
    """Data and weights are looked for below the data root."""
    if not host:
        yield ok("data", "data sets are the workers' business")
    elif not found.there:
        yield fail(
            "data", f"there is no {found.path}", "set TRAINQ_DATA to the folder of data sets"
        )
    elif not found.readable:
        yield fail("data", f"{found.path} cannot be read", "chmod it, or set TRAINQ_DATA")
    elif found.empty:
        yield warn("data", f"{found.path} is empty", "put data sets there, or set TRAINQ_DATA")
    else:
        yield ok("data", str(found.path))


def judge_wandb(found: Wandb, *, host: bool) -> Iterator[Finding]:
    """Off is fine; half on is not."""
    project = f", project {found.project}" if found.project else ""
    if found.mode and found.mode not in MODES:
        fix = "WANDB_MODE=online, offline or disabled"
        yield fail("wandb", f"WANDB_MODE '{found.mode}' is none that W&B knows", fix)
    elif found.mode == "disabled":
        yield ok("wandb", "disabled by WANDB_MODE")
    elif found.mode in ("offline", "dryrun"):
        yield ok("wandb", f"offline: runs are written to disk, send them by wandb sync{project}")
    elif not found.key and not found.login:
        yield ok("wandb", "off: no WANDB_API_KEY and no login in ~/.netrc")
    elif host and not found.installed:
        yield warn("wandb", "there is a key, but the package is missing", "pip install wandb")
    else:
        where = "WANDB_API_KEY" if found.key else found.login
        yield ok("wandb", f"key from {where}{project}")
