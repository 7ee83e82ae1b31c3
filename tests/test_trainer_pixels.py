"""The pixel cache: made once, whole or not at all, shared, and the same pixels as the files'."""

import hashlib
import io
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from support.sketches import draw_sketches
from support.trainers import order_for, result_of, tiny, train
from support.waiting import PATIENCE_S

from schemas.components.data import Data
from schemas.components.pixels import Cached, Files
from schemas.events import Alive
from schemas.run import Progress
from trainer.data import cache, check, files, pixels, sources
from trainer.data.images import Images, Row, gathered
from trainer.entry.terminal import Bar
from trainer.faults import DataFault, DiskFault

FORK = multiprocessing.get_context("fork")
LOOKS = "looking for the images"
CACHED = {"kind": "cache", "side": 4096}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_sketches(tmp_path_factory.mktemp("sketches") / "data")


def read(folder: Path) -> Images:
    return sources.read(Data(), folder)


def silent(what: str) -> None:
    """Nobody listens."""


def pictures(images: Images, root: Path, side: int) -> Callable[[int], Image.Image]:
    kept = pixels.pictures(Data(pixels=Cached(side=side)), images, root, silent)
    return lambda number: coloured(kept(number))


def facts_of(images: Images) -> list[str]:
    return [files.facts_of(path) for path in images.paths]


OPENED: list[str] = []  # by this process; a hook stays for good, so there is one
LISTENS = threading.Event()


def hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and LISTENS.is_set() and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


@pytest.fixture(scope="module")
def hook() -> None:
    """Python tells of every file that it opens."""
    sys.addaudithook(hear)


@pytest.fixture
def opened(hook: None) -> Iterator[list[str]]:
    LISTENS.set()
    yield OPENED
    LISTENS.clear()


def key(images: Images, side: int) -> str:
    return cache.key(images.names, facts_of(images), side)


def cached(paths: Sequence[Path], root: Path) -> cache.Cache:
    images = gathered([Row(path.name, path, 0) for path in paths], ("a",))
    return cache.ready(root, images, facts_of(images), 64, silent)


def coloured(picture: object) -> Image.Image:
    """Gray ones are kept, and sized, as gray ones; the model gets three channels."""
    assert isinstance(picture, Image.Image)
    return picture.convert("RGB")


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "pixels").iterdir() if path.is_dir())


def test_an_image_that_is_small_enough_is_kept_pixel_by_pixel(data: Path, tmp_path: Path) -> None:
    images = read(data)
    kept = pictures(images, tmp_path, 4096)
    original = pixels.pictures(Data(pixels=Files()), images, tmp_path, silent)
    for number in range(len(images.paths)):
        assert np.array_equal(np.asarray(kept(number)), np.asarray(original(number)))


def test_larger_images_are_shrunk_to_the_side_and_keep_their_shape(
    data: Path, tmp_path: Path
) -> None:
    images = read(data)
    kept = pictures(images, tmp_path, 24)
    for number, path in enumerate(images.paths):
        with Image.open(path) as file:
            original = file.convert("RGB")
        small = kept(number)
        assert min(small.size) == 24 and small.mode == "RGB"
        assert abs(small.width / small.height - original.width / original.height) < 0.05
        wanted = np.asarray(original.resize(small.size, Image.Resampling.BOX), int)
        assert (
            np.abs(np.asarray(small, int) - wanted).mean() < 10
        )  # JPEGs are halved as they are decoded


def test_gray_images_take_a_third_whatever_their_file_says(tmp_path: Path) -> None:
    shade = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    Image.fromarray(shade).convert("RGB").save(tmp_path / "gray.png")
    Image.fromarray(np.dstack([shade, shade, 255 - shade])).save(tmp_path / "colour.png")
    paths = [tmp_path / "gray.png", tmp_path / "colour.png"]
    made = cached(paths, tmp_path / "c")
    assert made.index[:, 3].tolist() == [1, 3]
    assert np.array_equal(np.asarray(made.picture(0)), shade)
    assert np.array_equal(np.asarray(made.picture(1))[..., 2], 255 - shade)


def test_every_kind_of_file_becomes_what_pil_shows(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 255, (20, 30, 4), np.uint8)
    modes = {"a.png": "RGBA", "b.png": "P", "c.webp": "RGB", "d.gif": "P", "e.jpg": "CMYK"}
    for name, mode in modes.items():
        Image.fromarray(colours).convert("RGB").convert(mode).save(tmp_path / name)
    paths = [tmp_path / name for name in modes]
    made = cached(paths, tmp_path / "c")
    for number, path in enumerate(paths):
        with Image.open(path) as file:
            assert np.array_equal(
                np.asarray(coloured(made.picture(number))), np.asarray(file.convert("RGB"))
            )


def test_a_second_run_finds_the_cache_and_another_size_makes_another(
    data: Path, tmp_path: Path
) -> None:
    images, said = read(data), []
    for _ in range(2):
        pixels.pictures(Data(pixels=Cached(side=24)), images, tmp_path, said.append)
    assert said == [LOOKS, "caching pixels: 0 of 24", LOOKS]
    pictures(images, tmp_path, 32)
    assert len(folders(tmp_path)) == 2


def test_a_file_that_changed_is_another_data_set(tmp_path: Path) -> None:
    folder = draw_sketches(tmp_path / "data", each=2)
    images = read(folder)
    pictures(images, tmp_path, 24)
    os.utime(images.paths[0], (1, 1))
    pictures(images, tmp_path, 24)
    assert len(folders(tmp_path)) == 2


def test_all_files_that_are_no_pictures_are_named_at_once(tmp_path: Path) -> None:
    folder = draw_sketches(tmp_path / "data")
    images = read(folder)
    images.paths[3].write_bytes(b"no picture")
    whole = images.paths[7].read_bytes()
    images.paths[7].write_bytes(whole[: len(whole) // 2])  # a header that is right, pixels that end
    said = r"2 images cannot be used: .*sketch_3\.JPEG is broken .*sketch_7\.JPEG .*truncated"
    for _ in range(2):  # the second time by what the cache remembers
        with pytest.raises(DataFault, match=said) as caught:
            pictures(images, tmp_path, 24)
    assert caught.value.fix
    left_out = replace(images, bad=frozenset({3, 7}))
    assert pictures(left_out, tmp_path, 24)(4).mode == "RGB"


def test_a_build_that_died_is_gone_on_with_where_it_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK", 8)
    images = read(data)

    def die(what: str) -> None:
        if what == "caching pixels: 16 of 24":
            os._exit(9)

    def doomed() -> None:
        pixels.pictures(Data(pixels=Cached(side=24)), images, tmp_path, die)

    child = FORK.Process(target=doomed)
    child.start()
    child.join(PATIENCE_S)
    assert child.exitcode == 9 and folders(tmp_path)[0].endswith(".part")
    said: list[str] = []
    made = pixels.pictures(Data(pixels=Cached(side=24)), images, tmp_path, said.append)
    assert "caching pixels: 0 of 8" in said
    whole = pictures(images, tmp_path / "other", 24)
    for number in range(24):
        assert np.array_equal(np.asarray(coloured(made(number))), np.asarray(whole(number)))


def test_a_part_of_an_earlier_boot_is_not_trusted(data: Path, tmp_path: Path) -> None:
    images = read(data)
    name = key(images, 24)
    stale = tmp_path / "pixels" / f"{name}.0ldb00t1.part"
    stale.mkdir(parents=True)
    pictures(images, tmp_path, 24)
    assert folders(tmp_path) == [name]


def test_what_could_not_be_read_this_time_is_a_hole_that_the_next_run_fills(tmp_path: Path) -> None:
    images = read(draw_sketches(tmp_path / "data"))
    facts = facts_of(images)
    absent = images.paths[5].rename(tmp_path / "elsewhere")
    first = cache.ready(tmp_path / "pixels", images, facts, 24, silent)
    assert first.bad == {5: "cannot be read now (No such file or directory)"}
    assert first.picture(4).size and folders(tmp_path)[0].endswith(".part")
    absent.rename(images.paths[5])
    said: list[str] = []
    second = cache.ready(tmp_path / "pixels", images, facts, 24, said.append)
    assert said == ["caching pixels: 0 of 1"] and second.bad == {}
    assert not folders(tmp_path)[0].endswith(".part")
    for number in (4, 5):
        whole = pictures(images, tmp_path / "other", 24)(number)
        assert np.array_equal(np.asarray(coloured(second.picture(number))), np.asarray(whole))
    assert np.array_equal(np.asarray(first.picture(4)), np.asarray(second.picture(4)))


def test_a_run_opens_every_image_once_and_the_next_ones_none(
    tmp_path: Path, opened: list[str]
) -> None:
    """Looked at, kept and trained from: one decode. Another runs root asks the cache."""
    folder = draw_sketches(tmp_path / "data")
    paths = sorted(str(path) for path in read(folder).paths)
    config = tiny(data__pixels=CACHED, data__workers=0, train__epochs=2)
    for name in ("first-a", "first-b", "second-a"):
        order = order_for(tmp_path / name, folder, config)
        order = order.model_copy(
            update={
                "cache_root": str(tmp_path / "cache"),
                "runs_root": str(tmp_path / name.partition("-")[0]),
            }
        )
        opened.clear()
        assert train(order).exit_code == 0
        assert sorted(path for path in opened if path.endswith("JPEG")) == paths
        paths = []


def test_a_cache_says_of_every_file_what_a_look_alone_says(tmp_path: Path) -> None:
    images = read(draw_sketches(tmp_path / "data"))
    images.paths[3].write_bytes(b"no picture")
    images.paths[4].write_bytes(images.paths[5].read_bytes())
    images.paths[6].unlink()
    images.paths[7].write_bytes(images.paths[7].read_bytes()[:-100])
    facts = facts_of(images)
    look = pixels.look(Data(pixels=Cached(side=24)), tmp_path / "cache")
    looked = [look(images, facts, silent) for _ in range(2)]  # built, then found
    assert looked[0] == looked[1] == check.glance(images, facts, silent)
    assert looked[0][4].sum == looked[0][5].sum and sum(bool(each.why) for each in looked[0]) == 3


def test_two_processes_that_come_at_once_build_one_cache(data: Path, tmp_path: Path) -> None:
    """The first does not begin to decode before the second has come and waits."""
    images, waits = read(data), FORK.Event()
    told: Any = FORK.Queue()

    def build() -> None:
        said: list[str] = []

        def alive(what: str) -> None:
            said.append(what)
            if what.startswith("waiting"):
                waits.set()
            elif what.startswith("caching"):
                assert waits.wait(PATIENCE_S)

        kept = pixels.pictures(Data(pixels=Cached(side=24)), images, tmp_path, alive)
        told.put(
            (set(said), hashlib.sha256(b"".join(kept(n).tobytes() for n in range(24))).digest())
        )

    both = [FORK.Process(target=build) for _ in range(2)]
    for each in both:
        each.start()
    found = [told.get(timeout=PATIENCE_S) for _ in both]
    for each in both:
        each.join(PATIENCE_S)
    built, waited = sorted(found, key=lambda one: len(one[0]), reverse=True)
    assert built[0] == {LOOKS, "caching pixels: 0 of 24"}
    assert waited[0] == {LOOKS, "waiting for another run that looks at these images"}
    assert built[1] == waited[1] and len(folders(tmp_path)) == 1


def test_the_bar_shows_how_far_the_cache_is() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    bar = Bar(terminal)
    bar(Alive(progress=Progress(doing="caching pixels: 256 of 1024")))
    assert bar.shown.tasks[0].percentage == 25
    bar(Alive(progress=Progress(doing="training", step=3, steps=4, epochs=1)))
    assert bar.shown.tasks[0].percentage == 75


def test_a_disk_without_room_is_refused_before_it_is_full(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "ROOM", 1 << 60)
    with pytest.raises(DataFault, match="the pixel cache may need") as caught:
        pictures(read(data), tmp_path, 24)
    assert "TRAINQ_CACHE" in caught.value.fix and folders(tmp_path) == []


def test_a_run_from_the_cache_equals_the_run_from_files_where_nothing_shrinks(
    data: Path, tmp_path: Path
) -> None:
    orders = [
        order_for(tmp_path / kind, data, tiny(data__pixels=way, data__workers=workers))
        for kind, way, workers in (
            ("files", {"kind": "files"}, 0),
            ("cache", CACHED, 0),
            ("shared", CACHED, 2),
        )
    ]
    for order in orders:
        train(order)
    assert len({result_of(order).facts["final_weights_sha256"] for order in orders}) == 1


def test_a_disk_that_refuses_the_cache_is_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "pixels").write_text("in the way")
    with pytest.raises(DiskFault, match="no pixel cache could be made") as caught:
        pictures(read(data), tmp_path, 24)
    assert "TRAINQ_CACHE" in caught.value.fix
