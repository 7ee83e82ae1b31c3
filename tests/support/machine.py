"""A made machine: what Python, git, the disk and torch say on it never changes, whoever asks."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from types import SimpleNamespace

import pytest

from publisher.search import searching
from queue_worker.door import health
from schemas import code, surroundings
from support.desk import Desk
from trainer.entry import by_hand

VERSIONS = {
    **{"trainq": "0.1.0", "pydantic": "2.14.3", "typer": "0.29.2", "rich": "15.0.0"},
    **{"ruamel.yaml": "0.19.1", "redis": "8.1.0", "rq": "2.12.0", "slack-sdk": "3.47.0"},
    **{"psutil": "7.2.2", "torch": "2.10.0", "torchvision": "0.25.0", "timm": "1.0.31"},
}
PROBED = {"torch": "2.10.0+cu128", "built_for": ["sm_70"], "cuda": "12.8", "kernel": "no GPU"}
PYTHON = f"""\
#!/bin/sh
case "$*" in *entry.probe*) echo '{json.dumps(PROBED)}' ;; *) exec {sys.executable} "$@" ;; esac
"""
GIT = """\
#!/bin/sh
case "$*" in *--version*) echo git version 2.45.1 ;; *rev-parse*) echo 0c1d2e3f4a5b6c7d ;; esac
"""
FREE = SimpleNamespace(total=100 << 30, used=44 << 30, free=56 << 30)


def settle_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on commands in this process are asked on the made machine, in the desk's folder."""
    installed = importlib.metadata.version
    for name, text in {"python": PYTHON, "git": GIT}.items():
        (desk.folder / name).write_text(text)
        (desk.folder / name).chmod(0o755)
    (desk.folder / "checkout" / ".git").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{desk.folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(desk.folder))
    monkeypatch.setenv("TRAINQ_HOST", "gpu1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a pre-flight sets it, here in our own process
    monkeypatch.setattr(sys, "executable", str(desk.folder / "python"))
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.4")
    monkeypatch.setattr(importlib.metadata, "version", lambda n: VERSIONS.get(n) or installed(n))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: FREE)
    monkeypatch.setattr(code, "version", lambda: "3d7e3daf7793")
    monkeypatch.setattr(surroundings, "__file__", str(desk.folder / "checkout" / "schemas" / "it"))
    monkeypatch.setattr(health, "SLOW_MS", 60_000)  # the machine below may be busy
    monkeypatch.setattr(health, "SKEW_S", 60)
    monkeypatch.setattr(searching, "POLL_S", 0.05)
    monkeypatch.setattr(os, "execv", become)


def become(_: str, words: list[str]) -> None:
    """As exec, in this process: its streams are those that the test reads."""
    sys.argv = words[words.index("trainer") :]
    by_hand.app()
