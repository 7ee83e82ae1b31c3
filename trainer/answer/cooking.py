"""`trainer soup`: one model from the mean of several. Torch loads when it is asked."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from schemas.errors import TrainqError, UsageError
from schemas.rundir import RunsRoot
from schemas.settings import Settings

if TYPE_CHECKING:
    from trainer.answer.soup import Dish

EPILOG = "Exit codes: 0 written; 2 usage, or runs that have no mean; 3 a run, or data, not there."


def soup(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Finished runs, or checkpoint folders.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The new run's folder.")],
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Leave out what makes it worse on validation images.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA]")
    ] = None,
) -> None:
    """Make one model of the mean of several models' weights: as fast as one of them.

    They must have begun with the same weights: one pretrained model, or one seed. BatchNorm learns
    its statistics anew. The soup is a run like any other: it is scored, answers and votes.

    \b
    trainer soup runs/7f3k2q runs/7f3k2r -o runs/soup
    trainer soup runs/7f3k2q runs/7f3k2r runs/7f3k2s -o runs/soup --greedy
    """
    try:
        from trainer.answer import soup as recipes

        if out.exists():
            raise UsageError(f"{out} is there already", fix="another -o")
        if len(runs) < 2:
            raise UsageError("a soup needs at least two runs", fix="trainer soup RUN RUN -o FOLDER")
        settings = Settings.read(os.environ, Path(".env"))
        found = [recipes.ingredient(run) for run in runs]
        recipes.refuse_unlike(found)
        roots = (data or settings.data).resolve(), RunsRoot(settings.runs)
        with Console(stderr=True).status("reading") as status:
            place = recipes.kitchen(found[0], *roots, settings.cache.expanduser(), status.update)
            alone: Sequence[Dish] = ()
            if greedy:
                dish, alone = recipes.greedy(found, place)
            else:
                dish = recipes.uniform(found, place)
        recipes.serve(dish, out)
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    for each in alone:
        left = "" if each.of[0] in dish.of else "  left out"
        typer.echo(f"{told(each)}  {each.of[0].name}{left}")
    typer.echo(f"{told(dish)}  {out}: the mean of {len(dish.of)} of {len(found)}")


def told(dish: "Dish") -> str:
    """How good it is on images that none of its ingredients had learnt from."""
    if dish.said is None:
        return "no image is left that none of them had learnt from:"
    values, likely = dish.said.scored()
    sure = likely["accuracy"]
    return (
        f"accuracy {values['accuracy']:.4f} ({sure.low:.4f} .. {sure.high:.4f})  "
        f"macro F1 {values['macro_f1']:.4f}"
    )
