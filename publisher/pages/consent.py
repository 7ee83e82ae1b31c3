"""A verb that hits more than somebody may have meant shows what it would hit, and asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from publisher.desk import console
from publisher.desk.columns import Column, layout
from publisher.desk.text import Line, line, piece
from publisher.pages.render import status
from schemas.errors import count

if TYPE_CHECKING:
    from queue_worker.queue import Queue, Row

ASK_ABOVE = 20  # runs that a verb may hit without a question
SHOWN = 20
HIT = (Column("ID"), Column("NAME", least=14), Column("STATUS"), Column("OWNER"))


def agree(queue: Queue, ids: Sequence[str], user: str, verb: str, *, yes: bool) -> None:
    """Go on when few of one's own runs are hit, or somebody says so; one named run is meant."""
    if yes or len(ids) <= 1:
        return
    rows = queue.rows(ids)
    if what := question(rows, user, verb):
        console.talk(hit_lines(rows, console.width()))
        console.confirm(what, yes=yes)


def question(rows: Sequence[Row], user: str, verb: str) -> str:
    """`cancel 31 runs (4 of bo)`; empty when nothing needs to be asked."""
    others = Counter(row.user for row in rows if row.user != user)
    if len(rows) <= ASK_ABOVE and not others:
        return ""
    whose = ", ".join(f"{number} of {owner}" for owner, number in sorted(others.items()))
    return f"{verb} {count(len(rows), 'run')}" + (f" ({whose})" if whose else "")


def hit_lines(rows: Sequence[Row], width: int) -> list[Line]:
    """A line a run, and how many more there are."""
    cells = [
        [piece(row.id, "bold"), piece(row.name), status(row.state), piece(row.user)]
        for row in rows[:SHOWN]
    ]
    more = len(rows) - SHOWN
    return [*layout(HIT, cells, width), *([line(f"and {more} more")] if more > 0 else [])]
