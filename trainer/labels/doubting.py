"""`trainer suspects`: images whose labels the models doubt that have not learnt from them."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import TrainqError, UsageError, count
from schemas.rundir import write_atomic
from schemas.settings import Settings
from trainer.judge.folders import spread_out

if TYPE_CHECKING:
    from schemas.components.sources import Source
    from trainer.labels.suspects import Suspect

EPILOG = "Exit codes: 0 written; 2 usage; 3 a run, or data, are not there."
SHOWN = 10


def suspects(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The table to look through.")],
    at_least: Annotated[
        float, typer.Option(min=0, max=1, help="Only where they are so sure of another class.")
    ] = 0.0,
    relabel: Annotated[
        Path | None, typer.Option(help="Also write the corrected table for data.source.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA]")
    ] = None,
) -> None:
    """List images whose labels may be wrong, by models that had not learnt from them.

    A k-fold has such a model for every image; another run only for its validation images. A class
    is suspected where it is said as surely as of its own images, and more surely than the label.
    Look at them before you believe it. --relabel writes what data.source takes: relabel of the
    mask layout, a corrected copy of the table of others.

    \b
    trainer suspects runs/7f3k2q -o suspects.csv
    trainer suspects runs/fold0 runs/fold1 runs/fold2 -o suspects.csv --at-least 0.9
    trainer suspects runs/7f3k2q -o suspects.csv --relabel data/mask/relabel.csv
    """
    try:
        root = (data or Settings.read(os.environ, Path(".env")).data).resolve()
        lines = doubt(spread_out(runs), out, at_least, relabel, root)
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    typer.echo("\n".join(lines))


def doubt(
    folders: Sequence[Path], out: Path, at_least: float, relabel: Path | None, root: Path
) -> list[str]:
    """Write the tables; what to say of them."""
    from trainer.answer import members, votes
    from trainer.labels import corrections
    from trainer.labels import suspects as doubts

    found = members.members(folders)
    source = found[0].config.data.source
    refuse_places(out, relabel, corrections.tables(source, root))
    heard = members.heard(found)
    doubted = [each for each in doubts.suspects(heard) if each.confidence >= at_least]
    for text in members.lacking(found):
        typer.echo(f"incomplete: {text}", err=True)
    if relabel:
        labels = {each.image: each.suspected for each in doubted}
        write_atomic(relabel, corrections.corrected(source, labels, heard.classes, root))
    write_atomic(out, table(doubted, heard.classes, len(found)))
    lines = [
        f"{each.confidence:.2f} {heard.classes[each.suspected]}, {each.of_label:.2f} "
        f"{heard.classes[each.true]}: {each.image}"
        for each in doubted[:SHOWN]
    ]
    lines.append(f"{out}: {len(doubted)} of {count(len(heard.names), 'image')} that were validated")
    right = votes.mean(heard.said).argmax(1) == heard.true
    if weak := doubts.too_many(len(doubted), right):
        typer.echo(weak, err=True)
    return [*lines, *(use(source, relabel, root) if relabel else [])]


def refuse_places(out: Path, relabel: Path | None, labels: Sequence[Path]) -> None:
    """Where something would be lost."""
    if relabel and relabel.exists():
        raise UsageError(f"{relabel} is there already", fix="another --relabel")
    if relabel and relabel.absolute() == out.absolute():
        raise UsageError("--relabel and -o name one file", fix="two files")
    if out.exists() and any(each.exists() and out.samefile(each) for each in labels):
        raise UsageError(f"{out} is the table of the labels", fix="another -o")


def use(source: "Source", relabel: Path, root: Path) -> list[str]:
    """What the next config says; the table must lie below the folder of its source."""
    from trainer.labels import corrections

    below, table = (root / source.root).resolve(), relabel.resolve()
    inside = table.is_relative_to(below)
    where = table.relative_to(below).as_posix() if inside else relabel.name
    key = f"data.source.{corrections.key_for(source)}={where}"
    away = [] if inside else [f"copy {relabel} to {below} first"]
    return [*away, f"{key}, once you have looked at them"]


def table(doubted: "Sequence[Suspect]", classes: Sequence[str], members: int) -> bytes:
    """For people, the most doubtful first."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("image", "label", "suspected", "confidence", "of_label", "members_agree"))
    for each in doubted:
        named = classes[each.true], classes[each.suspected]
        sure = f"{each.confidence:.4f}", f"{each.of_label:.4f}"
        rows.writerow((each.image, *named, *sure, f"{each.agree} of {members}"))
    return text.getvalue().encode()
