"""`queue logs`: the lines of a run, now or as they come."""

import re
from typing import Annotated

import typer

from publisher.desk import console
from publisher.desk.options import OneRun
from publisher.pages.watching import follow, last_state_of_line, where_it_stands
from schemas.errors import UsageError

HELP = console.help_text(
    "Print a run's lines; with -f stay until it has ended, from its start, across attempts.",
    "queue logs @last -f",
    "queue logs 7f3k2q -n 50",
    "queue logs 7f3k2q --grep 'epoch|error'",
)


def logs(
    run: OneRun,
    following: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on as lines come; Ctrl-C leaves the run be.")
    ] = False,
    most: Annotated[
        int | None, typer.Option("-n", metavar="N", min=0, help="Only the last N lines.")
    ] = None,
    grep: Annotated[
        str, typer.Option("--grep", metavar="REGEX", help="Only lines that match.")
    ] = "",
) -> None:
    pattern = _pattern(grep)
    queue = console.open_queue()
    run_id = queue.resolve(run, user=console.settings().user)
    lines, after = queue.log(run_id)
    if gone := after - len(lines):
        console.talk([f"{gone} earlier lines are in runs/{run_id}/run.log on its host"])
    matching = [line for line in map(last_state_of_line, lines) if pattern.search(line)]
    console.out(matching if most is None else matching[len(matching) - most :])
    if not lines and not following:
        console.talk(
            [f"no line yet; {where_it_stands(queue.get(run_id))}", f"Why: queue why {run_id}"]
        )
    if following:
        follow(queue, run_id, after, lambda line: bool(pattern.search(line)))


def _pattern(grep: str) -> re.Pattern[str]:
    try:
        return re.compile(grep)
    except re.error as error:
        raise UsageError(
            f"--grep '{grep}' is not a regular expression ({error})",
            fix="put a backslash before . * + ? ( ) [ ] { } ^ $ | that are meant as they stand",
        ) from error
