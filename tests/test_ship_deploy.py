"""What is shipped beside the packages: compose file, image, systemd unit, set-up, lock."""

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from schemas.settings import Settings

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "trainq-worker@.service"
COMPOSE_ONLY = {"REDIS_PASSWORD"}


def ran(*command: str, cwd: Path = ROOT, path: str = os.environ["PATH"]) -> tuple[int, str]:
    """Exit code and everything that a command said."""
    done = subprocess.run(
        command, cwd=cwd, env={"PATH": path}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return loaded


def unit() -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have case
    parser.read(UNIT)
    return parser


def grace_s() -> float:
    return Settings.read({}).grace_s


def test_compose_file_fits_the_compose_schema() -> None:
    check = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
    code, said = ran(*check, "docker-compose.yml")
    assert code == 0, said


def test_no_port_is_published_beyond_loopback() -> None:
    published = [
        service["ports"] for service in compose()["services"].values() if "ports" in service
    ]
    assert published == [["127.0.0.1:6379:6379"]]


def test_compose_redis_keeps_its_data_and_hides_its_password() -> None:
    redis, text = compose()["services"]["redis"], (ROOT / "docker-compose.yml").read_text()
    assert "appendonly yes" in text and "redis:/data" in redis["volumes"]
    assert "PASSWORD" not in str(redis["command"]) + str(redis["healthcheck"])
    assert re.fullmatch(r"redis:\d+\.\d+-\w+", redis["image"])


def test_compose_worker_waits_for_redis_and_has_time_to_save() -> None:
    worker = compose()["services"]["worker"]
    assert worker["depends_on"]["redis"]["condition"] == "service_healthy"
    assert float(worker["stop_grace_period"].removesuffix("s")) > grace_s()
    assert "runs:/runs" in worker["volumes"] and worker["environment"]["TRAINQ_RUNS"] == "/runs"


def test_image_installs_the_lock_by_its_hashes_and_runs_without_root() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    assert any("--require-hashes" in line and "requirements.lock" in line for line in lines)
    assert "USER trainq" in lines


def test_unit_gives_the_worker_alone_the_time_to_save() -> None:
    service = unit()["Service"]
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > grace_s()
    assert service["OOMPolicy"] == "continue"
    assert service["ExecStart"].endswith("/worker --gpu %i")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "trainq-worker@0.service"
    program = unit()["Service"]["ExecStart"].split()[0]
    copy.write_text(UNIT.read_text().replace(program, "/bin/true").replace("/opt/trainq", "/tmp"))
    assert ran("systemd-analyze", "verify", str(copy)) == (0, "")


def test_example_settings_are_settings() -> None:
    names = re.findall(r"^([A-Z_]+)=", (ROOT / "deploy/trainq.env.example").read_text(), re.M)
    known = {field.alias for field in Settings.model_fields.values()} | COMPOSE_ONLY
    assert names and set(names) <= known


def test_lock_pins_every_package_by_hash_and_names_no_index() -> None:
    blocks = re.split(r"^(?=\S)", (ROOT / "requirements.lock").read_text(), flags=re.M)[1:]
    assert all(re.match(r"[a-z0-9-]+==\S+ ", block) for block in blocks)
    assert all("--hash=sha256:" in block for block in blocks)
    assert not [block for block in blocks if "://" in block or "index" in block.split("==")[0]]
    assert {"torch==2.10.0", "torchvision==0.25.0"} <= {block.split()[0] for block in blocks}


def test_locked_torch_still_has_kernels_for_a_v100() -> None:
    _, said = ran(sys.executable, "-c", "import torch; print(torch._C._cuda_getArchFlags())")
    assert "sm_70" in said.split()


def test_set_up_without_a_python_says_what_to_install(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    code, said = ran("bash", "deploy/setup", cwd=tmp_path, path=str(tmp_path))
    assert code == 1
    assert "no Python 3.11 or later" in said and "try:" in said


def test_second_set_up_has_nothing_to_do(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "complete").touch()
    assert ran("make", "setup", cwd=tmp_path) == (0, "make: Nothing to be done for 'setup'.\n")


def test_help_lists_every_target_once() -> None:
    _, said = ran("make", "--no-print-directory", "help")
    listed = re.findall(r"make (\w+)", said)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    assert listed == targets and len(set(listed)) == len(listed)
