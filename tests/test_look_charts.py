"""Charts: round numbers, colours that everybody can read, and the same marks in SVG and PNG."""

import itertools
import random

import numpy as np
import pytest
from PIL import ImageFont

from trainer.judge import scores
from trainer.look import axes, charts, drawing, html, marks, palette, raster
from trainer.look.charts import Bar, Curve
from trainer.look.marks import Words
from trainer.look.svg import svg


@pytest.mark.parametrize("paper", ["paper", "card"])
@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_words_and_lines_stand_out_from_their_paper(colours: dict[str, str], paper: str) -> None:
    for name, colour in colours.items():
        if name not in ("paper", "card", "grid"):
            assert marks.contrast(colour, colours[paper]) >= 4.5, name


def test_numbers_in_a_matrix_stand_out_from_every_shade() -> None:
    for paint, share in itertools.product((palette.RIGHT, palette.WRONG), np.linspace(0, 1, 101)):
        colour = marks.mixed(paint, float(share))
        assert marks.contrast(colour, marks.readable_on(colour)) >= 4.5


def test_steps_are_round_lie_within_and_are_neither_few_nor_many() -> None:
    dice = random.Random(0)
    for _ in range(500):
        low = dice.uniform(-1, 1) * 10 ** dice.uniform(-6, 6)
        high = low + 10 ** dice.uniform(-4, 6)
        found = axes.steps(low, high)
        assert 2 <= len(found) <= 10
        assert all(
            low - 1e-6 * (high - low) <= each <= high + 1e-6 * (high - low) for each in found
        )


@pytest.mark.parametrize("rate", [1e-2, 1e-3, 9e-4, 3e-4, 5e-5, 7e-6, 1e5])
def test_numbers_of_a_learning_rate_have_room_beside_their_axis(rate: float) -> None:
    labels = [axes.plain(value) for value in axes.steps(0, rate)]
    widest = max(len(label) for label in labels) * marks.SMALL * marks.LETTER
    assert widest <= axes.LEFT - axes.GAP, labels
    assert [float(label) for label in labels] == axes.steps(0, rate)


@pytest.mark.parametrize("epochs", [1, 2, 3, 30, 300])
@pytest.mark.parametrize("values", ["flat", "falling", "broken"])
def test_curves_of_any_length_are_drawn_and_keep_to_their_sheet(epochs: int, values: str) -> None:
    heights = {"flat": 0.0, "falling": 1.0, "broken": float("nan")}
    points = [(float(n + 1), heights[values] / (n + 1)) for n in range(epochs)]
    given = [Curve("training", points), Curve("a name that is long", points)]
    chart = charts.curves("loss", "Loss", given, best=1)
    for mark in chart.marks:
        if isinstance(mark, Words):
            assert 0 <= mark.at[0] <= chart.width
            assert 0 < mark.at[1] <= chart.height
    assert raster.picture(chart).width == 2 * chart.width
    assert str(svg(chart)).count("<polyline") >= 2


@pytest.mark.parametrize("classes", [2, 18, 26, 27, 500])
def test_a_confusion_matrix_of_any_size_is_drawn(classes: int) -> None:
    dice = np.random.default_rng(0)
    true, guessed = dice.integers(0, classes, (2, 2000))
    matrix = scores.confusion(true, guessed, classes)
    chart = charts.confusion(matrix, [f"class {n} with a long name" for n in range(classes)])
    drawn = svg(chart)
    assert len(drawn) < 300_000
    assert raster.picture(chart).width <= raster.MOST
    if classes <= charts.WRITTEN:
        assert f">{matrix[0, 0]}<" in drawn
    else:
        assert "data:image/png" in drawn


def test_bars_say_their_numbers_and_whole_names() -> None:
    name = "a class <b> whose name is longer than there is room for"
    drawn = svg(
        charts.bars("counts", "Images", [Bar(name, (3, 1)), Bar("none", (0, 0))], ("a", "b"))
    )
    assert html.safe(name) in drawn
    assert "3 + 1" in drawn


def test_a_histogram_counts_every_value() -> None:
    chart = charts.histogram("sizes", "Sizes", [1, 1, 2, 50], "pixels")
    says = [mark.says for mark in chart.marks if isinstance(mark, marks.Box)]
    assert sum(int(text.split(": ")[1].split()[0]) for text in says) == 4
    assert charts.histogram("same", "Same", [5, 5], "pixels").marks


def test_of_a_long_name_a_contact_sheet_shows_both_ends() -> None:
    font = ImageFont.load_default(12)
    short, long = "worn/one.JPEG", f"{'folder_' * 12}/mask_of_someone_17.JPEG"
    assert drawing.in_lines(short, drawing.SIDE, font) == short
    kept = drawing.in_lines(long, drawing.SIDE, font)
    assert kept.startswith("folder_") and kept.endswith("_17.JPEG") and "..." in kept
    lines = drawing.broken(kept, drawing.SIDE, font)
    assert len(lines) == drawing.LINES and len(kept) > 30
