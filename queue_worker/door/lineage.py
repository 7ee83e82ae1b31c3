"""Who waits for whom among runs that are submitted together. Pure."""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from queue_worker.door.asked import Submission
from schemas.errors import UsageError


def parents_first(submissions: Sequence[Submission]) -> list[Submission]:
    """The same runs, none before one that it waits for; UsageError for a circle."""
    by_id = {submission.id: submission for submission in submissions}
    waits = {s.id: {parent.id for parent in s.after if parent.id in by_id} for s in submissions}
    if not any(waits.values()):
        return list(submissions)
    try:
        return [by_id[run_id] for run_id in TopologicalSorter(waits).static_order()]
    except CycleError as error:
        names = " -> ".join(by_id[run_id].name for run_id in error.args[1])
        raise UsageError(f"these runs wait for each other: {names}") from error


def parents_elsewhere(submissions: Sequence[Submission]) -> list[tuple[str, str]]:
    """Runs and their parents, of those that must be in the queue already."""
    here = {submission.id for submission in submissions}
    return [(s.id, parent.id) for s in submissions for parent in s.after if parent.id not in here]
