"""docs/data.md and examples/: every piece of a config is valid, and works on small drawn images."""

import re
import runpy
import shutil
from pathlib import Path

import pytest
from support.people import draw_people
from support.sketches import draw_sketches
from typer.testing import CliRunner

from schemas.rundir import RunsRoot
from schemas.source import load, read
from trainer.crew import Solo
from trainer.data import check, prepare, sources, split
from trainer.data.plan import Plan
from trainer.entry.by_hand import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "data.md").read_text()
PIECES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
EXAMPLES = [
    *(ROOT / "examples" / "mask").glob("*.yaml"),
    *(ROOT / "examples" / "sketch").glob("*.yaml"),
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the page speaks of."""
    root = tmp_path_factory.mktemp("data")
    draw_people(root / "mask", people=24, answered=1, side=24)
    draw_sketches(root / "sketch", side=20)
    sketches = root / "sketch"
    write(sketches / "train_index.csv", "index", *(str(n) for n in range(24) if n % 4))
    write(sketches / "valid_index.csv", "index", *(str(n) for n in range(24) if n % 4 == 0))
    draw_sketches(root / "more", classes=1, side=22, each=3)
    shutil.copytree(root / "more" / "train" / "n00000000", sketches / "test")
    names = sorted(path.name for path in (sketches / "test").iterdir())
    write(
        sketches / "pseudo.csv", "image_path,target,sure", f"{names[0]},1,0.9", f"{names[1]},2,0.1"
    )
    write(sketches / "test.csv", "image_path", *names)
    write(root / "mask" / "relabel.csv", "id,image,mask,gender,age", "000003,normal,incorrect,,")
    write(root / "mask" / "ignore.csv", "id,image", "000004,mask1")
    shutil.copytree(sketches / "train", root / "folders")
    shutil.copytree(sketches / "train", root / "birds" / "photos")
    write(root / "birds" / "birds.csv", "file,species,nest", *birds(sketches / "train"))
    people = root / "mask" / "train" / "images"
    prepare.mix_people(people, root / "mixed", 60, None, lambda items, *_: items)
    shutil.copytree(people, root / "cropped")
    for path in root.glob("cropped/*/*"):
        path.write_bytes(path.read_bytes() + b" ")  # the same file would be a twin
    return root


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n")


def birds(folder: Path) -> list[str]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.JPEG"))
    return [f"{name},{name.split('/')[0]},nest {number // 2}" for number, name in enumerate(names)]


@pytest.mark.parametrize("piece", PIECES)
def test_every_piece_of_the_page_works(piece: str, data_root: Path, tmp_path: Path) -> None:
    config = read(
        f"model: {{name: test_vit}}\n{piece}", "docs/data.md", ["data.batch_size=8"]
    ).config
    images = sources.read(config.data, data_root)
    images = check.checked(images, config.data.on_bad, RunsRoot(tmp_path), lambda what: None)
    parts = split.divide(images, config.data.split, config.seed, data_root)
    plan = Plan.of(config, parts, Solo())
    assert len(plan.order(0)) == len(parts.train) >= len(parts.validate) > 0
    for extra in config.data.extra:
        assert any(images.origins[index] == extra.origin for index in parts.train)
    if config.data.test:
        assert all(map(Path.is_file, sources.test_images(config.data.test, data_root).values()))


def test_the_links_of_the_page_lead_somewhere() -> None:
    heads = re.findall(r"^#+ (.+)$", PAGE, re.M)
    anchors = {head.lower().replace(" ", "-") for head in heads}
    assert set(re.findall(r"\(#([^)]+)\)", PAGE)) <= anchors


@pytest.mark.parametrize("config", EXAMPLES, ids=lambda path: path.name)
def test_every_example_would_begin_on_its_drawn_data(config: Path, tmp_path: Path) -> None:
    """Drawn by the example's own script, as its first lines say."""
    if load(config).config.data.source.root == "mask":
        draw_people(tmp_path / "mask", people=60, answered=1)
    else:
        script = ROOT / "examples" / "sketch" / "sketches.py"
        runpy.run_path(str(script))["make"](tmp_path / "sketch")
    result = CliRunner(env={"TRAINQ_RUNS": str(tmp_path / "runs")}).invoke(
        app, ["data", "check", str(config), "--data", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    assert ", 0 bad" in result.stdout
