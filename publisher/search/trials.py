"""A search as its runs tell it: which trials there are, and how each stands. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.components.search import Search
from schemas.run import ENDED, ID_ALPHABET, ID_LENGTH, Run, State
from schemas.search import Trial, over_of

PRUNED = "not worth going on"  # how the reason of a cancel begins that a search has asked for


def trial_of(
    run: Run, search: Search, metric: str, rows: Sequence[Mapping[str, Any]], judged: int = 0
) -> Trial:
    """A run of the search. Who cancels one that has learnt says the same as a pruner."""
    values = {
        int(row["epoch"]): float(row[metric])
        for row in rows
        if isinstance(row.get(metric), int | float)
    }
    state = "going"
    if run.state in ENDED:
        state = {State.FINISHED: "done", State.CANCELLED: "pruned" if values else "failed"}.get(
            run.state, "failed"
        )
    over = over_of(search, run.overrides)
    return Trial.model_validate({"over": over, "values": values, "state": state, "judged": judged})


def by_a_person(run: Run) -> bool:
    """Whether it was cancelled, and not by its search."""
    return run.state is State.CANCELLED and not run.wish_reason.startswith(PRUNED)


def trial_id(batch: str, number: int) -> str:
    """The id of a trial, the same whoever asks for it: two leaders cannot queue it twice."""
    digest = hashlib.sha256(f"{batch}:{number}".encode()).digest()
    return "".join(ID_ALPHABET[byte % len(ID_ALPHABET)] for byte in digest[:ID_LENGTH])


def next_number(batch: str, ids: Sequence[str]) -> int:
    """The first trial that is not there; a retry of one has an id of its own."""
    number, there = 1, set(ids)
    while trial_id(batch, number) in there:
        number += 1
    return number
