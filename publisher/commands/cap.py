"""`queue admin cap`: how many runs of one person may run at a time."""

from typing import Annotated

import typer

from publisher.desk import console
from publisher.desk.options import Reason
from publisher.outlook.fairness import cap_of
from schemas.errors import UsageError

HELP = console.help_text(
    "Say how many runs of one person may run at a time; what runs already goes on.",
    "queue admin cap ana 2",
    "queue admin cap ana 1 --reason 'until the deadline of bo'",
    "queue admin cap ana none",
)
LOOK = "Who runs what: queue admin share"


def cap(
    person: Annotated[str, typer.Argument(metavar="USER", help="Whose runs.")],
    most: Annotated[str, typer.Argument(metavar="N|none", help="Runs at a time, or no cap.")],
    reason: Reason = "",
) -> None:
    if most != "none" and not (most.isascii() and most.isdigit() and 0 < int(most) <= 1000):
        fix = f"a number from 1, or none; to stop all: queue hold --user {person}"
        raise UsageError(f"'{most}' is no cap", fix=fix)
    queue, user = console.open_queue(), console.settings().user
    known = {one.user: one for one in queue.share()}
    now = known[person].running if person in known else 0
    before = cap_of(queue.controls(), person)
    if most == "none":
        lifted = queue.clear_control("cap", f"user:{person}", by=user)
        console.out([f"{person}: no cap" + (f" any more (it was {before})" if lifted else "")])
        console.hint(LOOK)
        return
    queue.set_control("cap", f"user:{person}", by=user, reason=reason, value=int(most))
    was = f" (was {before})" if before else ""
    console.out([f"{person}: at most {most} at a time{was}; {now} running now"])
    if person not in known:
        console.talk([f"nobody called '{person}' has submitted anything yet"])
    console.hint(LOOK, f"Lift it: queue admin cap {person} none")
