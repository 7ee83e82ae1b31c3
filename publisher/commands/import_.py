"""`publisher import`: old configs become configs of trainq, and every key is accounted for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from publisher.commands.init import check, refuse_to_overwrite, schema_beside
from publisher.desk import console
from publisher.desk.text import Line, Piece, clean, line
from schemas.errors import ConfigError, UsageError, count
from schemas.overrides import split_arguments

if TYPE_CHECKING:
    from publisher.drafts.translation import Note

HELP = console.help_text(
    "Turn old configs into ours, and say what became of every key.\n"
    "Reads jobs of the old queue, INI, YAML of command-line names, JSON of an experiment.",
    "publisher import job.json",
    "publisher import config.ini -o mask.yaml",
    "publisher import experiments/*.json -o configs/",
    "publisher import base.yml model.name=resnet18 -o base.yaml",
)
STYLES = {"changed": "warn", "gone": "dim", "added": "live"}


def import_configs(
    arguments: Annotated[list[str], typer.Argument(metavar="FILE|KEY=VALUE")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A file, or a folder for several.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    files, overrides = split_arguments(arguments)
    if not files:
        raise UsageError("no file is named", fix="publisher import FILE")
    if len(files) > 1 and not (output and output.is_dir()):
        fix = "mkdir configs; publisher import FILE... -o configs/"
        raise UsageError("several files go into a folder that is there", fix=fix)
    targets = [target_of(file, output) for file in files]
    if twice := {target for target in targets if target and targets.count(target) > 1}:
        raise UsageError(f"several files would become {twice.pop()}", fix="import them one by one")
    for target in targets:
        if target:
            refuse_to_overwrite(target, force=force)
    made = [(file, *imported(file, overrides)) for file in files]  # all of them, or none
    for (file, text, notes), target in zip(made, targets, strict=True):
        _write(file, text, notes, target)


def target_of(file: str, output: Path | None) -> Path | None:
    """Where the config of this file goes; None for stdout."""
    if output and output.is_dir():
        return output / f"{Path(file).stem}.yaml"
    return output


def imported(file: str, overrides: Sequence[str]) -> tuple[str, list[Note]]:
    """The text of our config, and what became of every key."""
    from publisher.drafts.draft import draft
    from publisher.drafts.legacy import read_old
    from publisher.drafts.translation import translated
    from schemas.document import read_text
    from schemas.said import said
    from schemas.secrecy import masked
    from schemas.source import read

    old = read_old(read_text(Path(file)), file)
    values, notes = translated(old)
    given = {text.partition("=")[0] for text in overrides}
    if "name" not in values.get("model", {}) and "model.name" not in given:
        named = old.keys["model"].value if "model" in old.keys else None
        name = masked(str(named))
        what = f"{file}: timm has no model '{name}'" if named else f"{file} names no model"
        raise UsageError(what, fix=f"publisher import {file} model.name=resnet18")
    told = [clean(f"  {note}") for note in notes if note.kind != "same"]
    head = [clean(f"Imported from {Path(file).name}, {old.about}."), *told]
    plain = draft(values, [], offers=False)
    try:
        config = read(plain, f"{file} as imported", overrides).config
    except ConfigError as error:
        raise ConfigError(error.problems, file, so="say it better: key=value") from error
    text = draft(said(config) if overrides else values, head, offers=False)
    check(text, file)
    return text, notes


def _write(file: str, text: str, notes: Sequence[Note], target: Path | None) -> None:
    from schemas.rundir import write_atomic

    if target is None:
        console.out_raw(text.rstrip("\n"))
    else:
        write_atomic(target, text.encode())
    console.talk(note_lines(file, notes, console.width()))
    if target:
        schema_beside(target)
        console.hint(f"wrote {target}", f"Check it: publisher validate {target} --resolved")


def note_lines(file: str, notes: Sequence[Note], width: int) -> Iterator[Line]:
    """A line for every key that is not simply the same."""
    same = [note.key for note in notes if note.kind == "same"]
    rest = [note for note in notes if note.kind != "same"]
    taken = f", taken over as they are: {', '.join(same)}" if same else ""
    given = count(sum(note.kind != "added" for note in notes), "key")
    yield from map(line, textwrap.wrap(f"{file}: {given}{taken}", width, subsequent_indent="  "))
    for note in sorted(rest, key=lambda each: ("changed", "added", "gone").index(each.kind)):
        first, *more = textwrap.wrap(
            str(note)[9:],
            width - 11,
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield line("  ", Piece(f"{note.kind:<8}", STYLES[note.kind]), f" {first}")
        yield from (line(f"             {each}") for each in more)
