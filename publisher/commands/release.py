"""`queue release`: let held runs go on; lift the hold of a batch, a person, a worker, or all."""

from publisher.desk import console
from publisher.desk.controls import (
    Everything,
    Lane,
    User,
    held_in,
    one_kind,
    released_line,
    scopes_of,
)
from publisher.desk.options import Batches, MaybeRuns, Mine, States, Yes
from publisher.desk.selectors import choice, selected
from publisher.pages.consent import agree
from schemas.run import State

HELP = console.help_text(
    "Let held runs go on from their old place.",
    "queue release 7f3k2q",
    "queue release -b lr-sweep",
    "queue list -s held -o id | xargs queue release",
)


def release(
    runs: MaybeRuns = None,
    batches: Batches = None,
    owner: User = "",
    lane: Lane = "",
    everything: Everything = False,
    states: States = None,
    mine: Mine = False,
    yes: Yes = False,
) -> None:
    queue, user = console.open_queue(), console.settings().user
    scopes = scopes_of(queue, batches or [], owner, lane, everything)
    chosen = choice(runs, states=states, mine=mine)
    one_kind(chosen, scopes, "release")
    alone: list[str] = []
    for scope in scopes:
        lifted = queue.clear_control("hold", scope.name, by=user)
        if held := [] if lifted or not scope.is_batch else held_in(queue, scope):
            alone += [row.id for row in held]  # as `submit --hold` leaves them: these are meant
        else:
            console.out([released_line(queue, scope, lifted=lifted)])

    def release_one(run_id: str) -> str:
        before = queue.get(run_id)
        after = queue.release(run_id, by=user)
        if before.state is not State.HELD:
            return f"{run_id} {after.name}: was not held, it is {before.state}"
        ahead = queue.position(run_id)
        place = f", {ahead} ahead" if ahead is not None else ""
        return f"{run_id} {after.name}: released, {after.state}{place}"

    ids = selected(queue, chosen, user, {State.HELD}) if not scopes else alone
    agree(queue, ids, user, "release", yes=yes)
    console.out_each(ids, release_one)
    console.hint(console.THE_LINE)
