"""`publisher schema`: the JSON Schema of a config, for editors."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.config import TrainConfig
from schemas.document import SWEEP
from schemas.rundir import write_atomic
from schemas.sweep import FORMS

LISTS = {"type": "object", "additionalProperties": {"type": "array", "minItems": 1}}
SWEEP_SECTION = {
    "description": "What varies: a run for every combination of `grid`; lists of `zip` go in step.",
    "type": "object",
    "properties": {form: LISTS for form in FORMS},
    "additionalProperties": False,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it to this file instead.")
    ] = None,
) -> None:
    """Print the JSON Schema of a config; editors complete and check keys with it.

    publisher schema -o config.schema.json

    and as the first line of a config: # yaml-language-server: $schema=config.schema.json
    """
    if output:
        write_atomic(output, json_schema().encode())
        typer.echo(f"wrote {output}", err=True)
    else:
        typer.echo(json_schema(), nl=False)


def json_schema() -> str:
    """The text of the schema; the same for the same models."""
    described: dict[str, Any] = TrainConfig.model_json_schema()
    described["properties"][SWEEP] = SWEEP_SECTION
    return json.dumps({"$schema": DIALECT, **described}, indent=2) + "\n"
