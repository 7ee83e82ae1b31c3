"""Submission files vote when nothing else is left of their models."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from trainer.entry.by_hand import app


def vote(folder: Path, *answers: str, flags: tuple[str, ...] = ()) -> Result:
    """Files 0.csv and so on, a digit an image; the first has another order and columns."""
    names = []
    for number, digits in enumerate(answers):
        rows = [f"{place}.jpg,{digit}" for place, digit in enumerate(digits)]
        rows = [f"{row},kept" for row in reversed(rows)] if number == 0 else rows
        head = "ImageID,ans,more" if number == 0 else "ImageID,ans"
        (folder / f"{number}.csv").write_text("\n".join([head, *rows, ""]))
        names.append(str(folder / f"{number}.csv"))
    return CliRunner().invoke(app, ["vote", *names, "-o", str(folder / "out.csv"), *flags])


def voted(folder: Path) -> str:
    lines = (folder / "out.csv").read_text().splitlines()
    assert lines[0] == "ImageID,ans,more" and all(line.endswith(",kept") for line in lines[1:])
    return "".join(line.split(",")[1] for line in reversed(lines[1:]))


def test_most_files_decide_and_the_earliest_of_a_tie(tmp_path: Path) -> None:
    done = vote(tmp_path, "0120", "0210", "1211")
    assert done.exit_code == 0 and done.stdout.endswith("4 answers, 0 of them unanimous\n")
    assert voted(tmp_path) == "0210"
    vote(tmp_path, "012", "201")
    assert voted(tmp_path) == "012"


def test_files_count_by_their_weights(tmp_path: Path) -> None:
    assert vote(tmp_path, "00", "11", "12", flags=("--weights", "3,1,1")).exit_code == 0
    assert voted(tmp_path) == "00"
    vote(tmp_path, "00", "11", "12", flags=("--weights", "0.3,0.2,0.1"))
    assert voted(tmp_path) == "00"


def test_of_a_tie_the_heaviest_class_wins(tmp_path: Path) -> None:
    assert vote(tmp_path, "001", "121", flags=("--class-weights", "1,1,3")).exit_code == 0
    assert voted(tmp_path) == "021"


def test_cells_that_nobody_asked_for_stay_where_they_are(tmp_path: Path) -> None:
    text = '\ufeffmore,ImageID,ans,,\r\n"x, y", 0.jpg ,1,,z\r\n\r\n2,1.jpg,1\r\n'
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_text("ImageID,ans\n0.jpg,0\n1.jpg,0\n")
    words = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--weights", "1,2"]
    done = CliRunner().invoke(app, ["vote", *words, "-o", str(tmp_path / "out.csv")])
    assert done.exit_code == 0, done.stderr
    rows = 'more,ImageID,ans,,\n"x, y", 0.jpg ,0,,z\n2,1.jpg,0\n'
    assert (tmp_path / "out.csv").read_text() == rows


def test_a_file_that_votes_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text := "ImageID,ans\n0.jpg,0\n")
    done = CliRunner().invoke(app, ["vote", str(tmp_path / "a.csv"), "-o", str(tmp_path / "a.csv")])
    assert done.exit_code == 2 and "is one of the files that vote" in done.stderr
    assert (tmp_path / "a.csv").read_text() == text


@pytest.mark.parametrize(
    ("answers", "flags", "code", "said"),
    [
        (("00", "000"), (), 3, "1 image not in 0.csv (2.jpg)"),
        (("00", "00"), ("--weights", "1"), 2, "--weights has 1 number for 2 files"),
        (("00", "00"), ("--weights", "1,x"), 2, "is no list of numbers above 0"),
        (("00", "00"), ("--weights", "1,0"), 2, "is no list of numbers above 0"),
        (("05", "00"), ("--class-weights", "1,2"), 3, "--class-weights has 2"),
    ],
)
def test_what_cannot_vote_is_one_line_and_writes_nothing(
    tmp_path: Path, answers: tuple[str, ...], flags: tuple[str, ...], code: int, said: str
) -> None:
    done = vote(tmp_path, *answers, flags=flags)
    assert done.exit_code == code and said in done.stderr.splitlines()[0]
    assert not (tmp_path / "out.csv").exists()
