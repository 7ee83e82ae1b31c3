"""Fair share in words: one line a person, and what moves them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from publisher.desk.clock import brief
from publisher.desk.columns import Column, layout
from publisher.desk.text import Line, line, piece
from publisher.outlook.obstacles import control_of, signed
from schemas.share import AGEING_S

if TYPE_CHECKING:
    from queue_worker.queue import Control, Share

SHARE = (
    Column("USER", least=8),
    Column("GPU HOURS", right=True),
    Column("RUNNING", right=True),
    Column("PENDING", right=True),
    Column("CAP", right=True),
    Column("OLDEST", drop=1, right=True),
    Column("WHAT MOVES THEM", least=24),
)


def share_lines(
    people: Sequence[Share], controls: Sequence[Control], half_life_s: float, width: int
) -> list[Line]:
    """The table, and the rule in words."""
    if not people:
        return [line("nobody has submitted anything yet")]
    rows = [
        [
            piece(person.user, "bold"),
            piece(f"{person.used_s / 3600:.1f}"),
            piece(person.running),
            piece(person.pending),
            piece(cap_of(controls, person.user) or ""),
            piece(brief(person.oldest_s) if person.oldest_s else ""),
            piece(moved(person, controls, half_life_s)),
        ]
        for person in people
    ]
    heaviest = people[0].user
    rule = (
        f"each GPU hour used puts {heaviest} one hour back; it halves every {_span(half_life_s)}",
        f"nobody is put back more than {_span(half_life_s)}",
        f"a point of priority is worth {_span(AGEING_S)} of waiting",
    )
    return [*layout(SHARE, rows, width), line(""), *(line(text) for text in rule)]


def moved(person: Share, controls: Sequence[Control], half_life_s: float) -> str:
    """`12.4 h back in line; capped by bo: a deadline`."""
    back = penalty_s(person, half_life_s)
    parts = [f"{back / 3600:.1f} h back in line" if back >= 360 else "nothing puts them back"]
    if back < person.used_s:
        parts = [f"{back / 3600:.1f} h back in line, the most there is"]
    if cap := control_of(controls, "cap", f"user:{person.user}"):
        parts.append(f"capped {signed(cap)}")
    if held := control_of(controls, "hold", f"user:{person.user}"):
        parts.append(f"held {signed(held)}")
    return "; ".join(parts)


def penalty_s(person: Share, half_life_s: float) -> float:
    """How far back their runs stand for what they used; the claim says the same."""
    return min(person.used_s, half_life_s)


def cap_of(controls: Sequence[Control], user: str) -> int:
    """How many runs this person may have at a time; 0: any number."""
    cap = control_of(controls, "cap", f"user:{user}")
    return cap.value if cap else 0


def _span(seconds: float) -> str:
    """`7 days`, `1 day`, `90m`."""
    days = seconds / 86400
    if days >= 1 and days == int(days):
        return f"{int(days)} day{'s' if days > 1 else ''}"
    return brief(seconds)
