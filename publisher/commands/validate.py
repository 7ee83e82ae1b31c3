"""`publisher validate`: every word of every file, before anything is queued."""

import shlex
from typing import Annotated, Any

import typer

from publisher.desk import console
from publisher.desk.options import Folds, Lists, Seeds
from publisher.plans.configs import all_problems, load_all
from schemas.errors import ConfigError, UsageError
from schemas.overrides import split_arguments
from schemas.source import Loaded
from schemas.sweep import Spread
from schemas.writing import dump

HELP = console.help_text(
    "Check configs and show all mistakes at once; queue nothing.",
    "publisher validate birds.yaml",
    "publisher validate birds.yaml optim.lr=3e-4 --resolved",
    "publisher validate examples/*.yaml --json",
)
CELLS_SHOWN = 20


def validate(
    arguments: Annotated[list[str], typer.Argument(metavar="FILE|KEY=VALUE")],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print every value and where it came from.")
    ] = False,
    lists: Lists = False,
    seeds: Seeds = 0,
    folds: Folds = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    files, overrides = split_arguments(arguments)
    if not files:
        raise UsageError("no config file is named", fix="publisher validate FILE [key=value]")
    loaded, refused = load_all(files, overrides, Spread(lists, seeds, folds))
    if as_json:
        console.out_json(_record(files, loaded, refused, resolved))
        raise typer.Exit(UsageError.exit_code if refused else 0)
    for file, cells in loaded.items():
        if resolved:
            console.out_raw("---\n".join(map(_resolved, cells)).rstrip())
        else:
            shown = cells[:CELLS_SHOWN] if len(cells) > 1 else []
            console.out([_ok(file, cells), *map(_cell, shown)])
    if refused:
        raise all_problems(refused)
    if not resolved:
        console.hint(
            f"Queue it: publisher submit {shlex.join(_typed(arguments, lists, seeds, folds))}"
        )


def _typed(arguments: list[str], lists: bool, seeds: int, folds: int) -> list[str]:
    """What was given, for the verb that queues it."""
    given = [("--seeds", seeds), ("--folds", folds)]
    flags = [word for flag, number in given if number for word in (flag, str(number))]
    return [*arguments, *(["-m"] if lists else []), *flags]


def _ok(file: str, cells: list[Loaded]) -> str:
    if len(cells) == 1:
        return f"ok  {file}"
    shown = f", the first {CELLS_SHOWN}" if len(cells) > CELLS_SHOWN else ""
    return f"ok  {file}: {len(cells)} runs{shown}"


def _cell(loaded: Loaded) -> str:
    return f"    {' '.join(loaded.cell)}"


def _resolved(loaded: Loaded) -> str:
    return dump(loaded.config.canonical(), loaded.origins).decode()


def _record(
    files: list[str],
    loaded: dict[str, list[Loaded]],
    refused: dict[str, ConfigError],
    resolved: bool,
) -> dict[str, Any]:
    """What `--json` prints; only new keys are ever added within a schema version."""
    rows = [
        _good(file, loaded[file], resolved) if file in loaded else _bad(file, refused[file])
        for file in dict.fromkeys(files)
    ]
    return {"ok": not refused, "files": rows}


def _good(file: str, cells: list[Loaded], resolved: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"file": file, "ok": True, "problems": []}
    if len(cells) == 1:
        return row | _described(cells[0], resolved)
    return row | {"cells": [{"cell": c.cell, **_described(c, resolved)} for c in cells]}


def _described(loaded: Loaded, resolved: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"digest": loaded.config.digest()}
    if resolved:
        row |= {"config": loaded.config.canonical(), "origins": loaded.origins}
    return row


def _bad(file: str, error: ConfigError) -> dict[str, Any]:
    return {"file": file, "ok": False, "problems": [each.record() for each in error.problems]}
