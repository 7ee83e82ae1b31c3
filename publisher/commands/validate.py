"""`publisher validate`: every word of every file, before anything is queued."""

import json
from typing import Annotated, Any

import typer

from publisher.configs import all_problems, load_all
from publisher.options import Folds, Lists, Seeds
from schemas.errors import ConfigError, UsageError
from schemas.overrides import split_arguments
from schemas.source import Loaded, dump
from schemas.sweep import Spread

SCHEMA_VERSION = 1
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
    """Check configs; all mistakes of all files are shown at once.

    publisher validate birds.yaml

    publisher validate birds.yaml optim.lr=3e-4 data.split.kind=kfold

    publisher validate birds.yaml -m optim.lr=1e-3,3e-4

    publisher validate examples/*.yaml --json
    """
    files, overrides = split_arguments(arguments)
    if not files:
        raise UsageError("no config file is named", fix="publisher validate FILE [key=value]")
    loaded, refused = load_all(files, overrides, Spread(lists, seeds, folds))
    if as_json:
        typer.echo(json.dumps(_record(files, loaded, refused, resolved), indent=2))
        raise typer.Exit(UsageError.exit_code if refused else 0)
    for file, cells in loaded.items():
        if resolved:
            typer.echo("---\n".join(map(_resolved, cells)), nl=False)
        else:
            shown = cells[:CELLS_SHOWN] if len(cells) > 1 else []
            typer.echo("\n".join([_ok(file, cells), *map(_cell, shown)]))
    if refused:
        raise all_problems(refused)


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
    return {"schema_version": SCHEMA_VERSION, "ok": not refused, "files": rows}


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
