"""What ran can be had again: commit, diff and untracked files of the trainer's source."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, tiny, train

from schemas import code
from trainer import snapshot

ROOT = Path(__file__).parents[1]


def git(home: Path, *words: str) -> None:
    who = ("-c", "user.name=ana", "-c", "user.email=ana@example.org")
    subprocess.run(["git", "-C", home, *who, *words], check=True, capture_output=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A checkout with one commit of two packages."""
    home = tmp_path / "home"
    for package in (*code.PACKAGES, "notes"):
        (home / package).mkdir(parents=True)
        (home / package / "first.py").write_text("lr = 1\n")
    git(home, "init", "-q")
    git(home, "add", ".")
    git(home, "commit", "-qm", "first")
    return home


def test_commit_diff_and_untracked_files_give_the_source_back(home: Path, tmp_path: Path) -> None:
    (home / "trainer/first.py").write_text("lr = 2\n")
    (home / "trainer/new loss.py").write_text("loss = 3\n")
    (home / "trainer/weights.bin").write_bytes(bytes(snapshot.FILE_LIMIT + 1))
    (home / "notes/first.py").write_text("token = 'secret'\n")
    (home / "notes/mine.txt").write_text("dear diary\n")
    taken = snapshot.of(home)
    taken.keep(tmp_path / "code")
    taken.keep(tmp_path / "code")  # of a second attempt: nothing new
    assert taken.facts["left_out"] == ["trainer/weights.bin"]
    kept = {path.name: path.read_bytes() for path in (tmp_path / "code").iterdir()}
    assert all(hashlib.sha256(text).hexdigest() == name for name, text in kept.items())
    assert len(kept) == 2 and b"secret" not in b"".join(kept.values())
    again = tmp_path / "again"
    subprocess.run(["git", "clone", "-q", home, again], check=True)
    git(again, "checkout", "-q", taken.facts["commit"])
    git(again, "apply", str(tmp_path / "code" / taken.facts["diff"]))
    assert (again / "trainer/first.py").read_text() == "lr = 2\n"
    (name, address), *_ = taken.facts["untracked"].items()
    assert (name, kept[address]) == ("trainer/new loss.py", b"loss = 3\n")


def test_a_clean_checkout_keeps_nothing_and_no_checkout_has_only_a_version(
    home: Path, tmp_path: Path
) -> None:
    assert (snapshot.of(home).facts["diff"], snapshot.of(home).texts) == ("", {})
    bare = snapshot.of(tmp_path / "site-packages")
    assert (bare.facts, bare.texts) == ({"version": code.version(), "commit": ""}, {})


def test_an_attempt_names_the_source_that_ran_it(tmp_path: Path) -> None:
    data = draw_sketches(tmp_path / "data")
    order = order_for(tmp_path / "run", data, tiny(train__epochs=1), runs_root=str(tmp_path))
    train(order)
    said = json.loads(folder_of(order).environment.read_text())["code"]
    assert said["version"] == code.version()
    named = [name for name in (said.get("diff"), *said.get("untracked", {}).values()) if name]
    assert {path.name for path in (tmp_path / "code").iterdir()} == set(named)


def test_a_version_changes_with_the_files_and_with_nothing_else(tmp_path: Path) -> None:
    for package in code.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)

    def version() -> str:
        words = [sys.executable, "-c", "from schemas import code; print(code.version())"]
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.check_output(words, env=env, text=True, cwd=tmp_path).strip()

    (tmp_path / "trainer/learn/loss.py").touch()
    assert version() == code.version(), "the same files elsewhere, only younger"
    with (tmp_path / "trainer/learn/loss.py").open("a") as file:
        file.write("# changed\n")
    assert version() != code.version()
