"""`publisher diff`: what makes two runs, two files, or a run and a file different."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import completion, console
from publisher.desk.options import AsJson
from schemas import code

if TYPE_CHECKING:
    from publisher.results.sides import Side
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Compare runs or configs: config, code, environment, metrics.",
    "publisher diff 7f3k2q 7f3k2r",
    "publisher diff @last birds.yaml",
    "publisher diff birds.yaml bees.yaml --json",
)
CONFIG_FILES = {".yaml", ".yml", ".json"}
THING = "A run, as everywhere, or a config file."


def _offers(incomplete: str) -> completion.Offers:
    """Runs, and the configs that lie here."""
    files = (path for path in Path().glob(f"{incomplete}*") if path.suffix in CONFIG_FILES)
    return [*completion.runs(incomplete), *((str(path), "a config") for path in files)]


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=THING, autocompletion=_offers)],
    b: Annotated[str, typer.Argument(metavar="B", help=THING, autocompletion=_offers)],
    as_json: AsJson = False,
) -> None:
    from publisher.results.difference import between, difference_lines, difference_record

    runs = [each for each in (a, b) if not is_file(each)]
    queue = console.open_queue() if runs else None  # two files need no Redis
    one, other = _side(queue, a), _side(queue, b)
    found = between(one, other, changed_files(one.commit, other.commit))
    if as_json:
        console.out_json(difference_record(found))
    else:
        console.out(difference_lines(found, console.width()))


def is_file(word: str) -> bool:
    """Whether a word names a config file rather than a run."""
    return Path(word).suffix in CONFIG_FILES or Path(word).is_file()


def _side(queue: Queue | None, word: str) -> Side:
    from publisher.results.sides import environment_of, of_file, of_run

    if queue is None or is_file(word):
        return of_file(Path(word))
    settings = console.settings()
    run = queue.get(queue.resolve(word, user=settings.user))
    return of_run(run, environment_of(run, settings.runs))


def changed_files(a: str, b: str) -> list[str]:
    """The source files that differ between two commits, if this is a checkout that has both."""
    if not a or not b or a == b:
        return []
    home = Path(__file__).parents[2]
    words = ["git", "-C", str(home), "diff", "--name-only", a, b, "--", *code.PACKAGES]
    try:
        done = subprocess.run(words, capture_output=True, timeout=10, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
