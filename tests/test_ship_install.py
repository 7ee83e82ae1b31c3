"""The wheel on a laptop: a client with only its own dependencies, and no torch anywhere."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from support.servers import TestServer

ROOT = Path(__file__).parents[1]
SCRIPTS = {"publisher", "queue", "worker", "trainer", "trainq"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def laptop(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and what it declares, linked from ours."""
    folder = tmp_path_factory.mktemp("laptop")
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    install = [sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps"]
    python = str(folder / "bin" / "python")
    subprocess.run([*install, "--python", python, str(wheel)], check=True, capture_output=True)
    for name in needed(PathDistribution(next(site.glob("trainq-*.dist-info")))):
        link(name, site)
    return folder


def needed(root: Distribution) -> set[str]:
    """What a distribution needs, and what that needs, without any extra."""
    found: set[str] = set()
    todo = [root]
    while todo:
        for requirement in map(Requirement, todo.pop().requires or []):
            here = not requirement.marker or requirement.marker.evaluate({"extra": ""})
            if here and requirement.name not in found:
                found.add(requirement.name)
                todo.append(distribution(requirement.name))
    return found


def link(name: str, site: Path) -> None:
    """Put an installed distribution into another site-packages."""
    files = distribution(name).files or []
    for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
        (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))


@pytest.fixture(scope="session")
def team_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    server = TestServer(tmp_path_factory.mktemp("team")).start()
    yield server
    server.stop()


@pytest.fixture
def run(laptop: Path, team_redis: TestServer, tmp_path: Path) -> Run:
    """A command of the laptop, in an empty folder, with a team's Redis unless told otherwise."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TRAINQ_USER": "ana"}

    def run(*command: str, redis_url: str = team_redis.url) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(laptop / "bin" / command[0]), *command[1:]],
            cwd=tmp_path,
            env=env | {"REDIS_URL": redis_url},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_lock_pins_releases_only() -> None:
    pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert len(pins) > 50
    assert not [pin for pin in pins if Version(pin[1]).is_prerelease]


def test_wheel_holds_the_four_packages_with_their_lua_and_lists(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"schemas", "publisher", "queue_worker", "trainer"}
    kinds = {".lua": "queue_worker", ".txt": "schemas", ".json": "schemas"}
    for suffix, package in kinds.items():
        wanted = {p.relative_to(ROOT).as_posix() for p in (ROOT / package).rglob(f"*{suffix}")}
        assert wanted and wanted <= set(names)


def test_laptop_has_all_commands_and_no_torch(laptop: Path, run: Run) -> None:
    assert {path.name for path in (laptop / "bin").iterdir()} >= SCRIPTS
    assert "No module named 'torch'" in run("python", "-c", "import torch").stderr
    for command in (("publisher", "--help"), ("queue", "--help"), ("trainq", "queue", "-h")):
        assert run(*command).returncode == 0


def test_laptop_validates_submits_and_looks(run: Run) -> None:
    example = str(ROOT / "examples" / "sketch_small.yaml")
    assert run("publisher", "validate", example).stdout.startswith("ok")
    submitted = run("publisher", "submit", example)
    assert submitted.returncode == 0, submitted.stderr
    assert "no torch here: the worker makes the pre-flight" in submitted.stderr
    asked = run("publisher", "preflight", example)
    assert asked.returncode == 2 and "not installed here" in asked.stderr
    listed = run("queue", "list")
    assert "queued" in listed.stdout and "sketch-small" in listed.stdout, listed.stderr


def test_laptop_without_a_redis_is_told_what_to_set(run: Run) -> None:
    done = run("queue", "list", redis_url="")
    assert done.returncode == 4
    assert "export REDIS_URL=" in done.stderr
