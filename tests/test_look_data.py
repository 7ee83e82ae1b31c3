"""`trainer data report`: a data set on a page that needs nothing but itself."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from support.pages import insist_it_stands_alone, read
from support.people import draw_people
from support.sketches import draw_sketches
from typer.testing import CliRunner, Result

from trainer.entry.by_hand import app
from trainer.look import run_report

CONFIG = """
model: {{name: test_vit}}
data: {{source: {{kind: {kind}, root: {root}}}, img_size: 32, split: {{fraction: 0.25}}}}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("cache", "runs"):
        monkeypatch.setenv(f"TRAINQ_{name.upper()}", str(tmp_path / name))
    return tmp_path


def config(desk: Path, root: str, kind: str = "sketch_csv") -> None:
    (desk / f"{root}.yaml").write_text(CONFIG.format(root=root, kind=kind))


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ["data", *words])


def test_the_page_says_what_stats_says_and_stands_alone(desk: Path) -> None:
    draw_people(desk / "mask", people=24, side=24)
    config(desk, "mask", "mask")
    done = typed("report", "mask.yaml")
    assert (done.exit_code, done.stdout) == (0, "mask-data/mask.html\n"), done.output
    found = json.loads(typed("stats", "mask.yaml", "--json").stdout)
    page = read("mask-data/mask.html")
    insist_it_stands_alone(page)
    assert page.text.count("mask, as mask.yaml reads it") == 2  # the tab and the heading
    for part in found["parts"].values():
        assert f"{part['images']}{part['people']} people" in page.text.replace("\n", "")
    assert ", ".join(f"{value:.4f}" for value in found["mean"]) in page.text
    for each in found["classes"]:
        assert f"{each['train']} + {each['validate']}" in page.text
    for path in Path("mask-data").glob("*.png"):
        Image.open(path).load()
    assert len(page.all("img")) == 18 * 3 + 6 * 3  # of each class six, or all that there are
    assert all(image["alt"] in page.text for image in page.all("img"))  # whose it is, too


def test_look_alikes_on_both_sides_are_shown_beside_each_other(desk: Path) -> None:
    draw_sketches(desk / "sketch", each=8, side=60)
    rows = list(csv.DictReader((desk / "sketch/train.csv").read_text().splitlines()))
    with (desk / "sketch/train.csv").open("a", newline="") as table:
        for number, row in enumerate(rows):  # of each a smaller copy of lower quality
            name = f"{row['class_name']}/copy_{number}.JPEG"
            with Image.open(desk / "sketch/train" / row["image_path"]) as picture:
                small = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4))
                small.save(desk / "sketch/train" / name, quality=70)
            csv.writer(table).writerow((row["class_name"], name, row["target"]))
    config(desk, "sketch")
    done = typed("report", "sketch.yaml", "-o", "eda")
    assert done.exit_code == 0, done.output
    pairs = json.loads(typed("stats", "sketch.yaml", "--json").stdout)["alike"]
    page = read("eda/sketch.html")
    assert f"{len(pairs)} pairs look the same" in page.text
    for pair in pairs[:24]:
        assert f"trains: {pair['train']}" in page.text
        assert f"validates: {pair['validate']}" in page.text
    assert Path("eda/alike.png").is_file()


def test_class_names_are_text_and_bad_images_are_named(desk: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    draw_sketches(desk / "drawn", classes=2, each=60, side=20)
    (desk / "folders").mkdir()
    for number, name in enumerate((evil, "b & c")):
        shutil.copytree(desk / f"drawn/train/n{number:08d}", desk / "folders" / name)
    (desk / "folders" / evil / "sketch_0.JPEG").write_bytes(b"broken")
    config(desk, "folders", "folders")
    done = typed("report", "folders.yaml", "data.on_bad=skip")
    assert done.exit_code == 0, done.output
    page = read("folders-data/folders.html")
    insist_it_stands_alone(page)
    assert evil in page.text
    assert f"1 bad image in neither part: {evil}/sketch_0.JPEG" in page.text


def test_of_many_classes_the_ends_are_drawn_and_the_page_stays_light(desk: Path) -> None:
    draw_sketches(desk / "many", classes=60, each=4, side=24)
    config(desk, "many")
    done = typed("report", "many.yaml", "--classes", "40")
    assert done.exit_code == 0, done.output
    page = read("many-data/many.html")
    assert [svg["aria-label"] for svg in page.all("svg")][:3] == [
        "Images that train, the most frequent class first",
        "The most frequent classes",
        "The rarest classes",
    ]
    assert "The 40 rarest of 60 classes." in page.text
    text = Path("many-data/many.html").read_text()
    assert text[text.index('id="contact-sheets"') :].count("<img") == 40 * 3
    assert len(text) < run_report.LIMIT
