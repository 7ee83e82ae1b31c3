"""The attempts of a run as a timeline, from its events: where, how long, how each ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from publisher.desk.clock import brief, of_day
from schemas.events import END_EVENTS, Event, EventKind

OVER = frozenset({EventKind.REQUEUED, EventKind.HELD, *END_EVENTS})
SHOWN = 6


@dataclass(frozen=True, slots=True)
class Attempt:
    """One execution."""

    number: int
    worker: str
    began: float
    ended: float | None = None
    how: str = "running"
    saved: str = ""  # what its last checkpoint's event says


def attempts_of(events: Sequence[Event]) -> list[Attempt]:
    """Each begins with a claim and lasts until the next event that ends it."""
    found: list[Attempt] = []
    for event in events:
        if event.kind is EventKind.CLAIMED:
            found.append(Attempt(event.attempt, event.by, event.at))
        elif found and found[-1].ended is None:
            if event.kind is EventKind.CHECKPOINT:
                found[-1] = replace(found[-1], saved=event.text)
            elif event.kind in OVER:
                found[-1] = replace(found[-1], ended=event.at, how=_how(event))
    return found


def _how(event: Event) -> str:
    """`back in line: host_lost, its worker fell silent`."""
    word = "back in line" if event.kind is EventKind.REQUEUED else str(event.kind)
    cause = str(event.cause) if event.cause and str(event.cause) != str(event.kind) else ""
    # the text of a failure is the cause, which stands at the top of the page
    text = event.text if event.kind is EventKind.REQUEUED else ""
    told = ", ".join(part for part in (cause, text) if part)
    return f"{word}: {told}" if told else word


def attempt_lines(attempts: Sequence[Attempt], now: float) -> list[str]:
    """`1  v100:0  14:03:40 to 14:07:12 (3m)  back in line: host_lost`; nothing of only one."""
    if len(attempts) < 2:
        return []
    told = [_told(attempt, now) for attempt in attempts[-SHOWN:]]
    return [f"({len(attempts) - SHOWN} earlier)", *told] if len(attempts) > SHOWN else told


def _told(attempt: Attempt, now: float) -> str:
    until = of_day(attempt.ended, now) if attempt.ended is not None else "now"
    took = brief((attempt.ended or now) - attempt.began)
    saved = f"; {attempt.saved}" if attempt.saved else ""
    return (
        f"{attempt.number}  {attempt.worker}  {of_day(attempt.began, now)} to {until} ({took})"
        f"  {attempt.how}{saved}"
    )
