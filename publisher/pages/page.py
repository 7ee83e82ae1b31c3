"""One run on one page, `queue show`: the cause first, and the command that mends it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from publisher.desk.clock import brief, exact, of_day
from publisher.desk.dotted import flat
from publisher.desk.text import INDENT, Line, Piece, clean, headline, labelled
from publisher.outlook.obstacles import gib, holds
from publisher.outlook.progress import best_text, number
from publisher.pages.attempts import attempt_lines, attempts_of
from publisher.pages.render import LOOKS
from schemas.events import Event, EventKind
from schemas.run import PENDING, Cause, Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Control, Row

OVERRIDES = re.compile(r"[\w.]+=[\w.+-]+( [\w.]+=[\w.+-]+)*")
LAST_LINES = 8
RELATED = 8  # children named
SAID = ("name", "note", "notify", "track.", "search.")  # of a config: what changes nothing
HISTORY = 12  # events shown; checkpoints are summed up elsewhere


@dataclass(frozen=True, slots=True)
class Page:
    """All that one run's page shows."""

    run: Run
    now: float
    why: str
    events: Sequence[Event]
    metrics: Sequence[Mapping[str, Any]]
    log: Sequence[str]
    defaults: Mapping[str, Any]  # the config that a person would have got by saying nothing
    parents: Mapping[str, State] = field(default_factory=dict)  # those in the queue's records
    children: Mapping[str, State] = field(default_factory=dict)
    controls: Sequence[Control] = ()
    rival: Run | None = None  # the best of its batch
    retries: Sequence[Row] = ()  # what came of trying this run again


def page_lines(page: Page, width: int) -> list[Line]:
    """The whole page."""
    run = page.run
    sections = [
        _cause(page),
        ("Try", [f"{command}   ({because})" for command, because in mend(run)]),
        ("Again", [f"{row.id} {row.name} {row.state}, the retry" for row in page.retries]),
        ("Holds", _holds(page)),
        ("Who", [_who(run)]),
        ("Parents", _parents(page)),
        ("Children", [_related(page.children)] if page.children else []),
        ("Needs", [needed] if (needed := _needs(run)) else []),
        ("Memory", _memory(run)),
        ("Times", [_times(run, page.now)]),
        ("Attempts", attempt_lines(attempts_of(page.events), page.now)),
        ("Config", [*_config(run, page.defaults), *_against(run, page.rival)]),
        ("Metrics", _metrics(page)),
        ("Files", _files(run)),
        ("History", _history(page.events, page.now)),
        ("Log", _log(page, width)),
    ]
    rows = [title(run, page.now, width)]
    for label, texts in sections:
        rows += labelled(label, texts, width)
    return rows


def title(run: Run, now: float, width: int) -> Line:
    """Name, id, and how it stands."""
    symbol, style = LOOKS[run.state]
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    began = run.started_at or run.submitted_at
    took = f" after {exact(run.ended_at - began)}" if run.ended_at is not None else ""
    since = f" for {exact(now - began)}" if run.state is State.RUNNING else ""
    cause = f" ({run.cause})" if run.state is State.FAILED else ""
    state = Piece(f"{symbol} {run.state.upper()}{cause}{took}{since}{attempt}", style)
    return headline(run.name, run.id, state, width)


def _log(page: Page, width: int) -> list[str]:
    """The last lines, cut: that is where a line of a log says least."""
    cut = [clean(text)[: width - INDENT] for text in page.log[-LAST_LINES:]]
    return [*cut, f"all of it: queue logs {page.run.id}"] if cut else []


def _cause(page: Page) -> tuple[str, list[str]]:
    run = page.run
    if run.state is State.FAILED:
        return "Cause", [run.error or f"no reason was recorded, only '{run.cause}'"]
    return "Now" if run.state is State.RUNNING else "Why", [page.why] if page.why else []


def mend(run: Run) -> list[tuple[str, str]]:
    """The commands that would help, each with what it does."""
    if run.state is State.SKIPPED and run.skipped_for:
        return [(f"queue show {run.skipped_for}", "the parent; retry it, then this one")]
    if run.state is State.HELD:
        return [(f"queue release {run.id}", "let it have its old place again")]
    if run.state is State.CANCELLED:
        return [(f"publisher retry {run.id}", _from_where(run))]
    if run.state is not State.FAILED or run.cause is None:
        return []
    said = str(run.result.get("try_this", ""))
    if OVERRIDES.fullmatch(said):  # prose must not become a command
        return [(f"publisher retry {run.id} {said}", "what the trainer suggests")]
    if run.cause is Cause.TIMEOUT:
        longer = brief(2 * run.time_limit_s)
        return [(f"publisher retry {run.id} --time-limit {longer}", _from_where(run))]
    change, because = _remedy(run.cause, flat(run.config))
    return [(f"publisher retry {run.id} {change}".rstrip(), said or because or _from_where(run))]


def _remedy(cause: Cause, config: Mapping[str, Any]) -> tuple[str, str]:
    match cause:
        case Cause.CUDA_OOM:
            parts = 2 * int(config.get("train.accumulate", 1))
            return f"train.accumulate={parts}", "smaller parts, same effective batch"
        case Cause.HOST_OOM:
            workers = int(config.get("data.workers", 2)) // 2
            return f"data.workers={workers}", "fewer loader processes"
        case Cause.DIVERGED:
            rate = float(config.get("optim.lr", 1e-3)) / 10
            return f"optim.lr={rate:g}", "a tenth of the learning rate"
        case Cause.CONFIG:
            return "KEY=VALUE", "with the value that the cause asks for"
        case Cause.DATA:
            return "", "when the files are in place"
        case Cause.CODE:
            return "", "when the fault is mended on the host; the log below has it"
        case _:
            return "", ""


def _from_where(run: Run) -> str:
    return f"goes on from step {run.checkpoint_step}" if run.checkpoint else "from the start"


def _who(run: Run) -> str:
    facts = [
        f"owner {run.user}",
        f"worker {run.worker}" if run.worker else "",
        f"priority {run.priority}" if run.priority else "",
        f"notify {run.notify}" if run.notify else "",
        f"batch {run.batch}" if run.batch else "",
        f"retry of {run.retry_of}" if run.retry_of else "",
    ]
    return "   ".join(fact for fact in facts if fact)


def _times(run: Run, now: float) -> str:
    times = [f"submitted {of_day(run.submitted_at, now)}"]
    if run.started_at is not None:
        waited = brief(run.started_at - run.submitted_at)
        times.append(f"started {of_day(run.started_at, now)} (waited {waited})")
    if run.ended_at is not None:
        times.append(f"ended {of_day(run.ended_at, now)}")
    return "   ".join(times)


def _holds(page: Page) -> list[str]:
    """What is held beyond this run, where it still matters and is not said above."""
    if page.run.state not in PENDING:
        return []
    return [hold for hold in holds(page.run, page.controls) if not page.why.startswith(hold)]


def _parents(page: Page) -> list[str]:
    """`7f3k2q finished, 7f3k2r:any failed`."""
    told = [
        f"{one.id}{':any' if one.on == 'any' else ''} {page.parents.get(one.id, 'has no record')}"
        for one in page.run.after
    ]
    return [", ".join(told)] if told else []


def _related(states: Mapping[str, State]) -> str:
    told = [f"{run_id} {state}" for run_id, state in states.items()]
    more = len(told) - RELATED
    return ", ".join(told[:RELATED]) + (f" and {more} more" if more > 0 else "")


def _needs(run: Run) -> str:
    """What it asks of a worker, and how much of its time it has had."""
    parts = [
        f"{run.gpus} GPUs" if run.gpus > 1 else "",
        f"{gib(run.memory_mb)} of GPU memory" if run.memory_mb else "",
        f"on {run.needs_host}" if run.needs_host else "",
        f"time limit {brief(run.time_limit_s)}, used {brief(run.ran_s)}"
        if run.time_limit_s
        else "",
    ]
    return "   ".join(part for part in parts if part)


def _memory(run: Run) -> list[str]:
    """The prediction beside what was measured, and how large the model is."""
    seen = run.preflight
    predicted = int(seen.get("peak_mb") or 0)
    kind = {"amp": " in AMP", "fp32": " in fp32"}.get(str(seen.get("precision")), "")
    parts = [
        f"predicted {gib(predicted)}{kind}" if predicted else "",
        f"measured {gib(run.peak_mb)}" if run.peak_mb else "",
        f"({(predicted - run.peak_mb) / run.peak_mb:+.0%})" if predicted and run.peak_mb else "",
    ]
    rows = ["   ".join(part for part in parts if part)]
    if size := seen.get("parameters"):
        rows.append(f"{size / 1e6:.1f} M parameters   {seen.get('gmacs', 0):.2f} GMACs an image")
    return [row for row in rows if row]


def _config(run: Run, defaults: Mapping[str, Any]) -> list[str]:
    """What is not a default, and what was said on the command line."""
    usual = {**flat(defaults), "model.name": None}  # the model is always worth its place
    own = [f"{k}={_short(v)}" for k, v in flat(run.config).items() if usual.get(k, ...) != v]
    said = [f"given: {' '.join(run.overrides)}"] if run.overrides else []
    return [" ".join(own), *said] if own else said


def _against(run: Run, rival: Run | None) -> list[str]:
    """What it does differently from the best of its batch."""
    if rival is None:
        return []
    name = f"the best of its batch ({best_text(rival.best)})"
    if rival.id == run.id:
        return [name]
    told = [f"{key} {ours} (there {theirs})" for key, (ours, theirs) in changed(run, rival).items()]
    return [f"against {rival.id}, {name}: {', '.join(told) or 'nothing differs'}"]


def changed(run: Run, rival: Run) -> dict[str, tuple[str, str]]:
    """The keys in which two runs differ, with both values."""
    ours, theirs = flat(run.config), flat(rival.config)
    both = {key: (ours.get(key), theirs.get(key)) for key in {**ours, **theirs}}
    return {
        key: (_short(mine), _short(other))
        for key, (mine, other) in both.items()
        if mine != other and not key.startswith(SAID)
    }


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _metrics(page: Page) -> list[str]:
    rows = []
    if page.metrics:
        last = page.metrics[-1]
        values = [
            f"{key} {number(value)}"
            for key, value in last.items()
            if key not in ("epoch", "step") and isinstance(value, int | float)
        ]
        rows.append(f"epoch {last.get('epoch', '?')}: {'  '.join(values)}")
    if text := page.run.result.get("text"):
        rows.append(str(text))  # of a gather run: mean, spread, and what is missing
    elif best := page.run.best:
        rows.append(f"best {best_text(best)} at epoch {best.epoch}")
    return rows


def _files(run: Run) -> list[str]:
    if not run.attempt:
        return []
    host = run.worker.split(":")[0]
    where = f" on {host}" if host else ""
    kept = [f"checkpoint {run.checkpoint}"] if run.checkpoint else []
    best = ["best/"] if run.state is State.FINISHED else []
    names = ["run.log", "config.yaml", *(["result.json", *best] if run.result else [])]
    folder = f"runs/{run.id}/{where}: {' '.join(names)}"
    return [folder, *kept, *_source(run)]


def _source(run: Run) -> list[str]:
    """Which trainer ran it, when that is not the one that its submitter had."""
    if not run.code or not run.ran_code or run.code == run.ran_code:
        return []
    return [f"ran with trainer {run.ran_code}, submitted with {run.code}: another source"]


def _history(events: Sequence[Event], now: float) -> list[str]:
    told = [event for event in events if event.kind is not EventKind.CHECKPOINT]
    rows = [event_text(event, now) for event in told[-HISTORY:]]
    return [f"({len(told) - HISTORY} earlier)", *rows] if len(told) > HISTORY else rows


def event_text(event: Event, now: float) -> str:
    words = str(event.kind).replace("_", " ")
    by = f" by {event.by}" if event.by else ""
    attempt = f" (attempt {event.attempt})" if event.attempt else ""
    cause = f": {event.cause}" if event.cause and event.kind is not EventKind.CANCELLED else ""
    told = event.kind is EventKind.FAILED  # its text is the cause, which stands above
    text = f": {event.text}" if event.text and not told else ""
    return f"{of_day(event.at, now)}  {words}{by}{attempt}{cause}{text}"
