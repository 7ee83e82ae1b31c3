"""`queue hold`: keep pending runs from starting."""

from publisher import console
from publisher.options import Reason, SomeRuns
from publisher.selectors import select
from schemas.run import State

HELP = console.help_text(
    "Keep pending runs from starting; they keep their place.",
    "queue hold 7f3k2q",
    "queue hold @last --reason 'until the data are fixed'",
    "queue hold vit-s vit-b",
)


def hold(runs: SomeRuns, reason: Reason = "") -> None:
    queue, user = console.open_queue(), console.settings().user

    def hold_one(run_id: str) -> str:
        before = queue.get(run_id)
        after = queue.hold(run_id, by=user, reason=reason)
        if before.state is State.HELD:
            return f"{run_id} {after.name}: already held by {before.held_by}"
        return f"{run_id} {after.name}: held until: queue release {run_id}"

    console.out_each(select(queue, runs, user), hold_one)
