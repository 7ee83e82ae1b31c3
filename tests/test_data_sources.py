"""Folders, any table, extra rows, samplers and class weights; and the look at every image."""

import csv
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.people import draw_people
from support.sketches import draw_sketches
from support.trainers import folder_of, order_for, tiny, train
from support.waiting import wait_until

from schemas.components.data import Data
from schemas.components.loss import CrossEntropy
from schemas.events import ExitCode
from schemas.rundir import RunsRoot
from trainer.crew import Solo
from trainer.data import cache, check, files, loader, sources, split
from trainer.data.course import Course, Way
from trainer.data.images import Images
from trainer.data.plan import Plan
from trainer.faults import ConfigFault, DataFault
from trainer.learn import loss

CPU = torch.device("cpu")


def silent(what: str) -> None:
    """Nobody listens."""


def data_of(**parts: Any) -> Data:
    return tiny(**{f"data__{name}": value for name, value in parts.items()}).data


def table(folder: Path, *rows: tuple[object, ...], name: str = "train.csv") -> Path:
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


# ---- layouts -------------------------------------------------------------------------------------


def test_a_folder_a_class_at_any_depth_without_hidden_files(tmp_path: Path) -> None:
    for name in (
        "cat/1.jpg",
        "cat/more/2.PNG",
        "cat/.3.jpg",
        "cat/notes.txt",
        "dog/1.webp",
        ".x/1.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images = sources.read(data_of(source={"kind": "folders"}), tmp_path)
    assert images.names == ("cat/1.jpg", "cat/more/2.PNG", "dog/1.webp")
    assert (images.targets, images.classes) == ((0, 0, 1), ("cat", "dog"))


@pytest.mark.parametrize(
    ("folders", "problem"),
    [
        ((), "has no class"),
        (("cat",), "has only one class"),
        (("cat", "dog"), "cat holds no image"),
    ],
)
def test_folders_that_are_no_data_set_are_one_line(
    tmp_path: Path, folders: tuple[str, ...], problem: str
) -> None:
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(DataFault, match=problem):
        sources.read(data_of(source={"kind": "folders"}), tmp_path)


def test_any_table_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    table(
        tmp_path, ("file", "what", "who"), ("b.jpg", 10, "x"), ("a.jpg", 9, "y"), ("c.jpg", 9, "x")
    )
    source = {"kind": "csv", "image": "file", "label": "what", "person": "who", "images": "all"}
    images = sources.read(data_of(source=source), tmp_path)
    assert images.names == ("b.jpg", "a.jpg", "c.jpg")
    assert (images.targets, images.classes) == ((1, 0, 0), ("9", "10"))
    assert images.persons == ("x", "y", "x") and images.paths[0] == tmp_path / "all" / "b.jpg"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("../b.jpg", 1), "line 3 names no image below the data root"),
        (("/b.jpg", 1), "line 3 names no image below the data root"),
        (("b\0.jpg", 1), "line 3 names no image below the data root"),
        (("b.jpg", ""), "line 3 has no target"),
        (("a.jpg", 1), "lists 1 image more than once: a.jpg"),
    ],
)
def test_a_row_that_makes_no_sense_is_named_by_its_line(
    tmp_path: Path, row: tuple[object, ...], problem: str
) -> None:
    table(tmp_path, ("image_path", "target"), ("a.jpg", 0), row)
    with pytest.raises(DataFault, match=problem):
        sources.read(data_of(source={"kind": "csv"}), tmp_path)


# ---- extra rows, and rows without answers --------------------------------------------------------


def test_pseudo_labels_only_train_and_keep_their_origin(tmp_path: Path) -> None:
    draw_sketches(tmp_path)
    rows = [("1.jpg", 2, 0.9), ("2.jpg", "n00000001", 0.8), ("3.jpg", 0, 0.5)]
    table(tmp_path, ("image_path", "target", "sure"), *rows, name="pseudo.csv")
    extra = {"origin": "pseudo-0.8", "csv": "pseudo.csv", "images": "test", "confidence": "sure"}
    data = data_of(extra=[{**extra, "at_least": 0.8}])
    images = sources.read(data, tmp_path)
    assert images.names[24:] == ("pseudo-0.8:1.jpg", "pseudo-0.8:2.jpg")
    assert images.targets[24:] == (2, 1) and images.paths[24] == tmp_path / "test" / "1.jpg"
    parts = split.divide(images, data.split, seed=1)
    assert {24, 25} <= set(parts.train) and max(parts.validate) < 24
    assert images.digest != sources.read(data_of(), tmp_path).digest


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("1.jpg", 3, 1)], "line 2 has no class of the source: target='3'"),
        ([("1.jpg", 1, "high")], "line 2 has no such confidence: 'high'"),
        ([("1.jpg", 1, 0.4)], r"pseudo\.csv has no row of a sure of 0\.5 or more"),
        ([("1.jpg", 1, 1), ("1.jpg", 0, 1)], "lists 1 image more than once"),
    ],
)
def test_extra_rows_that_make_no_sense_are_one_line(
    tmp_path: Path, rows: list[tuple[object, ...]], problem: str
) -> None:
    draw_sketches(tmp_path)
    table(tmp_path, ("image_path", "target", "sure"), *rows, name="pseudo.csv")
    with pytest.raises(DataFault, match=problem):
        extra = {"csv": "pseudo.csv", "confidence": "sure", "at_least": 0.5}
        sources.read(data_of(extra=[extra]), tmp_path)


def test_a_folder_of_mixed_people_trains_by_the_rules_of_the_source(tmp_path: Path) -> None:
    draw_people(tmp_path, people=6)
    mixed = tmp_path / "mixed" / "000000+000002_male_Asian_60"
    mixed.mkdir(parents=True)
    (mixed / "normal.png").touch()
    data = data_of(source={"kind": "mask"}, extra=[{"origin": "mix", "images": "mixed"}])
    images = sources.read(data, tmp_path)
    assert images.targets[-1] == 14 and images.persons[-1] == "000000+000002"


def test_the_test_set_is_read_from_info_csv(tmp_path: Path) -> None:
    draw_people(tmp_path, people=0, answered=2)
    test = data_of(test={"root": "eval"}).test
    assert test
    found = sources.test_images(test, tmp_path)
    assert len(found) == 14 and all(path.is_file() for path in found.values())


def test_a_test_image_that_is_listed_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    table = tmp_path / "info.csv"
    table.write_text("ImageID,ans\na.jpg,0\nb.jpg,0\na.jpg,0\n")
    test = data_of(test={"root": ".", "csv": "info.csv"}).test
    assert test
    with pytest.raises(DataFault) as refused:
        sources.test_images(test, tmp_path)
    assert f"{table} lists 1 test image more than once: a.jpg (lines 2, 4)" in str(refused.value)
    assert refused.value.fix == (
        "one row an image, as the answers have one: take the repeated rows out"
    )


# ---- samplers and weights ------------------------------------------------------------------------


def plan_of(images: Images, sampler: dict[str, Any], seed: int = 42) -> Plan:
    config = tiny(data__sampler=sampler, seed=seed)
    parts = split.divide(images, config.data.split, seed=1)
    return Plan.of(config, parts, Solo())


def uneven() -> Images:
    targets = (0,) * 300 + (1,) * 60 + (2,) * 15
    names = tuple(f"{n:03d}" for n in range(375))
    return Images(tuple(map(Path, names)), targets, ("a", "b", "c"), names, "")


def drawn(plan: Plan, epoch: int) -> Counter[int]:
    return Counter(plan.parts.targets[plan.order(epoch)].tolist())


def test_imbalanced_draws_every_class_alike() -> None:
    counts = drawn(plan_of(uneven(), {"kind": "imbalanced"}), 0)
    assert counts.total() == 300 and all(75 < counts[target] < 125 for target in range(3))


def test_weighted_draws_by_the_weights_of_the_classes() -> None:
    counts = drawn(plan_of(uneven(), {"kind": "weighted", "weights": [0.5, 1, 1e-9]}), 0)
    assert counts[2] == 0 and 2 < counts[0] / counts[1] < 3.2


@pytest.mark.parametrize("weights", [[1, 2], [1, 2, 3, 4]])
def test_weights_that_are_not_one_a_class_are_refused_by_every_command(
    tmp_path: Path, weights: list[int]
) -> None:
    sampler = {"kind": "weighted", "weights": weights}
    with pytest.raises(ConfigFault, match=f"has {len(weights)} weights for 3 classes") as caught:
        sources.read(data_of(sampler=sampler), draw_sketches(tmp_path))
    assert caught.value.fix.endswith("n00000000, n00000001, n00000002")


def test_what_an_epoch_draws_is_a_function_of_seed_and_epoch_alone() -> None:
    images = uneven()
    plan = plan_of(images, {"kind": "imbalanced"})
    np.random.rand(3)
    again = plan_of(images, {"kind": "imbalanced"})
    assert np.array_equal(plan.order(1), again.order(1))
    assert not np.array_equal(plan.order(0), plan.order(1))
    assert not np.array_equal(plan.order(0), plan_of(images, {"kind": "imbalanced"}, 7).order(0))
    whole = list(plan.batches(0, 0))
    assert list(plan.batches(0, 3)) == whole[3:]


def test_a_doubtful_label_is_drawn_by_its_odds_anew_every_epoch(tmp_path: Path) -> None:
    images = Images((Path("x"),), (1,), ("a", "b"), ("x",), "", odds={0: (0.3, 0.7)})
    pictures = loader.Pictures(images, Course(Way(_never, _never)), 5)
    labels = [pictures.label(epoch, 0) for epoch in range(1000)]
    assert 0.65 < np.mean(labels) < 0.75
    assert labels == [pictures.label(epoch, 0) for epoch in range(1000)]


def _never(_: object) -> Any:
    raise AssertionError


def test_balanced_weights_count_each_class_alike_however_the_batch_is_cut() -> None:
    counts = [30, 10]
    criterion = loss.criterion(CrossEntropy(class_weights="balanced"), counts, CPU)
    assert torch.allclose(loss.balanced(counts), torch.tensor([2 / 3, 2.0]))
    logits, targets = torch.randn(8, 2), torch.tensor([0] * 6 + [1] * 2)
    whole = criterion(logits, targets)
    halves = (criterion(logits[:4], targets[:4]) + criterion(logits[4:], targets[4:])) / 2
    assert torch.allclose(whole, halves)
    each = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    assert torch.allclose(whole, (each[:6].sum() * 2 / 3 + each[6:].sum() * 2) / 8)


def test_a_class_that_does_not_train_has_no_weight() -> None:
    assert loss.balanced([4, 0, 4]).tolist() == [1, 0, 1]


# ---- every image is looked at --------------------------------------------------------------------


def bad_sketches(folder: Path) -> Path:
    """Three bad images in 24: cut short, no picture, and the picture of another."""
    train = draw_sketches(folder) / "train"
    whole = (train / "n00000000" / "sketch_0.JPEG").read_bytes()
    (train / "n00000000" / "sketch_1.JPEG").write_bytes(whole[: len(whole) * 2 // 3])
    (train / "n00000001" / "sketch_2.JPEG").write_bytes(b"GIF89a, or so they say")
    (train / "n00000002" / "sketch_3.JPEG").write_bytes(whole)
    return folder


def look(folder: Path, on_bad: Any = "refuse") -> Images:
    images = sources.read(data_of(), folder)
    return check.checked(images, on_bad, RunsRoot(folder / "runs"), silent)


def test_broken_images_and_twins_are_all_named_before_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataFault, match=r"3 of 24 images .* twice") as caught:
        look(bad_sketches(tmp_path))
    for name in ("n00000000/sketch_1", "n00000001/sketch_2", "n00000002/sketch_3"):
        assert name in caught.value.what
    assert "is the same picture as n00000000/sketch_0.JPEG" in caplog.text
    assert "is broken (OSError: image file is truncated" in caplog.text
    assert "data.on_bad=skip" in caught.value.fix


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.bmp"])
def test_a_file_that_lacks_its_last_bytes_is_broken(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)).save(path)
    assert files.look(path, "1", files.glance)[0].sum
    path.write_bytes(path.read_bytes()[:-100])
    for take in (files.glance, lambda file: cache.small(file, 24)):
        assert "is broken" in files.look(path, "1", take)[0].why


def test_of_runs_that_begin_at_once_one_looks_and_the_others_read_its_note(tmp_path: Path) -> None:
    images, shared = sources.read(data_of(), draw_sketches(tmp_path)), RunsRoot(tmp_path / "runs")
    check.troubles(images, shared, silent)
    note = only_note(shared)
    told = json.loads(note.read_text())
    told[3] = ["is broken (said the first)", ""]
    note.unlink()
    beats: list[str] = []
    with ThreadPoolExecutor() as pool:
        with cache.locked(note.with_suffix(".lock"), lambda _: None):
            second = pool.submit(check.troubles, images, shared, beats.append)
            wait_until(lambda: len(beats) > 3 or second.done())
            note.write_text(json.dumps(told))
        assert second.result() == {3: "is broken (said the first)"}


def only_note(shared: RunsRoot) -> Path:
    (note,) = shared.looked_at.glob("*.json")
    return note


def test_a_runs_root_without_room_costs_only_another_look(tmp_path: Path) -> None:
    images = sources.read(data_of(), draw_sketches(tmp_path))
    (tmp_path / "full").touch()  # no folder can be made in a file
    assert check.troubles(images, RunsRoot(tmp_path / "full"), silent) == {}


def test_more_than_one_percent_may_not_be_skipped(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="more than the 1% that may be skipped"):
        look(bad_sketches(tmp_path), "skip")


def test_a_skipped_image_is_counted_and_in_no_part(tmp_path: Path) -> None:
    draw_sketches(tmp_path, classes=2, each=60, side=8)
    clean = look(tmp_path)
    (tmp_path / "train" / "n00000001" / "sketch_7.JPEG").write_bytes(b"")
    images = look(tmp_path, "skip")
    assert [images.names[index] for index in images.bad] == ["n00000001/sketch_7.JPEG"]
    assert images.digest != clean.digest
    parts = split.divide(images, data_of().split, seed=1)
    assert len(parts.train) + len(parts.validate) == 119
    result = train(
        order_for(tmp_path / "run", tmp_path, tiny(data__on_bad="skip", train__epochs=1))
    )
    assert result.exit_code == ExitCode.FINISHED and result.facts["skipped_images"] == 1


def test_files_that_did_not_change_are_decoded_once(tmp_path: Path) -> None:
    """The times are put back, so only a look at what is in the file could tell."""
    first = look(draw_sketches(tmp_path))
    path = first.paths[3]
    facts, size = path.stat(), len(path.read_bytes())
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    look(tmp_path)
    os.utime(path)
    with pytest.raises(DataFault, match="1 of 24 images"):
        look(tmp_path)


def test_a_damaged_note_of_what_was_seen_is_looked_past(tmp_path: Path) -> None:
    look(draw_sketches(tmp_path))
    only_note(RunsRoot(tmp_path / "runs")).write_text("[[1]]")
    look(tmp_path)


def test_a_run_on_bad_images_ends_with_a_data_error_before_training(tmp_path: Path) -> None:
    order = order_for(tmp_path / "run", bad_sketches(tmp_path / "data"), tiny())
    result = train(order)
    assert result.exit_code == ExitCode.DATA and result.step == 0
    assert "3 of 24 images" in result.error
    assert not list(folder_of(order).checkpoints.iterdir())
