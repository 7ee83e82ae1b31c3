"""What the tables and the page look like, at 80 and 120 columns. Pure values in, text out."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from publisher.desk.text import Line, plain
from publisher.outlook.snapshot import Snapshot
from publisher.outlook.standing import why
from publisher.pages import records, render
from publisher.pages.page import Page, mend, page_lines
from publisher.results.ranking import ranked, result_of
from queue_worker.queue import Control, Row, WorkerCard, WorkerView
from schemas.events import Event, EventKind
from schemas.run import Best, Cause, Parent, Progress, Run, State, Wish

NOW = 1_800_000_000.0


def a_row(run_id: str, name: str, state: State, **fields: Any) -> Row:
    given = {"user": "ana", "submitted_at": NOW - 2520, **fields}
    return Row(id=run_id, name=name, state=state, **given)


def a_worker(gpu: str, **fields: Any) -> WorkerView:
    card = WorkerCard(
        lane=f"v100:{gpu}",
        host="v100",
        gpu=gpu,
        boot_id="b",
        pid=1,
        runs_root="root-a",
        started_at=1,
        draining=fields.pop("draining", False),
        offer_mb=fields.pop("offer_mb", 0),
        busy_with=fields.pop("busy_with", ""),
        shared_with=fields.pop("shared_with", ""),
    )
    return WorkerView(card=card, **{"seen_at": NOW, "run": "", "alive": True, **fields})


RUNNING = a_row(
    "7f3k2q",
    "resnet18-lr1e-3",
    State.RUNNING,
    started_at=NOW - 2520,
    attempt=1,
    worker="v100:0",
    lease_until=NOW + 9,
    best=Best(metric="accuracy", value=0.9121, epoch=14),
    progress=Progress(step=1400, steps=2000, epoch=14, epochs=20, eta_s=1080),
)
QUEUED = a_row("7f3k2r", "resnet18-lr3e-4", State.QUEUED)
HELD = a_row(
    "7f3k2t",
    "vit-large-with-a-long-name",
    State.HELD,
    user="bo",
    submitted_at=NOW - 190,
    held_by="bo",
    held_reason="until the data are fixed",
)
FAILED = a_row(
    "7f3j9a",
    "vit-b-384",
    State.FAILED,
    user="bo",
    started_at=NOW - 802,
    ended_at=NOW - 440,
    attempt=1,
    worker="v100:0",
    cause=Cause.CUDA_OOM,
    progress=Progress(epoch=3, epochs=20),
    error="CUDA out of memory at trainer/loop.py:88",
    checkpoint_step=300,
    best=Best(metric="accuracy", value=0.401, epoch=3),
)
CANCELLED = a_row(
    "7f3j91",
    "resnet50-long",
    State.CANCELLED,
    started_at=NOW - 3800,
    ended_at=NOW - 1940,
    attempt=1,
    worker="v100:1",
    wish=Wish.CANCEL,
    wish_by="ana",
    wish_reason="wrong split",
    checkpoint_step=700,
    progress=Progress(epoch=7, epochs=50),
)
FINISHED = a_row(
    "7f3j88",
    "vit-s",
    State.FINISHED,
    started_at=NOW - 9800,
    ended_at=NOW - 1940,
    attempt=1,
    worker="v100:1",
    progress=Progress(step=9, steps=9, epoch=50, epochs=50),
    best=Best(metric="accuracy", value=0.88, epoch=41),
)
WAITING = a_row(
    "7f3k2v",
    "ensemble",
    State.WAITING,
    after=(Parent(id="aaaaaa"), Parent(id="bbbbbb", on="any"), Parent(id="cccccc")),
)
HOLD_ALL = Control(kind="hold", scope="all", by="bo", reason="the power is off", at=NOW)
DRAIN = Control(kind="drain", scope="worker:v100:0", by="bo", reason="new fan", at=NOW)
CAP = Control(kind="cap", scope="user:ana", by="bo", at=NOW, value=1)
SEEN = Snapshot(
    now=NOW,
    rows=[RUNNING, QUEUED, HELD, FAILED, CANCELLED, FINISHED],
    ahead={"7f3k2r": 0},
    counts={state: 1 for state in State if state not in (State.WAITING, State.SKIPPED)},
    workers=[a_worker("0", run="7f3k2q"), a_worker("1", draining=True)],
)


def text(lines: list[Line]) -> str:
    return "\n".join(plain(line) for line in lines)


def golden(name: str) -> str:
    return (Path(__file__).parent / "golden" / f"{name}.txt").read_text().removesuffix("\n")


def test_a_list_at_120_columns() -> None:
    assert text(render.list_lines(SEEN, 120)) == golden("queue_list_120")


def test_a_list_at_80_columns() -> None:
    assert text(render.list_lines(SEEN, 80)) == golden("queue_list_80")


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = render.list_lines(SEEN, width) + render.results_lines(RESULTS, NOW, width)
    assert max(len(plain(line)) for line in lines) <= width


def test_columns_that_hold_nothing_are_left_out() -> None:
    seen = replace(SEEN, rows=[QUEUED])
    assert text(render.list_lines(seen, 120)).splitlines()[0].split() == [
        *("ID", "NAME", "STATUS", "PROGRESS", "OWNER", "TIME", "WHY", "/", "ETA")
    ]


def test_an_empty_queue_says_how_to_begin() -> None:
    seen = Snapshot(NOW, [], {}, dict.fromkeys(State, 0), [])
    assert "publisher submit FILE" in text(render.list_lines(seen, 80))


RESULTS = ranked(
    [
        result_of(FAILED),
        result_of(FINISHED),
        result_of(
            FINISHED.model_copy(
                update={"id": "aaaaaa", "best": Best(metric="accuracy", value=0.93, epoch=9)}
            )
        ),
    ]
)


def test_results_name_the_best_first_and_failures_below() -> None:
    assert text(render.results_lines(RESULTS, NOW, 100)) == golden("queue_results_100")


def test_a_loss_ranks_from_below_and_a_nan_has_no_place() -> None:
    rows = [
        FINISHED.model_copy(update={"id": name, "best": Best(metric="loss", value=value, epoch=1)})
        for name, value in (("aaaaaa", 0.5), ("bbbbbb", float("nan")), ("cccccc", 0.1))
    ]
    places = [(r.row.id, r.place) for r in ranked(result_of(row) for row in rows)]
    assert places == [("cccccc", 1), ("aaaaaa", 2), ("bbbbbb", None)]


def test_results_say_which_mean_lacks_a_part() -> None:
    done = next(result for result in RESULTS if result.row.state is State.FINISHED)
    row = done.row.model_copy(update={"error": "acc 0.5, 4 of 5 folds, missing 3"})
    shown = text(render.results_lines([replace(done, row=row)], NOW, 120))
    assert "4 of 5 folds, missing 3" in shown


def test_results_rank_by_any_metric_that_was_measured() -> None:
    results = ranked([result_of(FINISHED, "macro_f1", {"macro_f1": 0.7, "loss": 1.0})])
    assert results[0].best == Best(metric="macro_f1", value=0.7, epoch=41)
    assert result_of(FINISHED, "auc", {"macro_f1": 0.7}).best is None


@pytest.mark.parametrize(
    ("row", "changes", "seen", "reason"),
    [
        (QUEUED, {}, {}, "next, after 7f3k2q"),
        (QUEUED, {}, {"workers": []}, "no worker is alive"),
        (QUEUED, {}, {"workers": [a_worker("0", alive=False)]}, "no worker is alive"),
        (QUEUED, {}, {"workers": [a_worker("0", draining=True)]}, "every worker drains"),
        (QUEUED, {}, {"workers": [a_worker("0")]}, "starts now"),
        (QUEUED, {}, {"ahead": {"7f3k2r": 3}}, "3 ahead"),
        (QUEUED, {"needs_host": "a100"}, {}, "needs a100, which has no worker"),
        (
            QUEUED,
            {"checkpoint_step": 70, "runs_root": "other"},
            {},
            "its checkpoint is on a host without a worker; resumes at step 70",
        ),
        (RUNNING, {}, {}, "done in 18m"),
        (RUNNING, {"attempt": 2}, {}, "attempt 2, done in 18m"),
        (RUNNING, {"lease_until": NOW - 4}, {}, "worker silent, lease over for 4s"),
        (RUNNING, {"wish": Wish.CANCEL, "wish_by": "bo"}, {}, "cancel asked by bo"),
        (RUNNING, {"progress": Progress()}, {}, "starting"),
        (
            RUNNING,
            {"progress": Progress(epochs=3, eta_s=60, doing="evaluating")},
            {},
            "evaluating, done in 1m",
        ),
        (RUNNING, {"progress": Progress(doing="reading data")}, {}, "reading data"),
        (HELD, {}, {}, "held by bo: until the data are fixed"),
        (RUNNING, {"time_limit_s": 3600, "ran_s": 600}, {}, "done in 18m, limit in 50m"),
        (WAITING, {}, {}, "waits for aaaaaa, bbbbbb:any and 1 more"),
        (
            WAITING,
            {},
            {"parents": {"aaaaaa": State.RUNNING}},
            "waits for aaaaaa (running), bbbbbb:any and 1 more",
        ),
        (WAITING, {"after": (Parent(id="aaaaaa"),)}, {}, "waits for aaaaaa"),
        (QUEUED, {}, {"controls": [HOLD_ALL]}, "everything is held by bo: the power is off"),
        (QUEUED, {}, {"controls": [DRAIN]}, "v100:0 drains, by bo: new fan; v100:1 drains"),
        (
            QUEUED,
            {},
            {"controls": [DRAIN], "workers": [a_worker("0")]},
            "v100:0 drains, by bo: new fan",
        ),
        (QUEUED, {}, {"controls": [CAP], "running": [RUNNING]}, "ana runs 1, the cap is 1"),
        (QUEUED, {"gpus": 2}, {}, "needs 2 GPUs; no worker holds more than 1"),
        (
            QUEUED,
            {"memory_mb": 12288},
            {"workers": [a_worker("0", offer_mb=8192, busy_with="bo's notebook")]},
            "needs 12 GiB; v100:0 offers 8 GiB (bo's notebook)",
        ),
        (
            QUEUED,
            {"memory_mb": 12288},
            {"workers": [a_worker("0", offer_mb=8192, shared_with="GPU 0: bo's lab.py")]},
            "needs 12 GiB; v100:0 offers 8 GiB (GPU 0: bo's lab.py)",
        ),
        (
            QUEUED,
            {"memory_mb": 32256},
            {"workers": [a_worker("0", offer_mb=32476)]},
            "needs 32 GiB; v100:0 offers 31.7 GiB",
        ),  # 31.5 GiB would fit, but a claim knows whole ones only
        (CANCELLED, {}, {}, 'by ana: "wrong split" (checkpoint kept)'),
        (FAILED, {"error": ""}, {}, "cuda_oom"),
        (FINISHED, {}, {}, ""),
    ],
)
def test_every_run_says_why_it_stands_where_it_stands(
    row: Row, changes: dict[str, Any], seen: dict[str, Any], reason: str
) -> None:
    assert why(row.model_copy(update=changes), replace(SEEN, **seen)) == reason


def test_records_for_programs_keep_their_keys() -> None:
    record = records.list_record(SEEN, matching=6)
    assert list(record) == [
        *("now", "matching", "counts", "workers", "batches", "controls", "runs")
    ]
    run = json.loads(json.dumps(record))["runs"][0]
    assert run["id"] == "7f3k2q" and run["state"] == "running"
    assert run["submitted_at"] == "2027-01-15T07:18:00.000Z"
    assert run["elapsed_s"] == 2520.0 and run["best"]["value"] == 0.9121


def test_csv_has_a_row_a_run_and_no_control_characters() -> None:
    evil = QUEUED.model_copy(update={"name": 'a,"b"\x1b[2J\n'})
    rows = [records.row_record(row, SEEN) for row in (RUNNING, evil)]
    read = list(csv.DictReader(io.StringIO(records.as_csv(rows, records.CSV_KEYS))))
    assert [row["name"] for row in read] == ["resnet18-lr1e-3", 'a,"b" ']
    assert read[0]["best.value"] == "0.9121" and read[1]["best.value"] == ""


# ---- one run on a page ---------------------------------------------------------------------------

CONFIG = {"model": {"name": "vit_b"}, "optim": {"lr": 1e-3}, "train": {"accumulate": 2}}


def a_failed_run(cause: Cause = Cause.CUDA_OOM, **fields: Any) -> Run:
    shared = FAILED.model_dump(include=set(Row.model_fields) & set(Run.model_fields))
    given = {"config": CONFIG, "checkpoint": "attempts/1-00000000/checkpoints/step-300", **fields}
    return Run(**{**shared, "cause": cause, **given})


def test_a_page_is_not_wider_than_the_terminal() -> None:
    run = a_failed_run(error="an error that goes on and on " * 9, overrides=("optim.lr=1",) * 30)
    assert max(len(plain(line)) for line in page_lines(a_page(run), 80)) <= 80


def a_page(run: Run) -> Page:
    events = [
        Event(id="1-0", kind=EventKind.SUBMITTED, run=run.id, at=NOW - 2520, by="bo"),
        Event(id="2-0", kind=EventKind.CLAIMED, run=run.id, at=NOW - 802, by="v100:0", attempt=1),
        Event(id="3-0", kind=EventKind.CHECKPOINT, run=run.id, at=NOW - 500, attempt=1),
    ]
    rows = [{"epoch": 3, "step": 300, "train/loss": 1.82, "val/accuracy": 0.401}]
    log = ["\x1b[31mepoch 3\x1b[0m", "boom"]
    usual = {"model": {"name": "vit_b"}, "optim": {"lr": 1e-3}, "train": {"accumulate": 1}}
    return Page(run, NOW, "", events, rows, log, usual)


def test_a_page_gives_the_cause_first_and_the_command_that_mends_it() -> None:
    shown = text(page_lines(a_page(a_failed_run()), 100)).splitlines()
    assert shown[:3] == [
        "vit-b-384  7f3j9a   x FAILED (cuda_oom) after 6m 02s",
        "  Cause    CUDA out of memory at trainer/loop.py:88",
        "  Try      publisher retry 7f3j9a train.accumulate=4   "
        "(smaller parts, same effective batch)",
    ]
    assert "  Config   model.name=vit_b train.accumulate=2" in shown
    assert "  Metrics  epoch 3: train/loss 1.820  val/accuracy 0.401" in shown
    assert shown[-3:] == [
        "  Log      epoch 3",
        "           boom",
        "           all of it: queue logs 7f3j9a",
    ]
    assert not any("checkpoint" in line for line in shown if line.startswith("  History"))


def test_a_page_says_when_another_source_ran_than_was_submitted_and_what_a_gather_lacks() -> None:
    same = a_failed_run(code="abc", ran_code="abc", attempt=1)
    assert "another source" not in text(page_lines(a_page(same), 100))
    other = same.model_copy(update={"ran_code": "def"})
    assert "ran with trainer def, submitted with abc" in text(page_lines(a_page(other), 100))
    told = "accuracy 0.5, 4 of 5 folds, missing 3 (failed)"
    gather = same.model_copy(update={"result": {"text": told}})
    assert told in text(page_lines(a_page(gather), 100))


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_a_command_that_can_be_typed(cause: Cause) -> None:
    ((command, because),) = mend(a_failed_run(cause))
    assert command.startswith("publisher retry 7f3j9a")
    assert because


def test_what_the_trainer_suggests_comes_before_our_own_advice() -> None:
    run = a_failed_run(Cause.DIVERGED, result={"try_this": "optim.lr=1e-5"})
    assert mend(run)[0][0] == "publisher retry 7f3j9a optim.lr=1e-5"
    prose = run.model_copy(update={"result": {"try_this": "x; rm -rf runs"}})
    assert mend(prose) == [("publisher retry 7f3j9a optim.lr=0.0001", "x; rm -rf runs")]
