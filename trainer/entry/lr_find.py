"""`trainer lr-find`: which learning rate to begin with. Torch loads when it is asked."""

import json
from typing import Annotated

import typer

from schemas.errors import UsageError
from trainer.entry.data_commands import DataRoot, File, Overrides, divided, one_line, opened

EPILOG = "Exit codes: 0 found; 1 no rate made the loss fall; 2 usage or config; 3 data."
WIDTH, ROWS = 40, 20  # of the curve


def lr_find(
    file: File,
    overrides: Overrides = None,
    low: Annotated[float, typer.Option("--from", help="The first rate.")] = 1e-6,
    high: Annotated[float, typer.Option("--to", help="The last rate.")] = 1.0,
    steps: Annotated[int, typer.Option(min=20, help="Steps from the first to the last.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the curve as JSON.")] = False,
    data: DataRoot = None,
) -> None:
    """Try rates from low to high, a step each, and say where the loss falls fastest.

    The steps are those of the run: its model, optimizer, augmentation and batches. It ends
    early where the loss explodes. Nothing is kept.

    \b
    trainer lr-find birds.yaml
    trainer lr-find birds.yaml optim.kind=sgd --from 1e-4 --to 10
    trainer lr-find birds.yaml --steps 200 --json
    """
    with one_line():
        if not 0 < low < high < float("inf"):
            raise UsageError(
                "the first rate must lie above 0 and below the last", fix="--from 1e-6"
            )
        config, root, settings = opened(file, overrides, data)
        images, parts = divided(config, root, settings, look=False)
        from trainer.learn import rates

        tried = rates.search(
            config,
            images,
            parts,
            root,
            settings.cache.expanduser(),
            rates.Range(low, high, steps),
        )
        found = rates.steepest(tried)
    if as_json:
        curve = [{"lr": each.lr, "loss": each.smooth} for each in tried]
        typer.echo(json.dumps({"lr": found, "curve": curve}, indent=1))
    else:
        for row in drawn([(each.lr, each.smooth) for each in tried]):
            typer.echo(row)
        typer.echo(f"optim.lr={found:.2g}" if found else "no rate made the loss fall")
    raise typer.Exit(0 if found else 1)


def drawn(curve: list[tuple[float, float]]) -> list[str]:
    """Rates and losses, a bar each; of many only some."""
    if not curve:
        return []
    least, most = min(loss for _, loss in curve), max(loss for _, loss in curve)
    rows = []
    for lr, loss in curve[:: max(1, -(-len(curve) // ROWS))]:
        bar = "#" * round(WIDTH * (loss - least) / (most - least or 1))
        rows.append(f"{lr:9.2e} {loss:9.4f} {bar}".rstrip())
    return rows
