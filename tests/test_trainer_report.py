"""A run's page carries everything in itself, is small, and shows what went worst."""

import base64
import io
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.judged import draw_place, gather, small, train_folds, train_run
from typer.testing import CliRunner, Result

from trainer import charts, failures, predictions
from trainer.by_hand import app


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = draw_place(tmp_path_factory.mktemp("place"))
    gather(place, "folds", train_folds(place, "fold", folds=2))
    people = small(source={"kind": "mask", "root": "mask"}, test=None, batch_size=32)
    train_run(place, "people", data=people, train__epochs=1)
    return place


def tell(place: Path, *words: str) -> Result:
    runs = [str(place / "runs" / w) if (place / "runs" / w).is_dir() else w for w in words]
    env = {"TRAINQ_DATA": str(place / "data")}
    return CliRunner(env=env).invoke(app, ["report", *runs, "-o", str(place / "r.html")])


class Tags(HTMLParser):
    """Whether every tag is closed, and what a page would load."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(place: Path, *words: str) -> tuple[str, Tags]:
    done = tell(place, *words)
    assert done.exit_code == 0, done.output
    text = (place / "r.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    return text, tags


@pytest.mark.parametrize("run", ["fold0", "folds", "people"])
def test_a_page_carries_everything_in_itself_and_is_small(place: Path, run: str) -> None:
    text, tags = page(place, run)
    assert tags.loads and all(uri.startswith("data:image/jpeg;base64,") for uri in tags.loads)
    assert "script" not in tags.seen and len(text) < 400_000
    for drawing in re.findall(r"<svg.*?</svg>", text, re.S):
        ET.fromstring(drawing)
    for word in ("Scores", "Confusion", "Classes, the worst first", "Failures", "macro F1"):
        assert word in text
    assert ("Learning curves" in text) == (run != "folds")


def test_a_failure_is_shown_as_it_is_and_as_the_model_saw_it(place: Path) -> None:
    text, tags = page(place, "fold0", "--failures", "3")
    said = predictions.of_run(place / "runs/fold0")
    first = failures.worst(said, 3)
    names = re.findall(r'<div class="names">([^<]+)</div>', text)
    assert names == [failure.name for failure in first] and len(tags.loads) == 6
    sizes = []
    for uri in tags.loads:
        raw = base64.b64decode(uri.partition(",")[2])
        with Image.open(io.BytesIO(raw)) as picture:
            sizes.append(picture.size)
    assert sizes[1::2] == [(32, 32)] * 3  # what the model sees is square
    with Image.open(place / "data/sketch/train" / names[0]) as file:
        assert sizes[0] == file.size


def test_the_worst_come_first_and_all_of_them_are_wrong(place: Path) -> None:
    said = predictions.of_run(place / "runs/folds")
    found = failures.worst(said, 100)
    assert len(found) == (said.probabilities.argmax(1) != said.true).sum()
    assert [each.of_truth for each in found] == sorted(each.of_truth for each in found)
    for each in found:
        assert each.likely[0][0] != each.truth and len(each.likely) == 4


def test_without_the_images_the_page_says_so(place: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    done = tell(place, "fold0", "--data", str(tmp_path / "nothing"))
    assert done.exit_code == 0 and "no pictures: cannot read" in done.stderr
    assert "No pictures: cannot read" in (place / "r.html").read_text()


def test_the_page_lies_in_the_runs_folder_when_nothing_is_said(place: Path) -> None:
    env = {"TRAINQ_DATA": str(place / "data")}
    done = CliRunner(env=env).invoke(app, ["report", str(place / "runs/fold1")])
    assert done.exit_code == 0 and (place / "runs/fold1/report.html").is_file()


def test_a_picture_that_is_gone_leaves_its_card(place: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(place / "data", data)
    gone = failures.worst(predictions.of_run(place / "runs/fold0"), 2)[0].name
    (data / "sketch/train" / gone).unlink()
    text, tags = page(place, "fold0", "--failures", "2", "--data", str(data))
    assert gone in text and len(tags.loads) == 2


@pytest.mark.parametrize("run", ["nowhere", "data"])
def test_what_is_no_run_is_one_line(place: Path, run: str) -> None:
    done = tell(place, run)
    assert done.exit_code == 3 and "is no run's folder" in done.stderr


# ---- charts --------------------------------------------------------------------------------------


def test_names_cannot_break_a_chart() -> None:
    text = charts.matrix([[3, 1], [0, 2]], ["a<b>&\"'", "c"])
    ET.fromstring(text)
    assert "a<b>" not in text


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1e-9, 3e5], [-2.0, 5.0, 1.0]], ids=str)
def test_a_curve_of_any_numbers_is_inside_its_chart(values: list[float]) -> None:
    points = list(enumerate(values, 1))
    drawing = ET.fromstring(charts.lines("loss", {"train": points}, mark=1))
    for dot in drawing.iter("{http://www.w3.org/2000/svg}circle"):
        assert charts.LEFT <= float(dot.attrib["cx"]) <= charts.WIDTH
        assert 0 <= float(dot.attrib["cy"]) <= charts.HEIGHT


def test_ticks_are_round_and_few() -> None:
    for low, high in ((0.0, 1.0), (0.13, 0.97), (1e-6, 3e-3), (12.0, 4021.0)):
        found = charts.ticks(low, high)
        assert 2 <= len(found) <= 6 and all(low <= value <= high for value in found)
        assert np.allclose(np.diff(found), found[1] - found[0])
