"""docs/learning.md: every row is valid, says something, and a learner that takes it can step."""

import re
from pathlib import Path

import pytest
from support.learners import IMAGES, TARGETS, learner

from schemas.source import read

PAGE = (Path(__file__).parents[1] / "docs" / "learning.md").read_text()
PIECES = re.findall(r"^\|[^|]+\| `([^`]+)` \|$", PAGE, re.M)


@pytest.mark.parametrize("piece", PIECES)
def test_every_row_of_the_page_says_something_and_steps(piece: str) -> None:
    base = read("model: {name: test_vit}", "base.yaml").config
    said = read(f"model: {{name: test_vit}}\n{piece}", "docs/learning.md").config
    section = piece.partition(":")[0]
    default = "cross_entropy}", "adamw}", "cosine}"
    assert getattr(said, section) != getattr(base, section) or piece.endswith(default)
    made = learner(**{section: getattr(said, section).model_dump()})
    assert made.step(IMAGES, TARGETS, 0).isfinite()
    made.weights()
