"""`queue compare`: experiments side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from publisher.desk import console
from publisher.desk.options import AsJson, AsSheet, Batches, MaybeRuns, Sheet, Sort
from publisher.desk.selectors import find_batch
from publisher.pages import records
from publisher.results.compared import compared_lines, compared_row
from publisher.results.spread import Cell, Group, cells_of, groups_of, metrics_of, ranked_groups
from publisher.results.tables import as_markdown, columns_of
from schemas.errors import NotFound, UsageError

if TYPE_CHECKING:
    from queue_worker.queue import Queue

HELP = console.help_text(
    "Compare runs, and batches by the mean and spread of each experiment: only what differs.",
    "queue compare 7f3k2q 7f3k2r",
    "queue compare -b lr-sweep --sort macro_f1",
    "queue compare resnet-folds vit-folds -o md",
)


def compare(
    runs: MaybeRuns = None,
    batches: Batches = None,
    sort: Sort = "",
    output: AsSheet = Sheet.TABLE,
    as_json: AsJson = False,
) -> None:
    queue, user = console.open_queue(), console.settings().user
    families = [family for word in runs or () for family in _of_word(queue, word, user)]
    families += [family for word in batches or () for family in _of_batch(queue, word)]
    if len(families) < 2:
        what = "one experiment is nothing to compare" if families else "nothing was named"
        raise UsageError(what, fix="queue compare RUN RUN, or -b BATCH with several experiments")
    known = metrics_of(cell for family in families for cell in family)
    if sort and sort not in known:
        fix = f"--sort {' | '.join(known)}" if known else ""
        raise UsageError(f"none of these runs has a metric '{sort}'", fix=fix)
    _print(ranked_groups(families, sort), Sheet.JSON if as_json else output)


def _of_word(queue: Queue, word: str, user: str) -> list[list[Cell]]:
    """A run by itself, or the experiments of a batch that is called so."""
    try:
        run = queue.get(queue.resolve(word, user=user))
    except NotFound as no_run:
        try:
            return _of_batch(queue, word)
        except NotFound:
            raise no_run from None
    return [cells_of([run.model_copy(update={"kind": "train"})])]


def _of_batch(queue: Queue, word: str) -> list[list[Cell]]:
    rows = queue.list(batch=find_batch(queue, word))
    cells = cells_of(queue.runs([row.id for row in rows]).values())
    return [list(group.cells) for group in groups_of(cells)]


def _print(groups: list[Group], form: Sheet) -> None:
    rows = [compared_row(group, place) for place, group in enumerate(groups, 1)]
    match form:
        case Sheet.TABLE:
            console.out(compared_lines(groups, console.width()))
            console.talk(["every run as a row: queue export"])
        case Sheet.JSON:
            console.out_json({"experiments": rows})
        case Sheet.JSONL:
            console.out_raw(records.as_jsonl(rows))
        case Sheet.CSV:
            console.out_raw(records.as_csv(rows, columns_of(rows)))
        case Sheet.MD:
            console.out_raw(as_markdown(rows, columns_of(rows)))
        case Sheet.ID:
            console.out([cell.run.id for group in groups for cell in group.cells])
