"""`queue release`: let held runs go on."""

from publisher import console
from publisher.options import SomeRuns
from publisher.selectors import select
from schemas.run import State

HELP = console.help_text(
    "Let held runs go on from their old place.",
    "queue release 7f3k2q",
    "queue release @last",
    "queue list -s held -o id | xargs queue release",
)


def release(runs: SomeRuns) -> None:
    queue, user = console.open_queue(), console.settings().user

    def release_one(run_id: str) -> str:
        before = queue.get(run_id)
        after = queue.release(run_id, by=user)
        if before.state is not State.HELD:
            return f"{run_id} {after.name}: was not held, it is {before.state}"
        ahead = queue.position(run_id)
        place = f", {ahead} ahead" if ahead is not None else ""
        return f"{run_id} {after.name}: released, {after.state}{place}"

    console.out_each(select(queue, runs, user), release_one)
