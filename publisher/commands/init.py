"""`publisher init`: a commented config to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from publisher.desk import completion, console
from publisher.drafts.templates import TEMPLATES, Template
from schemas.errors import UsageError

HELP = console.help_text(
    "Write a commented config to begin with.",
    "publisher init",
    "publisher init birds.yaml --template small",
    "publisher init folds.yaml --template kfold --force",
    "publisher init better.yaml --from 7f3k2q",
)
DEFAULT = "sketch"
SHORT = f"Where to begin: {', '.join(TEMPLATES)}."


def _offers(incomplete: str) -> list[str]:
    return [name for name in TEMPLATES if name.startswith(incomplete)]


def init(
    path: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="[default: TEMPLATE.yaml]")
    ] = None,
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help=SHORT, autocompletion=_offers)
    ] = DEFAULT,
    run: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Begin with the config of this run.",
            autocompletion=completion.runs,
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    from publisher.drafts.draft import draft  # the models of a config take a while, --help none
    from schemas.rundir import write_atomic

    begun, chosen = _of_run(run, template) if run else _of_template(template)
    file = path or Path(f"{begun}.yaml")
    refuse_to_overwrite(file, force=force)
    text = draft(chosen.values, [chosen.about], offers=not run)
    check(text, str(file))
    write_atomic(file, text.encode())
    console.talk([f"wrote {file}", f"  {chosen.about}"])
    schema_beside(file)
    flags = f" {chosen.submit}" if chosen.submit else ""
    console.hint(
        f"Check it: publisher validate {file}", f"Queue it: publisher submit {file}{flags}"
    )


def _of_template(name: str) -> tuple[str, Template]:
    if name not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise UsageError(f"there is no template '{name}'", fix=f"--template {known}")
    return name, TEMPLATES[name]


def _of_run(word: str, template: str) -> tuple[str, Template]:
    """What a run was trained with, as a file to change: the one that won, most often."""
    from publisher.plans.duplicates import described
    from schemas.config import TrainConfig
    from schemas.said import said

    if template != DEFAULT:
        raise UsageError("--from and --template both say where to begin", fix="leave one out")
    queue = console.open_queue()
    found = queue.get(queue.resolve(word, user=console.settings().user))
    folds = f"--folds {found.config['data']['split']['folds']}" if found.kind == "gather" else ""
    about = f"The config of {described(found)}."
    return found.name, Template(about, said(TrainConfig.model_validate(found.config)), folds)


def refuse_to_overwrite(file: Path, *, force: bool) -> None:
    """A file that is there stays, unless somebody says otherwise."""
    if file.is_dir():
        raise UsageError(f"{file} is a folder", fix=f"{file / 'config.yaml'}")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}", fix=f"mkdir -p {file.parent}")
    if file.exists() and not force:
        raise UsageError(f"{file} is there already; nothing was written", fix="--force replaces it")


def check(text: str, file: str) -> None:
    """What is written is valid, or nothing is written: a ConfigError says where it is not."""
    from schemas.source import read_cells
    from schemas.sweep import Spread

    read_cells(text, file, (), Spread())


def schema_beside(file: Path) -> None:
    """The schema that the first line of a config names, for the editor; an older one stays."""
    from publisher.commands.schema import json_schema
    from publisher.drafts.draft import SCHEMA_FILE
    from schemas.rundir import write_atomic

    schema, text = file.with_name(SCHEMA_FILE), json_schema()
    if not schema.exists():
        write_atomic(schema, text.encode())
        console.talk([f"wrote {schema}: editors complete and check keys with it"])
    elif schema.read_text(errors="replace") != text:
        console.talk([f"{schema} is of another version: publisher schema -o {schema}"])
