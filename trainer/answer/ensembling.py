"""`trainer ensemble`: is it worth it to let runs vote, and how? Of images that none has seen."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from schemas.errors import TrainqError, UsageError
from schemas.settings import Settings
from trainer.judge.folders import spread_out
from trainer.judge.marking import incomplete, title

if TYPE_CHECKING:
    from trainer.answer.jury import Standing
    from trainer.answer.members import Heard, Member
    from trainer.judge.scores import Interval

EPILOG = "Exit codes: 0 said; 2 usage; 3 a run is not there, or runs do not belong together."
SCHEMA_VERSION = 1
ROOM = 28  # letters of a name: a line has eighty


def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    truth: Annotated[
        Path | None, typer.Option(help="Judge by the test set, whose answers this table knows.")
    ] = None,
    by: Annotated[str, typer.Option(help="The column of --truth that says whom images show.")] = "",
    tta: Annotated[
        list[str] | None, typer.Option(help="With --truth: hflip, crops, scales, of every member.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs, to stdout.")] = False,
) -> None:
    """Compare members with their ensemble, on images that none of them had learnt from.

    The folds of one config are one member; a k-fold's gather run stands for all its folds. What is
    fitted (weights of members, priors of classes) is scored a second time, each part of the people
    by what was fitted to the others: the difference is how far the first score flatters.

    These are the validation images; with --truth the test set, where every run, a fold too, is a
    member by itself. The best member is the best on these very images: its luck counts for it.

    \b
    trainer ensemble runs/7f3k2q runs/9d2m4x
    trainer ensemble runs/resnet runs/vit --json
    trainer ensemble runs/fold0 runs/fold1 runs/fold2 --truth truth.csv --tta hflip
    """
    try:
        from trainer.answer import jury, members

        if truth is None and (by or tta or data):
            raise UsageError("--by, --tta and --data say how the test set is judged", fix="--truth")
        folders = spread_out(runs)
        lacks = members.lacking(members.members(folders))
        found, heard = on_test(folders, truth, by, tta or [], data) if truth else on_own(folders)
        metric = found[0].config.evaluate.metric
        rows = jury.standings(found, heard, metric)
        gain = jury.gain(found, heard) if len(found) > 1 else None
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    if as_json:
        typer.echo(record(found, heard, rows, gain, lacks))
        return
    typer.echo("\n".join(page(heard, rows, gain, lacks)))


def on_own(folders: Sequence[Path]) -> "tuple[list[Member], Heard]":
    """By the validation images that the members share."""
    from trainer.answer import members

    found = members.members(folders)
    return found, members.heard(found)


def on_test(
    folders: Sequence[Path], truth: Path, by: str, tta: Sequence[str], data: Path | None
) -> "tuple[list[Member], Heard]":
    """By the test set of the first run's config."""
    from trainer.answer import held_out, progress
    from trainer.judge import sheets

    sheet, settings = sheets.read(truth, by), Settings.read(os.environ, Path(".env"))
    root, cache = (data or settings.data).resolve(), settings.cache.expanduser()
    with progress.shown(Console(stderr=True)) as alive:
        return held_out.heard(folders, sheet, tta, root, cache, alive)


def page(
    heard: "Heard",
    rows: "Sequence[Standing]",
    gain: "tuple[str, dict[str, tuple[float, Interval]]] | None",
    lacks: Sequence[str],
) -> list[str]:
    """A line a way to answer; what was fitted has a second one, in which it does not flatter."""
    lines = [f"{'':<{ROOM}}  ACCURACY                  MACRO F1"]
    for row in rows:
        lines += line(row.what, told(row, row.values, sure=not row.nested))
        if row.nested:
            lines += line("  fitted to other people", told(row, row.nested))
    people = int(heard.people.max()) + 1
    drawn = "images" if people == len(heard.names) else f"{people:,} people"
    lines += ["", f"{len(heard.names):,} images; 95% intervals by drawing {drawn}"]
    lines += incomplete(lacks)
    if gain:
        best, by = gain
        lines.append(f"all alike against the best member, {best}:")
        lines += [
            f"  {title(name)} {value:+.4f} ({likely.low:+.4f} .. {likely.high:+.4f})"
            for name, (value, likely) in by.items()
        ]
    return lines


def told(row: "Standing", values: dict[str, float], *, sure: bool = True) -> str:
    """Both scores; their intervals, unless they flatter anyway."""
    words = []
    for name in ("accuracy", "macro_f1"):
        likely = row.likely[name]
        interval = f" {likely.low:.4f} .. {likely.high:.4f}" if sure else " " * 17
        words.append(f"{values[name]:.4f} {interval}")
    return "  ".join(words).rstrip()


def line(name: str, scores: str) -> list[str]:
    """A name and its scores, below each other where they have no room side by side."""
    beside = len(name) <= ROOM
    return [f"{name:<{ROOM}}  {scores}"] if beside else [name, f"{'':<{ROOM}}  {scores}"]


def record(
    found: "Sequence[Member]",
    heard: "Heard",
    rows: "Sequence[Standing]",
    gain: "tuple[str, dict[str, tuple[float, Interval]]] | None",
    lacks: Sequence[str],
) -> str:
    """All of it for programs."""
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "images": len(heard.names),
        "members": [
            {"runs": [folder.name for folder in each.folders], "missing_folds": each.missing}
            for each in found
        ],
        "incomplete": list(lacks),
        "ways": [asdict(row) for row in rows],
    }
    if gain:
        best, by = gain
        facts["gain"] = {"over": best} | {
            name: {"value": value, **asdict(likely)} for name, (value, likely) in by.items()
        }
    return json.dumps(facts, indent=2)
