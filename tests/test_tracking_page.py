"""docs/tracking.md: its configs are valid and say something, its commands run."""

import re
import shlex
from pathlib import Path

import pytest
from support.sketches import draw_sketches
from support.waiting import PATIENCE_S

from schemas.components.search import Search
from schemas.components.track import Track
from schemas.rundir import RunDir
from schemas.search import load_search
from schemas.source import load, read
from trainer.entry import by_hand
from trainer.entry.attempt import execute
from trainer.faults import Leave
from trainer.report import Report
from trainer.tracking import telling

PAGE = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text()
CONFIGS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)
LINES = [line for block in BLOCKS for line in block.splitlines()]
SKETCHES = """\
model: {name: test_vit}
data: {img_size: 32, batch_size: 4, workers: 0}
train: {epochs: 1}
"""


def test_every_config_of_the_page_is_valid_and_says_something(tmp_path: Path) -> None:
    track, search = (read(text, "docs/tracking.md").config for text in CONFIGS)
    said = track.track.model_dump()
    assert {key for key, value in Track().model_dump().items() if said[key] == value} == {
        "group",
        "job_type",
    }
    assert search.search.model_dump() != Search().model_dump()
    file = tmp_path / "birds.yaml"
    file.write_text(CONFIGS[1])
    load_search(file)


def test_the_command_that_tracks_a_run_leaves_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, as `trainer train` does it: a new one would load torch for seconds."""
    monkeypatch.setattr(telling, "LAST_S", PATIENCE_S)
    draw_sketches(tmp_path)
    (tmp_path / "sketches.yaml").write_text(SKETCHES)
    train, *searches = map(shlex.split, LINES)
    assert {tuple(words[:2]) for words in searches} == {("trainer", "search")}  # another test's
    (tool, verb, file, *overrides), (out, run) = train[:-2], train[-2:]
    assert (tool, verb, out) == ("trainer", "train", "--out")
    config = load(tmp_path / file, overrides).config
    order = by_hand.prepare(RunDir(tmp_path / run), config, tmp_path, tmp_path / "cache", 1)
    assert execute(order, Report([]), Leave()) == 0
    assert list(tmp_path.glob("runs/shown/attempts/1-*/wandb/offline-run-*"))
    assert list(tmp_path.glob("runs/shown/attempts/1-*/tensorboard/events*"))


@pytest.mark.parametrize("tool", ["publisher search", "trainer search", "trainer train"])
def test_every_command_that_the_page_names_has_help(tool: str) -> None:
    help = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    assert tool in PAGE
    assert f"Usage: {tool} " in help
