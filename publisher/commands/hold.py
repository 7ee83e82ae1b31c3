"""`queue hold`: keep runs from starting: some, a batch, a person's, a worker's, or all."""

from publisher.desk import console
from publisher.desk.controls import (
    Everything,
    Lane,
    User,
    held_line,
    one_kind,
    question_of,
    scopes_of,
)
from publisher.desk.options import Batches, MaybeRuns, Mine, Reason, States, Yes
from publisher.desk.selectors import choice, selected
from publisher.pages.consent import agree
from schemas.run import PENDING, State

HELP = console.help_text(
    "Keep pending runs from starting; they keep their place, and what runs goes on.",
    "queue hold 7f3k2q --reason 'until the data are fixed'",
    "queue hold -b lr-sweep",
    "queue hold --all --reason 'the power goes off at 18:00' --yes",
)


def hold(
    runs: MaybeRuns = None,
    batches: Batches = None,
    owner: User = "",
    lane: Lane = "",
    everything: Everything = False,
    states: States = None,
    mine: Mine = False,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    queue, user = console.open_queue(), console.settings().user
    scopes = scopes_of(queue, batches or [], owner, lane, everything)
    chosen = choice(runs, states=states, mine=mine)
    one_kind(chosen, scopes, "hold")
    for scope in scopes:
        console.confirm(question_of(queue, scope, user, "hold"), yes=yes)
    for scope in scopes:
        new = queue.set_control("hold", scope.name, by=user, reason=reason)
        console.out([held_line(queue, scope, new=new)])

    def hold_one(run_id: str) -> str:
        before = queue.get(run_id)
        after = queue.hold(run_id, by=user, reason=reason)
        if before.state is State.HELD:
            return f"{run_id} {after.name}: already held by {before.held_by}"
        return f"{run_id} {after.name}: held; it keeps its place"

    ids = selected(queue, chosen, user, PENDING) if not scopes else []
    agree(queue, ids, user, "hold", yes=yes)
    console.out_each(ids, hold_one)
    if typed := [*(scope.typed for scope in scopes), *([" ".join(ids)] if ids else [])]:
        console.hint(*(f"Let go: queue release {words}" for words in typed))
