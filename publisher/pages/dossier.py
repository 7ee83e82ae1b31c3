"""One run, one batch, and the people, as programs read them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from publisher.desk.clock import iso
from publisher.outlook.fairness import cap_of, penalty_s
from publisher.outlook.obstacles import control_of
from publisher.outlook.snapshot import Snapshot
from publisher.pages.attempts import Attempt, attempts_of
from publisher.pages.page import Page, changed, mend
from publisher.pages.records import batch_record, control_record, eta_record, result_record
from publisher.results.ranking import Result
from schemas.run import ENDED

if TYPE_CHECKING:
    from publisher.pages.reasons import Reasons
    from queue_worker.queue import BatchView, Control, Row, Share
    from schemas.events import Event


def run_record(page: Page, seen: Snapshot) -> dict[str, Any]:
    """The whole of `queue show --json`."""
    run, rival = page.run, page.rival
    times = ("submitted_at", "started_at", "ended_at", "lease_until")
    return {
        **run.model_dump(mode="json", exclude={"token", "schema_number"}),
        **{name: iso(getattr(run, name)) for name in times},
        "ended": run.state in ENDED,
        "ahead": seen.ahead.get(run.id),
        "why": page.why,
        "eta": eta_record(seen.etas.get(run.id)),
        "commands": [command for command, _ in mend(run)],
        "children": {run_id: str(state) for run_id, state in page.children.items()},
        "retries": {row.id: str(row.state) for row in page.retries},
        "attempts": [attempt_record(attempt) for attempt in attempts_of(page.events)],
        "best_of_batch": rival.id if rival else None,
        "differs_from_best": {
            key: {"here": here, "there": there}
            for key, (here, there) in (changed(run, rival) if rival else {}).items()
        },
        "events": [event_record(event) for event in page.events],
        "metrics": list(page.metrics),
    }


def attempt_record(attempt: Attempt) -> dict[str, Any]:
    """One attempt of a run's timeline."""
    return {**asdict(attempt), "began": iso(attempt.began), "ended": iso(attempt.ended)}


def event_record(event: Event) -> dict[str, Any]:
    """One event of a run's history."""
    return {**event.model_dump(mode="json", exclude={"run"}), "at": iso(event.at)}


def why_record(told: Reasons, seen: Snapshot) -> dict[str, Any]:
    """The whole of `queue why --json`."""
    run = told.run
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "user": run.user,
        "ahead": seen.ahead.get(run.id),
        "why": told.why,
        "eta": eta_record(seen.etas.get(run.id)),
        "workers": [asdict(one) for one in told.workers],
        "notes": list(told.notes),
        "commands": list(told.commands),
    }


def batch_page_record(
    batch: BatchView, rows: Sequence[Row], controls: Sequence[Control]
) -> dict[str, Any]:
    """The whole of `queue show BATCH --json`."""
    held = control_of(controls, "hold", f"batch:{batch.card.id}")
    return {
        **batch_record(batch),
        "held": control_record(held) if held else None,
        "runs": [
            {
                **result_record(Result(row, row.best)),
                "fold": row.fold,
                "kind": row.kind,
            }
            for row in rows
        ],
    }


def share_record(
    people: Sequence[Share], controls: Sequence[Control], half_life_s: float
) -> dict[str, Any]:
    """The whole of `queue admin share --json`."""
    return {
        "half_life_s": half_life_s,
        "people": [
            {
                **person.model_dump(mode="json"),
                "back_s": round(penalty_s(person, half_life_s), 3),
                "cap": cap_of(controls, person.user),
            }
            for person in people
        ],
    }
