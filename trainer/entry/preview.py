"""`trainer preview`: a picture of what a config trains on. Torch loads when it is asked."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.rundir import write_atomic
from trainer.entry.data_commands import DataRoot, File, Overrides, divided, one_line, opened

EPILOG = "Exit codes: 0 written; 2 usage or config; 3 data."


def preview(
    file: File,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The picture, PNG.  [default: FILE-preview]")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Rows at most, a class each.")] = 12,
    data: DataRoot = None,
) -> None:
    """Draw what the model will see: a contact sheet, a row a class.

    Each row has an image, how it validates, and how it trains in some epochs: the very
    pixels and labels that the run gets. Below them are mixed batches, where it mixes.

    \b
    trainer preview birds.yaml
    trainer preview birds.yaml augment.auto_augment=rand-m9 -o rand.png
    trainer preview birds.yaml --classes 40
    """
    with one_line():
        config, root, settings = opened(file, overrides, data)
        images, parts = divided(config, root, settings, look=False)
        from trainer.look import contact_sheet
        from trainer.look.drawing import png

        target = out or Path(f"{file.stem}-preview.png")
        write_atomic(target, png(contact_sheet.draw(config, images, parts, classes)))
        typer.echo(target)
