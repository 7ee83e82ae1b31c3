"""`queue results`: what came out, the best first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from publisher import console, records, render
from publisher.options import AsJson, Format, Output, chosen
from publisher.ranking import Result, ranked, result_of
from schemas.errors import UsageError
from schemas.run import State

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Show finished runs with the best first, and failed ones below them.",
    "queue results",
    "queue results --sort macro_f1",
    "queue results -o csv > results.csv",
)
SHOWN = frozenset({State.FINISHED, State.FAILED})


def results(
    sort: Annotated[
        str, typer.Option("--sort", metavar="METRIC", help="Rank by this metric of the best epoch.")
    ] = "",
    output: Output = Format.TABLE,
    as_json: AsJson = False,
) -> None:
    queue = console.open_queue()
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
