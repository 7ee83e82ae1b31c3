"""`trainer report` of several runs, at work: reads them, writes the page that compares them."""

from collections.abc import Sequence
from pathlib import Path

from schemas.rundir import write_atomic
from trainer.look import compare_page, comparing, subject

PAGE = "compare.html"


def make(folders: Sequence[Path], out: Path) -> Path:
    """The page, beside the folders of each run's own."""
    found = comparing.compared([subject.of(folder) for folder in folders])
    write_atomic(out / PAGE, compare_page.page(found))
    return out / PAGE
