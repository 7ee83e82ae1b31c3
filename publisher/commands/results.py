"""`queue results`: what came out, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.desk import console
from publisher.desk.options import AsJson, AsSheet, Batches, MaybeRuns, Mine, Sheet, Sort
from publisher.desk.selectors import find_batch, select
from publisher.pages import records, render
from publisher.results.ranking import Result, ranked, result_of
from publisher.results.spread import (
    SPREAD_KEYS,
    cells_of,
    group_record,
    group_row,
    groups_of,
    metrics_of,
    spread_lines,
)
from publisher.results.tables import as_markdown
from schemas.errors import UsageError
from schemas.run import Run, State

if TYPE_CHECKING:
    from queue_worker.queue import Queue, Row

HELP = console.help_text(
    "Show finished runs with the best first, and failed ones below them.",
    "queue results",
    "queue results -b lr-sweep --sort macro_f1",
    "queue results --mean --mine -o csv > results.csv",
)
SHOWN = frozenset({State.FINISHED, State.FAILED})


def results(
    runs: MaybeRuns = None,
    sort: Sort = "",
    batches: Batches = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="Experiments: mean and spread over seeds and folds.")
    ] = False,
    mine: Mine = False,
    output: AsSheet = Sheet.TABLE,
    as_json: AsJson = False,
) -> None:
    queue, form = console.open_queue(), Sheet.JSON if as_json else output
    me = console.settings().user
    user, named = me if mine else "", select(queue, runs or (), me)
    if batches or mean:
        chosen = [find_batch(queue, word, me) for word in batches or ()]
        wide = chosen or ([] if named else [""])
        rows = [*queue.rows(named)] if named else []
        rows += [row for batch in wide for row in queue.list(batch=batch, user=user)]
        found = queue.runs([row.id for row in rows])
        _experiments([*found.values()], sort, form, chosen)
        return
    ranking = _found(queue, sort, user, named)
    known = {result.best.metric for result in ranking if result.best}
    if sort and ranking and sort not in known:
        raise UsageError(f"no run has a metric '{sort}'", fix=f"--sort {_metrics(queue)}")
    _print(ranked(ranking), queue.now(), form)


def _found(queue: Queue, metric: str, user: str, named: Sequence[str]) -> list[Result]:
    rows = queue.rows(named) if named else queue.list(states=SHOWN, user=user)
    rows = [row for row in rows if row.state in SHOWN and user in ("", row.user)]
    failed = [row.id for row in rows if row.state is State.FAILED]
    again = queue.retried(failed) if failed else {}
    return [replace(one, retry=again.get(one.row.id)) for one in _measured(queue, metric, rows)]


def _measured(queue: Queue, metric: str, rows: Sequence[Row]) -> list[Result]:
    if not metric:
        return [result_of(row) for row in rows]
    runs = queue.runs([row.id for row in rows])
    return [result_of(row, metric, runs[row.id].result) for row in rows if row.id in runs]


def _experiments(runs: Sequence[Run], metric: str, form: Sheet, batches: Sequence[str]) -> None:
    """Every run counts, also one that has no value yet."""
    cells = cells_of(runs)
    if metric and metric not in (known := metrics_of(cells)):
        fix = f"--sort {' | '.join(known)}" if known else ""
        raise UsageError(f"none of these runs has a metric '{metric}'", fix=fix)
    groups = groups_of(cells, metric)
    match form:
        case Sheet.TABLE:
            console.out(spread_lines(groups, console.width()))
            if failed := [c.run.id for c in cells if c.run.state is State.FAILED]:
                console.talk([f"why it failed: queue show {failed[0]}"])
        case Sheet.JSON:
            told = [group_record(group) for group in groups]
            console.out_json({"batch": " ".join(batches), "experiments": told})
        case Sheet.JSONL:
            console.out_raw(records.as_jsonl(group_record(group) for group in groups))
        case Sheet.CSV:
            console.out_raw(records.as_csv(map(group_row, groups), SPREAD_KEYS))
        case Sheet.MD:
            console.out_raw(as_markdown([group_row(group) for group in groups], SPREAD_KEYS))
        case Sheet.ID:
            console.out([cell.run.id for group in groups for cell in group.cells])


def _metrics(queue: Queue) -> str:
    """The metrics that there are, for whoever asked for another one."""
    names = {row.best.metric for row in queue.list(states=SHOWN) if row.best}
    return " | ".join(sorted(names)) or "(no run has measured anything yet)"


def _look(results: Sequence[Result]) -> list[str]:
    """Where to see more: of the best, and of what failed last and waits for somebody."""
    open_ = [one for one in results if one.row.state is State.FAILED and not one.retry]
    failed = [one.row.id for one in open_]
    best = [one.row.id for one in results if one.place == 1]
    return [
        *(f"more of the best: queue show {run_id}" for run_id in best[:1]),
        *(f"why it failed: queue show {run_id}" for run_id in failed[:1]),
    ]


def _print(results: list[Result], now: float, form: Sheet) -> None:
    rows = [records.result_record(result) for result in results]
    match form:
        case Sheet.TABLE:
            console.out(render.results_lines(results, now, console.width()))
            console.talk(_look(results))
        case Sheet.JSON:
            console.out_json({"results": rows})
        case Sheet.JSONL:
            console.out_raw(records.as_jsonl(rows))
        case Sheet.CSV:
            console.out_raw(records.as_csv(rows, records.RESULT_KEYS))
        case Sheet.MD:
            console.out_raw(as_markdown(rows, records.RESULT_KEYS))
        case Sheet.ID:
            console.out([result.row.id for result in results])
