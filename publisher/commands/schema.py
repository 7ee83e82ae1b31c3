"""`publisher schema`: the JSON Schema of a config, for editors."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from publisher.desk import console
from schemas.config import TrainConfig
from schemas.document import SWEEP
from schemas.nearest import sections
from schemas.rundir import write_atomic
from schemas.sweep import FORMS

HELP = console.help_text(
    "Print the JSON Schema of a config, for editors.",
    "publisher schema",
    "publisher schema -o config.schema.json",
    "sed -i '1i # yaml-language-server: $schema=config.schema.json' birds.yaml",
)
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
    if output:
        write_atomic(output, json_schema().encode())
        console.talk([f"wrote {output}: editors complete and check keys with it"])
    else:
        console.out_raw(json_schema().rstrip())


def json_schema() -> str:
    """The text of the schema; the same for the same models."""
    described: dict[str, Any] = TrainConfig.model_json_schema()
    described["properties"][SWEEP] = SWEEP_SECTION
    tell_kinds_apart(described["$defs"])
    return json.dumps({"$schema": DIALECT, **described}, indent=2) + "\n"


def tell_kinds_apart(specs: dict[str, Any]) -> None:
    """A part without `kind` is of the default kind: all others must say theirs, or it would seem
    to be several at once."""
    meant = (section.spec(None) for section in sections().values())
    defaults = {spec.__name__ for spec in meant if spec}
    for name, spec in specs.items():
        if "kind" in spec.get("properties", {}) and name not in defaults:
            spec["required"] = ["kind", *spec.get("required", ())]
