"""Text, columns and durations: pure, at any width."""

import pytest

from publisher.desk.clock import brief, exact, parse_duration
from publisher.desk.columns import Column, layout
from publisher.desk.text import clean, fit, fit_ends, piece, plain
from schemas.errors import UsageError


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("müsli 日本", "müsli 日本"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("two\nlines\tand\ra return", "two lines and a return"),
        ("bell\x07 c1\x9b2J", "bell? c1?2J"),
        ("\u202eback\u202c", "back"),
    ],
)
def test_text_of_users_cannot_move_a_cursor(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_a_wide_character_takes_two_cells() -> None:
    assert fit(piece("日本語"), 5).text == "日本…"
    assert fit(piece("日本"), 5).text == "日本 "


def test_names_of_one_batch_keep_the_ends_by_which_they_differ() -> None:
    assert fit_ends(piece("sketch-folds-fold0"), 15).text == "sketch-…s-fold0"
    assert fit_ends(piece("short"), 8).text == "short   "
    for width in range(1, 9):
        assert fit_ends(piece("日本語日本語"), width).width == width


COLUMNS = (
    Column("ID"),
    Column("NAME", least=4),
    Column("EMPTY"),
    Column("OWNER", drop=1),
    Column("WHY", least=4),
)
ROW = [piece("7f3k2q"), piece("a-long-name"), piece(""), piece("ana"), piece("because of that")]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "7f3k2q  a-long-name  ana    because of that"),
        (40, "7f3k2q  a-long-name  ana    because of …"),
        (25, "7f3k2q  a-l…  ana    bec…"),
        (24, "7f3k2q  a-long-na…  bec…"),
        (10, "7f3k2q  a-l…  bec…"),
    ],
)
def test_columns_shrink_and_go_but_an_id_is_never_cut(width: int, shown: str) -> None:
    header, row = (plain(line) for line in layout(COLUMNS, [ROW], width))
    assert row.startswith("7f3k2q")
    assert "EMPTY" not in header
    assert len(row) <= max(width, 18)
    assert row == shown


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (26, ["7f3k2q  a-lon…  because o…"]),
        (17, ["7f3k2q  a-long-n…", "  because of that"]),
        (10, ["7f3k2q", "  because…"]),
    ],
)
def test_what_has_no_room_beside_the_rest_stands_below_it(width: int, shown: list[str]) -> None:
    why = Column("WHY", least=10, below=True)
    columns = (Column("ID"), Column("NAME", least=4, drop=1), Column("OWNER", drop=2), why)
    row = [ROW[0], ROW[1], ROW[3], ROW[4]]
    header, *lines = (plain(line) for line in layout(columns, [row], width))
    assert lines == shown
    assert max(map(len, [header, *lines])) <= width
    bare = [*row[:3], piece("")]
    assert len(layout(columns, [bare], width)) == 2, "an empty cell takes no line"


def test_a_table_without_rows_is_only_its_title() -> None:
    assert [plain(line) for line in layout(COLUMNS, [], 80)] == [""]


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1.5", 1.5)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "2 h", "-3s", "h", "1w"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(text)


def test_durations_are_short_in_tables_and_exact_on_a_page() -> None:
    assert [brief(s) for s in (9, 1080, 7500, 190000)] == ["9s", "18m", "2h05m", "2d04h"]
    assert [exact(s) for s in (9, 362, 7500)] == ["9s", "6m 02s", "2h 05m 00s"]
