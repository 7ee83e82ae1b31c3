"""`trainer data ...` as a person types it."""

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.people import draw_people
from support.sketches import draw_sketches
from typer.testing import CliRunner, Result

from trainer.data import likeness
from trainer.entry.by_hand import app

SKETCHES = "model: {name: test_vit}\ndata: {img_size: 32, batch_size: 4, workers: 0}\n"
PEOPLE = "model: {name: test_vit}\ndata: {source: {kind: mask}, test: {root: eval}, img_size: 32}\n"


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody sits: a folder with configs."""
    (tmp_path / "sketches.yaml").write_text(SKETCHES)
    (tmp_path / "people.yaml").write_text(PEOPLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


def said(*words: object) -> dict[str, Any]:
    result = typed(*words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


TINTS = ((250, 110, 180), (90, 190, 120))  # equally light


def solid(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


# ---- stats ---------------------------------------------------------------------------------------


def test_stats_fit_eighty_columns_and_name_every_class(desk: Path) -> None:
    draw_people(desk, people=24)
    result = typed("stats", "people.yaml", "data.test=null")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "168 images of 18 classes" in lines[0]
    assert sum(line.startswith(("worn-", "incorrect-", "not_worn-")) for line in lines) == 18


def test_stats_say_mean_and_std_of_the_training_part_alone(desk: Path) -> None:
    for number in range(8):
        value = 0 if number % 2 else 255
        solid(desk / "ab"[number // 4] / f"{number}.png", (value, value, number))
    (desk / "train.csv").write_text("image_path\na/0.png\na/1.png\nb/4.png\nb/5.png\n")
    (desk / "valid.csv").write_text("image_path\na/2.png\nb/6.png\n")
    found = said(
        *("stats", "sketches.yaml", "data.source={kind: folders}", "data.source.root=."),
        "data.split={kind: index_files, train: train.csv, validate_on: valid.csv}",
    )
    assert found["mean"][:2] == [0.5, 0.5] and found["std"][:2] == [0.5, 0.5]
    assert found["mean"][2] == pytest.approx(2.5 / 255, abs=1e-4)
    assert found["sizes"]["median"] == [20, 10] and found["gray"] == 0
    assert found["parts"]["train"]["images"] == 4


def test_a_copy_in_another_size_and_quality_is_found_across_the_split(desk: Path) -> None:
    draw_sketches(desk, side=80)
    images = desk / "train"
    with Image.open(images / "n00000000" / "sketch_0.JPEG") as file:
        file.resize((90, 90)).save(images / "n00000001" / "sketch_0.JPEG", quality=40)
    (desk / "t.csv").write_text("index\n" + "\n".join(str(n) for n in range(24) if n % 8))
    (desk / "v.csv").write_text("index\n0\n8\n16\n")
    table = (desk / "t.csv").read_text().replace("\n1\n", "\n0\n1\n")
    (desk / "t.csv").write_text(table)
    (desk / "v.csv").write_text("index\n8\n16\n")
    found = said(
        "stats", "sketches.yaml", "data.split={kind: index_files, train: t.csv, validate_on: v.csv}"
    )
    (pair,) = found["alike"]
    assert pair["train"] == "n00000000/sketch_0.JPEG"
    assert pair["validate"] == "n00000001/sketch_0.JPEG" and not pair["same_class"]


def test_the_hash_of_a_look_survives_shrinking_and_knows_others_apart(desk: Path) -> None:
    noise = [
        Image.fromarray(np.random.default_rng(n).integers(0, 255, (6, 6, 3), np.uint8)).resize(
            (200, 200), Image.Resampling.BICUBIC
        )
        for n in range(30)
    ]
    looks = [likeness.likeness(image) for image in noise]
    small = [likeness.likeness(image.resize((70, 60))) for image in noise]
    assert [(one, other) for one, other, _ in sorted(likeness.alike(looks, small))] == [
        (n, n) for n in range(30)
    ]
    pink, green = (Image.blend(noise[0], Image.new("RGB", (200, 200), c), 0.5) for c in TINTS)
    assert likeness.alike([likeness.likeness(pink)], [likeness.likeness(green)]) == []


# ---- check and split -----------------------------------------------------------------------------


def test_check_names_what_is_wrong_in_training_and_test_images(desk: Path) -> None:
    draw_people(desk, people=12, answered=1)
    assert typed("check", "people.yaml").stdout == "84 images, 0 bad\n7 test images, 0 bad\n"
    (bad, twin, *_) = sorted((desk / "eval" / "images").iterdir())
    bad.write_bytes(b"nothing")
    first = sorted((desk / "train" / "images").rglob("*.jpg"))[0]
    twin.write_bytes(first.read_bytes())
    broken = sorted((desk / "train" / "images").rglob("*.png"))[0]
    broken.write_bytes(broken.read_bytes()[:300])
    result = typed("check", "people.yaml")
    assert result.exit_code == 3
    assert f"{bad.name} is broken" in result.stdout
    assert f"{twin.name} is the same picture as {first.parent.name}/{first.name}" in result.stdout
    assert f"{broken.parent.name}/{broken.name} is broken" in result.stdout
    assert "refused: nothing would train" in result.stdout


def test_split_prints_the_hash_and_writes_the_file(desk: Path) -> None:
    draw_people(desk, people=24)
    fold = ("data.split.kind=kfold", "data.split.folds=2")
    found = said("split", "people.yaml", *fold, "-o", "split.csv")
    rows = list(csv.DictReader((desk / "split.csv").read_text().splitlines()))
    assert len(rows) == 168 and found["train"]["people"] + found["validate"]["people"] == 24
    assert typed("split", "people.yaml", *fold).stdout.splitlines()[0] == found["split"]
    other = said("split", "people.yaml", *fold, "data.split.fold=1")
    assert other["split"] == found["split"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("stats", "none.yaml"), 2, "there is no such file"),
        (("split", "people.yaml", "data.split.by=image"), 2, "one person on both sides"),
        (("split", "people.yaml"), 3, "cannot read"),
        (("crop", "a", "b"), 2, "crop by one of two ways"),
        (("crop", "a", "b", "--center", "0x5"), 2, "crop by one of two ways"),
        (("crop", "none", "b", "--center", "5x5"), 3, "none holds no image"),
        (("offline-mixup", "none", "b"), 3, "cannot read none"),
        (("prepare", ".", "b", "--by", "json"), 2, "names no function"),
        (("prepare", ".", "b", "--by", "json:dumps"), 2, "json is not allowed to run here"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    words: tuple[str, ...], code: int, text: str
) -> None:
    result = typed(*words)
    assert result.exit_code == code and text in result.stderr
    assert "Traceback" not in result.stderr


# ---- preparing -----------------------------------------------------------------------------------


def test_crop_keeps_the_middle(desk: Path) -> None:
    picture = np.zeros((10, 20, 3), np.uint8)
    picture[3:7, 5:15] = 255
    (desk / "in" / "deep").mkdir(parents=True)
    Image.fromarray(picture).save(desk / "in" / "deep" / "a.png")
    result = typed("crop", "in", "out", "--center", "10x4")
    assert result.stdout == "out: 1 image\n"
    with Image.open(desk / "out" / "deep" / "a.png") as file:
        assert file.size == (10, 4) and np.asarray(file).min() == 255


def test_crop_by_boxes_leaves_images_without_one_whole(desk: Path) -> None:
    solid(desk / "in" / "a.png", (1, 2, 3))
    solid(desk / "in" / "b.png", (1, 2, 3))
    (desk / "boxes.csv").write_text("image_path,left,top,right,bottom\na.png,-5,2,7.2,99\n")
    assert typed("crop", "in", "out", "--boxes", "boxes.csv").exit_code == 0
    sizes = {}
    for name in ("a.png", "b.png"):
        with Image.open(desk / "out" / name) as file:
            sizes[name] = file.size
    assert sizes == {"a.png": (7, 8), "b.png": (20, 10)}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("c.png,0,0,5,5", "boxes of images that are not there: c.png"),
        ("a.png,0,0,x,5", "line 2 is no box"),
        ("a.png,0,0,inf,5", "line 2 is no box"),
        ("a.png,30,0,40,5", "the box of a.png lies outside of its 20x10 pixels"),
    ],
)
def test_a_box_that_makes_no_sense_leaves_no_folder(desk: Path, row: str, problem: str) -> None:
    solid(desk / "in" / "a.png", (1, 2, 3))
    (desk / "boxes.csv").write_text(f"image_path,left,top,right,bottom\n{row}\n")
    result = typed("crop", "in", "out", "--boxes", "boxes.csv")
    assert result.exit_code == 3 and problem in result.stderr
    assert sorted(path.name for path in desk.glob("*out*")) == []


def test_nothing_is_written_over(desk: Path) -> None:
    solid(desk / "in" / "a.png", (1, 2, 3))
    (desk / "out").mkdir()
    result = typed("crop", "in", "out", "--center", "5x5")
    assert result.exit_code == 2 and "out is there already" in result.stderr


def test_mixup_makes_people_of_two_who_are_rare_and_of_one_gender(desk: Path) -> None:
    for name, colour in (
        ("1_male_Asian_60", (0, 0, 0)),
        ("2_male_Asian_60", (200, 100, 0)),
        ("3_female_Asian_60", (0, 0, 0)),
        ("4_male_Asian_59", (0, 0, 0)),
    ):
        solid(desk / "in" / name / "mask1.png", colour)
        solid(desk / "in" / name / "normal.png", colour)
    assert typed("offline-mixup", "in", "out").stdout == "out: 1 mixed people\n"
    (home,) = (desk / "out").iterdir()
    assert home.name == "1+2_male_Asian_60"
    assert {path.name for path in home.iterdir()} == {"mask1.jpg", "normal.jpg"}
    with Image.open(home / "normal.jpg") as file:
        assert np.abs(np.asarray(file).mean((0, 1)) - (100, 50, 0)).max() < 3


def test_mixed_people_train_from_a_config(desk: Path) -> None:
    draw_people(desk, people=24)
    assert typed("offline-mixup", "train/images", "mixed", "--seed", "3").exit_code == 0
    found = said("split", "people.yaml", "data.extra=[{origin: mixed, images: mixed}]")
    alone = said("split", "people.yaml")
    assert alone["validate"] == found["validate"]
    assert found["train"]["images"] > alone["train"]["images"]


OWN = """
def upper(image):
    return image.crop((0, 0, image.width, image.height // 2)) if image.getpixel((0, 0))[0] else None

def cut_out(image):
    image.putalpha(0)
    return image

def how_many(image):
    return 1
"""


@pytest.fixture
def own(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody's modules, which may run here; one of them does not even load."""
    (desk / "ownprep.py").write_text(OWN)
    (desk / "ownfault.py").write_text("raise ValueError('no such\\nGPU')\n")
    monkeypatch.setenv("TRAINQ_PLUGINS", "others, ownprep, ownfault")
    monkeypatch.syspath_prepend(str(desk))
    yield
    sys.modules.pop("ownprep", None)


@pytest.mark.usefixtures("own")
def test_a_function_of_ones_own_prepares_when_its_package_is_allowed(desk: Path) -> None:
    solid(desk / "in" / "a.png", (9, 0, 0))
    solid(desk / "in" / "b.png", (0, 0, 0))
    result = typed("prepare", "in", "out", "--by", "ownprep:upper")
    assert result.stdout == "out: 1 image, 1 left out\n", result.output
    assert [path.name for path in (desk / "out").iterdir()] == ["a.png"]
    missing = typed("prepare", "in", "more", "--by", "ownprep:lower")
    assert missing.exit_code == 2 and "has no attribute 'lower'" in missing.stderr


@pytest.mark.usefixtures("own")
def test_a_background_that_was_cut_out_stays_clear_where_the_format_knows_that(desk: Path) -> None:
    for name in ("a.JPG", "b.png"):
        solid(desk / "in" / name, (9, 200, 0))
    assert typed("prepare", "in", "out", "--by", "ownprep:cut_out").exit_code == 0
    with Image.open(desk / "out" / "a.JPG") as jpeg, Image.open(desk / "out" / "b.png") as png:
        assert (jpeg.mode, png.mode) == ("RGB", "RGBA")
        assert np.abs(np.asarray(jpeg).mean((0, 1)) - (9, 200, 0)).max() < 3
        assert np.asarray(png)[..., 3].max() == 0


@pytest.mark.parametrize(
    ("function", "code", "words"),
    [
        ("ownprep:how_many", 3, "cannot prepare a.jpg: TypeError: a int is no image"),
        ("ownfault:cut", 2, "cannot load ownfault:cut: ValueError: no such GPU"),
    ],
)
@pytest.mark.usefixtures("own")
def test_a_fault_in_somebodys_function_is_one_line_and_leaves_no_folder(
    desk: Path, function: str, code: int, words: str
) -> None:
    solid(desk / "in" / "a.jpg", (9, 0, 0))
    result = typed("prepare", "in", "out", "--by", function)
    assert result.exit_code == code and words in result.stderr
    assert not list(desk.glob("*out*"))


@pytest.mark.parametrize(
    "words",
    [
        ("data", "split", "sketches.yaml", "-o", "nowhere/split.csv"),
        ("data", "crop", "train", "sketches.yaml/out", "--center", "4x4"),
        ("data", "report", "sketches.yaml", "-o", "sketches.yaml/page"),
        ("preview", "sketches.yaml", "-o", "nowhere/sheet.png"),
        ("preview", "sketches.yaml", "-o", "."),
    ],
    ids=lambda words: words[-1],
)
def test_a_place_that_cannot_be_written_is_one_line(desk: Path, words: tuple[str, ...]) -> None:
    draw_sketches(desk)
    result = CliRunner(env={"TRAINQ_RUNS": "runs"}).invoke(app, list(words))
    assert result.exit_code == 1 and result.exception.__class__ is SystemExit
    error, where, fix = result.stderr.splitlines()
    assert re.fullmatch("error: (no such file or|not a|is a) directory", error)
    assert where.startswith("  where: ") and "that may be written" in fix
