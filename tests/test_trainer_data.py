"""The users' layout, the split, the order of reading, and the transforms."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.sketches import draw_sketches
from support.trainers import tiny
from timm.data import create_transform

from schemas.components.augment import NoAugment, TimmAugment
from schemas.components.data import Data, Holdout, KFold
from schemas.components.pixels import Files
from schemas.rundir import RunsRoot
from trainer.crew import Solo
from trainer.data import check, course, loader, pixels, sources, split, transforms
from trainer.data.images import Images
from trainer.data.plan import VALIDATION, Plan
from trainer.faults import ConfigFault, DataFault

LOOK = {
    "interpolation": "bicubic",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 0.95,
    "crop_mode": "center",
}


def still_alive(what: str) -> None:
    """Nobody listens."""


def read(folder: Path) -> Images:
    images = sources.read(Data(), folder)
    return check.checked(images, "refuse", RunsRoot(folder / "runs"), still_alive)


@pytest.fixture
def sketches(tmp_path: Path) -> Path:
    return draw_sketches(tmp_path / "data")


def mode(path: Path) -> str:
    with Image.open(path) as file:
        return file.mode


def flat(targets: list[int]) -> Images:
    names = tuple(str(i) for i in range(len(targets)))
    return Images(tuple(map(Path, names)), tuple(targets), ("a", "b", "c"), names, "")


# ---- the layout ----------------------------------------------------------------------------------


def test_the_layout_is_read_with_its_classes_in_the_order_of_their_targets(sketches: Path) -> None:
    images = read(sketches)
    assert images.classes == ("n00000000", "n00000001", "n00000002")
    assert Counter(images.targets) == {0: 8, 1: 8, 2: 8}
    assert {mode(path) for path in images.paths} == {"L", "RGB"}


def test_all_missing_and_unreadable_images_are_named_before_training(sketches: Path) -> None:
    paths = read(sketches).paths
    paths[0].unlink()
    paths[5].write_bytes(b"")
    paths[23].unlink()
    with pytest.raises(DataFault, match="3 of 24 images") as caught:
        read(sketches)
    names = [f"{path.parent.name}/{path.name}" for path in (paths[0], paths[5], paths[23])]
    assert all(name in caught.value.what for name in names)


def test_of_many_missing_images_twenty_are_named_and_the_rest_counted(sketches: Path) -> None:
    for path in read(sketches).paths:
        path.unlink()
    with pytest.raises(DataFault, match=r"24 of 24 images .* and 4 more$"):
        read(sketches)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("class_name,target\na,0\n", "has no column image_path"),
        ("class_name,image_path,target\n", "names no image"),
        ("class_name,image_path,target\na,x.jpg,one\n", "line 2 is no labelled image"),
        ("class_name,image_path,target\na,x.jpg\n", "line 2 is no labelled image"),
        ("class_name,image_path,target\na,x,0\na,y,1\n", "'a' is 0 in line 2, 'a' is 1 in line 3"),
        ("class_name,image_path,target\na,x,0\nb,y,0\n", "'a' is 0 in line 2, 'b' is 0 in line 3"),
        ("class_name,image_path,target\na,x,0\nb,y,2\n", "2 classes but no target 1"),
        ("class_name,image_path,target\na,x,0\na,y,0\n", "has only one class"),
        ("class_name,image_path,target\na,x,0\nb,x,1\n", "lists 1 image more than once: x"),
    ],
)
def test_a_table_that_contradicts_itself_is_one_clear_error(
    sketches: Path, table: str, problem: str
) -> None:
    (sketches / "train.csv").write_text(table)
    with pytest.raises(DataFault, match=problem):
        read(sketches)


def test_a_table_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"cannot read .*train\.csv") as caught:
        read(tmp_path)
    assert "TRAINQ_DATA" in caught.value.fix


# ---- the split -----------------------------------------------------------------------------------


def test_the_holdout_is_stratified_disjoint_and_the_same_every_time() -> None:
    images = flat([0] * 40 + [1] * 20 + [2] * 8)
    parts = split.divide(images, Holdout(fraction=0.25), seed=7)
    again = split.divide(images, Holdout(fraction=0.25), seed=7)
    other = split.divide(images, Holdout(fraction=0.25), seed=8)
    assert not set(parts.train) & set(parts.validate)
    assert len(parts.train) + len(parts.validate) == 68
    assert Counter(images.targets[i] for i in parts.validate) == {0: 10, 1: 5, 2: 2}
    assert np.array_equal(parts.validate, again.validate)
    assert not np.array_equal(parts.validate, other.validate)


def test_the_folds_are_a_partition_and_each_is_stratified() -> None:
    images = flat([0] * 20 + [1] * 15 + [2] * 5)
    folds = [split.divide(images, KFold(folds=5, fold=fold), seed=1) for fold in range(5)]
    assert sorted(i for fold in folds for i in fold.validate) == list(range(40))
    for fold in folds:
        assert Counter(images.targets[i] for i in fold.validate) == {0: 4, 1: 3, 2: 1}
        assert not set(fold.train) & set(fold.validate)


def test_all_folds_share_one_split_file_and_other_splits_have_others(tmp_path: Path) -> None:
    images, shared = flat([0] * 20 + [1] * 15 + [2] * 5), RunsRoot(tmp_path)

    def kept(way: Holdout | KFold, seed: int = 1) -> str:
        return split.keep(images, split.divide(images, way, seed), shared)

    (one,) = {kept(KFold(folds=5, fold=fold)) for fold in range(5)}
    others = {kept(KFold(folds=5), seed=2), kept(KFold(folds=4)), kept(Holdout())}
    assert {path.stem for path in shared.splits.iterdir()} == {one, *others}
    text = shared.split(one).read_bytes()
    assert hashlib.sha256(text).hexdigest() == one
    rows = list(csv.DictReader(text.decode().splitlines()))
    validates = split.divide(images, KFold(folds=5, fold=3), seed=1).validate
    told = [row["image_path"] for row in rows if row["fold"] == "3"]
    assert told == sorted(map(str, validates))


@pytest.mark.parametrize(
    ("targets", "way", "problem"),
    [
        ([0] * 9 + [1] * 9 + [2], Holdout(), "class 'c' has 1 image: too few for holding out 0.2"),
        ([0] * 9 + [1] * 9 + [2] * 4, KFold(), "class 'c' has 4 images: too few for 5 folds"),
        ([0] * 2 + [1] * 2 + [2] * 2, Holdout(fraction=0.9), "cannot make holding out 0.9"),
    ],
)
def test_a_class_with_too_few_images_is_one_line(
    targets: list[int], way: Holdout | KFold, problem: str
) -> None:
    with pytest.raises(DataFault, match=problem):
        split.divide(flat(targets), way, seed=1)


# ---- the order of reading ------------------------------------------------------------------------


def plan(batch: int = 4, epochs: int = 2, every: int = 1) -> Plan:
    parts = split.divide(flat([0] * 12 + [1] * 6 + [2] * 6), Holdout(fraction=0.25), seed=3)
    config = tiny(data__batch_size=batch, train__epochs=epochs, evaluate__every=every)
    return Plan.of(config, parts, Solo())


def test_an_epoch_sees_whole_batches_in_its_own_order_and_all_validation_images() -> None:
    batches = list(plan().batches(0, 0))
    first, second = batches[:4], batches[6:10]
    assert [len(batch) for batch in first] == [4, 4, 4, 4]  # 18 images: 2 are left for other epochs
    assert [i for batch in first for _, i in batch] != [i for batch in second for _, i in batch]
    assert sorted(batches[4] + batches[5]) == [(VALIDATION, i) for i in plan().parts.validate]


def test_reading_resumes_in_the_middle_of_an_epoch_with_the_very_batch_that_is_due() -> None:
    whole = list(plan().batches(0, 0))
    assert list(plan().batches(0, 3)) == whole[3:]
    assert list(plan().batches(0, 4)) == whole[4:]  # trained, but not evaluated yet
    assert list(plan().batches(1, 5)) == whole[7:]


def test_the_last_epoch_is_always_evaluated() -> None:
    assert [n for n in range(5) if plan(epochs=5, every=2).evaluates(n)] == [1, 3, 4]


def test_a_batch_larger_than_the_training_part_names_both_numbers() -> None:
    with pytest.raises(ConfigFault, match="batch of 19 is more than the 18 training images"):
        plan(batch=19)


# ---- samples -------------------------------------------------------------------------------------


def pictures(folder: Path, **augment: object) -> loader.Pictures:
    spec = TimmAugment.model_validate({"auto_augment": "rand-m9-mstd0.5", "erase": 0.5, **augment})
    images = read(folder)
    picture = pixels.pictures(Data(pixels=Files()), images, folder, lambda what: None)
    training = course.Way(picture, transforms.training(spec, 32, LOOK))
    validating = course.Way(picture, transforms.validating(32, LOOK))
    return loader.Pictures(images, course.Course(validating, (training, training)), 5)


def sample(dataset: loader.Pictures, epoch: int, index: int) -> torch.Tensor:
    found = dataset[epoch, index]
    assert isinstance(found, tuple)
    return found[0]


def test_a_sample_depends_on_its_epoch_and_index_and_on_nothing_that_was_drawn_before(
    sketches: Path,
) -> None:
    dataset = pictures(sketches)
    first = sample(dataset, 0, 3)
    assert torch.equal(first, sample(dataset, 0, 3))
    assert not torch.equal(first, sample(dataset, 1, 3))
    torch.rand(5), np.random.rand(5)
    assert torch.equal(first, sample(dataset, 0, 3))


def test_a_validation_image_is_never_augmented(sketches: Path) -> None:
    validating = transforms.validating(32, LOOK)
    dataset = pictures(sketches, vflip=1.0)
    with Image.open(dataset.images.paths[2]) as file:
        assert torch.equal(sample(dataset, VALIDATION, 2), validating(file.convert("RGB")))
    assert "Random" not in str(validating)


def test_without_augmentation_training_sees_what_validation_sees(sketches: Path) -> None:
    assert str(transforms.training(NoAugment(), 32, LOOK)) == str(transforms.validating(32, LOOK))


def test_a_gray_image_becomes_three_equal_channels(sketches: Path) -> None:
    dataset = pictures(sketches)
    gray = next(i for i, path in enumerate(dataset.images.paths) if mode(path) == "L")
    red, green, blue = sample(dataset, VALIDATION, gray)
    assert torch.equal(red, green) and torch.equal(green, blue)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_no_picture_ends_reading_with_its_name(sketches: Path, workers: int) -> None:
    dataset = pictures(sketches)
    for path in dataset.images.paths:
        path.write_bytes(b"no picture")
    batches = loader.read(dataset, plan(), workers, torch.device("cpu"), epoch=0, step=0)
    with pytest.raises(DataFault, match=r"cannot read the image .*sketch_\d\.JPEG: Unidentified"):
        next(batches)


def test_loader_processes_give_the_batches_that_none_gives(sketches: Path) -> None:
    dataset, few = pictures(sketches), plan(epochs=1)
    alone = loader.read(dataset, few, 0, torch.device("cpu"), epoch=0, step=0)
    helped = loader.read(dataset, few, 2, torch.device("cpu"), epoch=0, step=0)
    for (images, targets), (others, answers) in zip(alone, helped, strict=True):
        assert torch.equal(images, others) and torch.equal(targets, answers)


def test_bytes_become_the_very_numbers_of_timms_own_transform(sketches: Path) -> None:
    see = create_transform((3, 32, 32), is_training=False, **LOOK)
    normal = transforms.Normal(LOOK, torch.device("cpu"))
    dataset = pictures(sketches)
    for index in range(8):
        with Image.open(dataset.images.paths[index]) as file:
            wanted = see(file.convert("RGB"))
        found = sample(dataset, VALIDATION, index)
        assert found.dtype is torch.uint8 and torch.equal(normal(found), wanted)


def test_erasing_writes_noise_into_a_rectangle_and_leaves_every_other_byte(sketches: Path) -> None:
    plain = pictures(sketches, erase=0.0, hflip=0.0, auto_augment="")
    erased = pictures(sketches, erase=1.0, hflip=0.0, auto_augment="")
    changed = 0
    for index in range(8):
        before, after = sample(plain, 0, index), sample(erased, 0, index)
        differs = (before != after).any(0)
        rows, columns = differs.any(1).nonzero().flatten(), differs.any(0).nonzero().flatten()
        area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert differs.sum() > 0.9 * area and area < 0.5 * 32 * 32
        changed += int(differs.sum())
    assert changed > 100
