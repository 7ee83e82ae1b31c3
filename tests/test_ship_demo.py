"""What the demo is made of; `make demo` itself checks the rest, and CI runs it."""

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from schemas.errors import ConfigError
from schemas.source import load

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "demo"
SKETCHES = ROOT / "examples" / "sketch" / "sketches.py"
CONFIGS = sorted(path for path in DEMO.glob("*.yaml") if path.stem != "refused")


@pytest.fixture(scope="module")
def sketches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sketch")
    subprocess.run([sys.executable, SKETCHES, folder], check=True, capture_output=True)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_sketches_lie_as_the_users_data_do(sketches: Path) -> None:
    rows = table(sketches / "train.csv")
    assert list(rows[0]) == ["class_name", "image_path", "target"]
    assert all((sketches / "train" / row["image_path"]).is_file() for row in rows)
    assert all(row["image_path"].startswith(f"{row['class_name']}/") for row in rows)
    assert {int(row["target"]) for row in rows} == set(range(len({r["class_name"] for r in rows})))
    tests, submission = table(sketches / "test.csv"), table(sketches / "sample_submission.csv")
    assert list(submission[0]) == ["ID", "image_path", "target"]
    assert [row["image_path"] for row in tests] == [row["image_path"] for row in submission]
    assert all((sketches / "test" / row["image_path"]).is_file() for row in tests)


def test_sketches_differ_in_size_and_some_are_gray(sketches: Path) -> None:
    kinds: list[tuple[str, tuple[int, int]]] = []
    for path in (sketches / "train").rglob("*.JPEG"):
        with Image.open(path) as image:
            kinds.append((image.mode, image.size))
    modes, sizes = zip(*kinds, strict=True)
    assert set(modes) == {"L", "RGB"}
    assert len(set(sizes)) > len(sizes) / 2


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_sketches_are_the_same_every_time(sketches: Path) -> None:
    before = digest(sketches)
    subprocess.run([sys.executable, SKETCHES, sketches], check=True)
    assert digest(sketches) == before


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_demo_config_is_valid_and_knows_its_schema(path: Path) -> None:
    assert load(path).config.name == path.stem
    first = path.read_text().splitlines()[0]
    schema = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / schema).is_file()


def test_refused_config_has_three_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        load(DEMO / "refused.yaml")
    assert len(caught.value.problems) == 3
