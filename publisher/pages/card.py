"""A run and a batch as a notebook shows them: one line of text, or a small card of HTML. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from publisher.desk.clock import brief, exact
from publisher.desk.text import clean
from publisher.outlook.progress import best_text, done, number, share
from publisher.results.tables import measured
from schemas.errors import TrainqError
from schemas.run import ENDED, Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Row

COLOURS = {
    State.RUNNING: "#0b7285",
    State.FINISHED: "#2b8a3e",
    State.FAILED: "#c92a2a",
    State.CANCELLED: "#a15c00",
    State.SKIPPED: "#a15c00",
}
GREY = "#5c636a"
BOX = (
    "border:1px solid #ced4da;border-radius:6px;padding:8px 12px;max-width:44em;"
    "font:13px/1.5 system-ui,sans-serif;color:#212529;background:#fff"
)
ROWS = 20  # of a batch


def run_text(run: Run) -> str:
    """`<run 7f3k2q vit-s: running 3/20, acc 0.912>`."""
    facts = [f for f in (str(run.state) + _progress(run), best_text(run.best)) if f]
    return f"<run {run.id} {clean(run.name)}: {', '.join(facts)}>"


def run_html(run: Run, now: float, retry: Row | None = None) -> str:
    """State, progress, the best values, the cause, and what to type."""
    metrics = "  ".join(f"{name} {number(value)}" for name, value in measured(run).items())
    parts = [
        _badge(run.state) + _progress(run) + _title(run.name, run.id),
        _bar(run) if run.state is State.RUNNING else "",
        _safe(metrics),
        f"<span style='color:{COLOURS[State.FAILED]}'>{_safe(run.error)}</span>"
        if run.error
        else "",
        _small(" · ".join(fact for fact in (*_facts(run, now), *_next(run, retry)) if fact)),
    ]
    return _box("<br>".join(part for part in parts if part))


def batch_html(batch_id: str, name: str, runs: Sequence[Run], retried: Mapping[str, Row]) -> str:
    """How many stand where, and a row a run."""
    counts = ", ".join(f"{n} {s}" for s in State if (n := sum(run.state is s for run in runs)))
    head = f"{_title(name, batch_id)} {_safe(counts)}"
    rows = "".join(
        f"<tr><td><code>{_safe(run.id)}</code></td><td>{_badge(run.state)}{_progress(run)}"
        f"{_safe(_again(retried.get(run.id)))}</td>"
        f"<td>{_safe(best_text(run.best))}</td><td>{_safe(run.name)}</td></tr>"
        for run in runs[:ROWS]
    )
    more = f"and {len(runs) - ROWS} more" if len(runs) > ROWS else ""
    look = _small(" · ".join(p for p in (more, f"queue results -b {batch_id}") if p))
    return _box(f"{head}<table style='color:inherit'>{rows}</table>{look}")


def error_html(name: str, error: TrainqError) -> str:
    """In the place of a card that cannot be had."""
    return _box(f"<code>{_safe(name)}</code><br>{'<br>'.join(map(_safe, error.lines()))}")


def _title(name: str, its_id: str) -> str:
    return f" <b>{_safe(name)}</b> <code>{_safe(its_id)}</code>"


def _facts(run: Run, now: float) -> list[str]:
    end = run.ended_at if run.ended_at is not None else now
    took = f"{exact(end - run.started_at)}" if run.started_at is not None else ""
    waits = (
        f"waits for {brief(now - run.submitted_at)}" if not took and run.ended_at is None else ""
    )
    return [run.user, run.worker, took or waits]


def _next(run: Run, retry: Row | None) -> list[str]:
    """The command that helps now."""
    if retry:
        return [_again(retry), f"queue show {retry.id}"]
    if run.state is State.FAILED:
        return [f"queue show {run.id}", f"publisher retry {run.id}"]
    return [f"queue show {run.id}" if run.state in ENDED else f"queue logs {run.id} -f"]


def _again(retry: Row | None) -> str:
    return f" retried as {retry.id}, {retry.state}" if retry else ""


def _progress(run: Run) -> str:
    going = run.state is State.RUNNING
    return f" {done(run.progress)}" if going and done(run.progress) else ""


def _bar(run: Run) -> str:
    percent = round(100 * share(run.progress))
    inner = f"<div style='width:{percent}%;height:6px;background:{COLOURS[State.RUNNING]}'></div>"
    return f"<div style='background:#e9ecef;height:6px;margin:4px 0'>{inner}</div>"


def _badge(state: State) -> str:
    return f"<span style='color:{COLOURS.get(state, GREY)};font-weight:600'>{state}</span>"


def _small(text: str) -> str:
    return f"<span style='color:{GREY};font-size:12px'>{_safe(text)}</span>"


def _box(inner: str) -> str:
    return f"<div style='{BOX}'>{inner}</div>"


def _safe(text: str) -> str:
    return escape(clean(text))
