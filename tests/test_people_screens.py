"""What people see of each reading verb at 80 and 120 columns, and with or without colour."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.desk import Desk, fail, finish, lines
from support.golden import looks_like
from support.runs import a_worker as card_of
from support.runs import claim
from support.servers import ON_ONE_SERVER
from test_people_render import (
    CANCELLED,
    FAILED,
    FINISHED,
    HELD,
    HOLD_ALL,
    NOW,
    QUEUED,
    RUNNING,
    SEEN,
    WAITING,
    a_page,
    a_row,
    a_worker,
)

from publisher.desk.text import plain
from publisher.outlook.lengths import Eta, Span
from publisher.pages.batchpage import BatchPage, batch_lines
from publisher.pages.consent import hit_lines
from publisher.pages.folding import Folded
from publisher.pages.page import page_lines
from publisher.pages.reasons import reason_lines, reasons_of
from publisher.pages.render import list_lines
from publisher.pages.watched import Watched, run_lines
from queue_worker.queue import BatchCard, BatchView, Row, Share
from schemas.events import Event, EventKind
from schemas.run import Cause, Run, State

WIDTHS = pytest.mark.parametrize("width", [80, 120])
AHEAD = [
    a_row("7f3k2n", "vit-s", State.QUEUED, user="bo"),
    a_row("7f3k2p", "vit-l", State.QUEUED, user="bo", memory_mb=40_000),
]
SWEEP = BatchCard(
    id="4hq7zn",
    name="lr-sweep",
    user="ana",
    kind="sweep",
    total=3,
    axes={"optim.lr": [1e-3, 3e-4, 1e-4]},
    max_parallel=2,
)
BATCH = BatchView(
    card=SWEEP,
    counts={State.RUNNING: 1, State.QUEUED: 1, State.FAILED: 1},
    submitted_at=NOW - 2520,
    open=True,
)
ETAS = {
    "7f3k2q": Eta(end=Span(970, 1250)),
    "7f3k2r": Eta(start=Span(970, 1250), end=Span(1900, 2600)),
}
THERE = replace(
    SEEN,
    running=[RUNNING],
    line=AHEAD,
    ahead={"7f3k2r": 2},
    etas=ETAS,
    batches={"4hq7zn": BATCH},
    workers=[
        a_worker("0", run="7f3k2q", offer_mb=16_384),
        a_worker("1", offer_mb=8192, shared_with="GPU 1: bo's lab.py uses 7 GiB"),
        a_worker("2", draining=True),
        a_worker("3", busy_with="GPU 3: cleo's notebook uses 15 GiB"),
    ],
)
PEOPLE = [Share(user="ana", used_s=11_100, running=1, pending=3, oldest_s=2520)]


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def run_of(row: Row, **fields: Any) -> Run:
    shared = row.model_dump(include=set(Row.model_fields) & set(Run.model_fields))
    token = "1-00000000" if row.state is State.RUNNING else ""
    config = {"model": {"name": "resnet18"}, "optim": {"lr": 3e-4}, "train": {"epochs": 20}}
    return Run(**{**shared, "token": token, "config": config, **fields})


@WIDTHS
def test_a_list_with_batches_and_estimates(width: int) -> None:
    folded = Folded(BATCH, [RUNNING, QUEUED], RUNNING.best)
    entries = [folded, QUEUED, HELD, WAITING, FAILED, CANCELLED, FINISHED]
    looks_like("queue_list_full", list_lines(THERE, width, entries), width)


@WIDTHS
def test_why_a_run_waits(width: int) -> None:
    run = run_of(QUEUED, memory_mb=12_288)
    looks_like("queue_why", reason_lines(reasons_of(run, THERE, PEOPLE, 604_800), width), width)


@WIDTHS
def test_why_nothing_starts_while_everything_is_held(width: int) -> None:
    seen = replace(THERE, controls=[HOLD_ALL], etas={})
    told = reasons_of(run_of(QUEUED), seen, [], 604_800)
    looks_like("queue_why_held", reason_lines(told, width), width)


@WIDTHS
def test_a_page_of_a_failed_run(width: int) -> None:
    run = run_of(FAILED, overrides=("optim.lr=3e-4",), batch="4hq7zn")
    rival = run_of(FINISHED, config={**run.config, "optim": {"lr": 1e-3}})
    page = a_page(run)
    again = [
        Event(id="4-0", kind=EventKind.REQUEUED, run=run.id, at=NOW - 700, attempt=1,
              cause=Cause.HOST_LOST, text="its lease was over"),
        Event(id="5-0", kind=EventKind.CLAIMED, run=run.id, at=NOW - 690, by="v100:1", attempt=2),
        Event(id="6-0", kind=EventKind.FAILED, run=run.id, at=NOW - 440, by="v100:1", attempt=2,
              cause=Cause.CUDA_OOM, text="CUDA out of memory"),
    ]  # fmt: skip
    page = replace(page, rival=rival, events=[*page.events, *again])
    looks_like("queue_show_failed", page_lines(page, width), width)


@WIDTHS
def test_a_page_of_a_batch(width: int) -> None:
    rows = [row.model_copy(update={"batch": "4hq7zn"}) for row in (RUNNING, QUEUED, FAILED)]
    looks_like("queue_show_batch", batch_lines(BatchPage(BATCH, rows, NOW, []), width), width)


@WIDTHS
def test_a_screen_of_a_run_that_is_watched(width: int) -> None:
    run = run_of(RUNNING)
    metrics = [{"epoch": number, "accuracy": 0.7 + number / 70} for number in range(1, 15)]
    log = [f"epoch {number}/20 loss=0.{99 - number} img/s=312" for number in range(1, 15)]
    told = reasons_of(run, THERE, [], 604_800)
    one = Watched(run, THERE, told, metrics, log)
    looks_like("queue_watch_run", run_lines(one, width, 16), width)
    narrow = plain(run_lines(one, 50, 16)[1])
    assert narrow.endswith("done in 16m-20m") and len(narrow) == 50


@WIDTHS
def test_what_a_verb_would_hit(width: int) -> None:
    looks_like("hit", hit_lines([RUNNING, *[QUEUED] * 21, HELD], width), width)


# ---- colour --------------------------------------------------------------------------------------

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@ON_ONE_SERVER
def test_colour_adds_nothing_that_is_not_read_without_it(desk: Desk) -> None:
    failed, done, running = (desk.submit() for _ in range(3))
    fail(desk.door, claim(desk.door))
    finish(desk.door, claim(desk.door))
    lines(desk.door, claim(desk.door), "a line")
    queued, held = desk.submit(), desk.submit("--hold")
    desk.door.announce(card_of("v100:0"))
    verbs = [
        *(("list",), ("list", "--all"), ("list", "-s", "failed")),
        *((verb, run) for verb in ("show", "why") for run in (failed, done, running, queued, held)),
        *(("logs", running), ("results",), ("compare", failed, done), ("wait", done)),
        *(("cancel", "--mine", "-s", "held"), ("move", queued, "--first"), ("hold", queued)),
    ]
    for words in verbs:
        plain = desk.queue(*words)
        bare = desk.queue(*words, FORCE_COLOR="1", NO_COLOR="1")
        painted = desk.queue(*words, FORCE_COLOR="1")
        for text in (plain.out, plain.err, bare.out, bare.err):
            assert "\x1b" not in text and "\r" not in text
        if words[0] in ("list", "show", "why", "logs", "results", "compare"):
            assert without_times(ANSI.sub("", painted.out)) == without_times(plain.out)
        assert plain.code in (0, 1)


def without_times(text: str) -> str:
    """Seconds pass between two answers."""
    return re.sub(r"\b\d+s\b", "0s", text)


@ON_ONE_SERVER
@pytest.mark.parametrize("columns", ["80", "120"])
def test_no_line_of_any_page_is_wider_than_the_terminal(desk: Desk, columns: str) -> None:
    long = desk.submit("--name", "n" * 70)
    fail(desk.door, claim(desk.door), error="it broke " * 30)
    queued = desk.submit("--name", "m" * 70, "--on", "a-host-with-a-very-long-name")
    for words in (("list",), ("show", long), ("why", long), ("show", queued), ("why", queued)):
        answer = desk.queue(*words, COLUMNS=columns)
        assert max(map(len, answer.out.splitlines())) <= int(columns), answer.out
        assert long in answer.out or queued in answer.out
