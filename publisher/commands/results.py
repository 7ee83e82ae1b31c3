"""`queue results`: what came out, the best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from publisher import console, records, render
from publisher.options import AsJson, Format, Output, chosen
from publisher.ranking import Result, ranked, result_of
from publisher.selectors import find_batch
from publisher.spread import SPREAD_KEYS, cells_of, group_record, groups_of, spread_lines
from schemas.errors import UsageError
from schemas.run import State

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Show finished runs with the best first, and failed ones below them.",
    "queue results",
    "queue results -b lr-sweep --sort macro_f1",
    "queue results -o csv > results.csv",
)
SHOWN = frozenset({State.FINISHED, State.FAILED})


def results(
    sort: Annotated[
        str, typer.Option("--sort", metavar="METRIC", help="Rank by this metric of the best epoch.")
    ] = "",
    batch: Annotated[
        str,
        typer.Option("-b", "--batch", metavar="BATCH", help="Mean and spread of each experiment."),
    ] = "",
    output: Output = Format.TABLE,
    as_json: AsJson = False,
) -> None:
    queue = console.open_queue()
    if batch:
        _of_batch(queue, find_batch(queue, batch), sort, chosen(output, as_json))
        return
    found = _found(queue, sort)
    known = {result.best.metric for result in found if result.best}
    if sort and found and sort not in known:
        raise UsageError(f"no run has a metric '{sort}'", fix=f"--sort {_metrics(queue)}")
    _print(ranked(found), queue.now(), chosen(output, as_json))


def _found(queue: Queue, metric: str) -> list[Result]:
    rows = queue.list(states=SHOWN)
    if not metric:
        return [result_of(row) for row in rows]
    return [result_of(row, metric, queue.get(row.id).result) for row in rows]


def _of_batch(queue: Queue, batch: str, metric: str, form: Format) -> None:
    """Every run of the batch counts, also one that has no value yet."""
    runs = [(row, queue.get(row.id)) for row in queue.list(batch=batch)]
    cells = cells_of((result_of(row, metric, run.result), run.config) for row, run in runs)
    if metric and not any(cell.result.best for cell in cells):
        known = {row.best.metric for row, _ in runs if row.best}
        fix = f"--sort {' | '.join(sorted(known))}" if known else ""
        raise UsageError(f"no run of it has a metric '{metric}'", fix=fix)
    groups = groups_of(cells)
    told = [group_record(group) for group in groups]
    match form:
        case Format.TABLE:
            console.out(spread_lines(groups, console.width()))
            if failed := [c.row.id for c in cells if c.row.state is State.FAILED]:
                console.talk([f"why it failed: queue show {failed[0]}"])
        case Format.JSON:
            head = {"schema_version": records.SCHEMA_VERSION, "batch": batch}
            console.out_json({**head, "experiments": told})
        case Format.JSONL:
            console.out_raw(records.as_jsonl(told))
        case Format.CSV:
            console.out_raw(records.as_csv(told, SPREAD_KEYS))
        case Format.ID:
            console.out([cell.row.id for group in groups for cell in group.cells])


def _metrics(queue: Queue) -> str:
    """The metrics that there are, for whoever asked for another one."""
    names = {row.best.metric for row in queue.list(states=SHOWN) if row.best}
    return " | ".join(sorted(names)) or "(no run has measured anything yet)"


def _print(results: list[Result], now: float, form: Format) -> None:
    rows = [records.result_record(result) for result in results]
    match form:
        case Format.TABLE:
            console.out(render.results_lines(results, now, console.width()))
        case Format.JSON:
            console.out_json({"schema_version": records.SCHEMA_VERSION, "results": rows})
        case Format.JSONL:
            console.out_raw(records.as_jsonl(rows))
        case Format.CSV:
            console.out_raw(records.as_csv(rows, records.RESULT_KEYS))
        case Format.ID:
            console.out([result.row.id for result in results])
