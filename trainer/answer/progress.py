"""How far a pass over images is, for whoever watches at a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from trainer.report import COUNTED


@contextmanager
def shown(console: Console) -> Iterator[Callable[[str], None]]:
    """A bar for what is told as `what: 3 of 10`; words alone have no end that is known."""
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"),
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("reading", total=None)

        def tell(doing: str) -> None:
            counted = COUNTED.search(doing)
            done, whole = map(int, counted.groups()) if counted else (0, 0)
            what = COUNTED.sub("", doing)
            bar.update(task, description=what, completed=done, total=whole or None)

        yield tell
