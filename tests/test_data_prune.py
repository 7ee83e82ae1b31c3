"""`trainer data prune`: old pixels go when somebody says so; what a process uses never does."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.sketches import draw_sketches
from support.waiting import PATIENCE_S, wait_until
from typer.testing import CliRunner, Result

from schemas.components.data import Data
from schemas.components.pixels import Cached
from trainer.data import cache, files, pixels, pruning, sources
from trainer.data.images import Images
from trainer.entry.by_hand import app

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    monkeypatch.setenv("TRAINQ_CACHE", str(tmp_path / "cache"))
    return sources.read(Data(), draw_sketches(tmp_path / "data", each=2))


def silent(what: str) -> None:
    """Nobody listens."""


def kept(images: Images, root: Path, side: int) -> pixels.PictureOf:
    return pixels.pictures(Data(pixels=Cached(side=side)), images, root / "cache", silent)


def key(images: Images, side: int) -> str:
    return cache.key(images.names, [files.facts_of(path) for path in images.paths], side)


def folders(root: Path) -> set[str]:
    return {path.name for path in (root / "cache" / "pixels").iterdir() if path.is_dir()}


def make_old(root: Path, days: float) -> None:
    then = (root / "data").stat().st_mtime - days * pruning.DAY_S
    for path in [*(root / "cache" / "pixels").rglob("*")]:
        os.utime(path, (then, then))


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["data", "prune", *words])


@contextmanager
def another_process(images: Images, root: Path, side: int) -> Iterator[None]:
    """A run elsewhere that reads this cache; its loader processes do so after it has gone."""
    reads, enough = FORK.Event(), FORK.Event()

    def hold() -> None:
        picture = kept(images, root, side)
        reads.set()
        assert enough.wait(PATIENCE_S) and picture(0)

    def run() -> None:
        picture = kept(images, root, side)

        def loader() -> None:
            reads.set()
            assert enough.wait(PATIENCE_S) and picture(0)

        FORK.Process(target=loader).start()
        os._exit(0)

    process = FORK.Process(target=run if side == 24 else hold)
    process.start()
    assert reads.wait(PATIENCE_S)
    yield
    enough.set()
    process.join(PATIENCE_S)


def build(images: Images, root: Path, *sides: int) -> None:
    """In a process that is gone again."""
    for side in sides:
        made = FORK.Process(target=kept, args=(images, root, side))
        made.start()
        made.join(PATIENCE_S)
        assert made.exitcode == 0


@pytest.mark.parametrize("side", [24, 32])
def test_what_a_live_process_reads_stays_and_goes_when_it_has_ended(
    images: Images, tmp_path: Path, side: int
) -> None:
    build(images, tmp_path, 20, side)
    with another_process(images, tmp_path, side):
        make_old(tmp_path, 40)
        result = typed("--yes")
        assert result.stdout.endswith("1 stay\n"), result.output
        assert folders(tmp_path) == {key(images, side)} and "in use" in result.stderr
    wait_until(lambda: json.loads(typed("--yes", "--json").stdout)["kept"] == 0)
    assert folders(tmp_path) == set()


def test_only_what_was_not_used_for_so_long_goes(images: Images, tmp_path: Path) -> None:
    build(images, tmp_path, 20, 24)
    make_old(tmp_path, 40)
    build(images, tmp_path, 24)  # used once more
    assert "used lately" in typed("--yes").stderr
    assert folders(tmp_path) == {key(images, 24)}
    assert typed("--unused", "0", "--yes").exit_code == 0
    assert list((tmp_path / "cache" / "pixels").iterdir()) == []


def test_without_a_yes_nothing_goes_and_it_says_what_would(images: Images, tmp_path: Path) -> None:
    build(images, tmp_path, 20)
    make_old(tmp_path, 40)
    result = typed()
    assert result.exit_code == 2 and "nothing was deleted" in result.stderr
    assert "6 images" in result.stderr and "40 days ago  can go" in result.stderr
    assert folders(tmp_path) == {key(images, 20)}


def test_nothing_to_do_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINQ_CACHE", str(tmp_path / "none"))
    result = typed()
    assert (result.exit_code, result.stdout) == (0, "freed 0.0 GB, 0 stay\n")


def test_a_part_goes_when_its_builder_died_and_stays_while_it_lives(
    images: Images, tmp_path: Path
) -> None:
    at_work, go_on, die = (FORK.Event() for _ in range(3))

    def alive(what: str) -> None:
        if what.startswith("caching"):
            at_work.set()
            assert go_on.wait(PATIENCE_S)
            if die.is_set():
                os._exit(9)

    def work() -> None:
        pixels.pictures(Data(pixels=Cached(side=20)), images, tmp_path / "cache", alive)

    builder = FORK.Process(target=work)
    builder.start()
    assert at_work.wait(PATIENCE_S)
    assert "1 stay" in typed("--unused", "0", "--yes").stdout
    die.set()
    go_on.set()
    builder.join(PATIENCE_S)
    result = typed("--unused", "0", "--yes")
    assert "unfinished" in result.stderr and "0 stay" in result.stdout
    assert folders(tmp_path) == set()


def test_a_run_whose_cache_goes_as_it_comes_builds_it_anew(
    images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pruned between its two looks: at the folder, and into it."""
    build(images, tmp_path, 20)
    whole = cache.Cache.__init__
    pruned: list[Any] = []

    def slow(self: cache.Cache, folder: Path) -> None:
        if not pruned:
            pruned.extend(pruning.free(pruning.survey(folder.parent, 0, 4e9)))
        whole(self, folder)

    monkeypatch.setattr(cache.Cache, "__init__", slow)
    assert kept(images, tmp_path, 20)(0) and len(pruned) == 1


def test_builders_that_wait_for_a_pruned_lock_do_not_build_twice(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    waiting = lock.open("w")
    lock.unlink()
    lock.touch()
    assert not cache.taken(waiting.fileno(), lock)
    waiting.close()
