"""`trainer data ...`: look at a data set, split it, prepare another. Nothing heavy loads before."""

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.config import TrainConfig
from schemas.errors import TrainqError, UsageError, count
from schemas.rundir import RunsRoot, write_atomic
from schemas.settings import Settings
from schemas.source import load

if TYPE_CHECKING:
    from trainer.data.images import Images
    from trainer.data.split import Parts

EPILOG = "Exit codes: 0 ok; 1 failed; 2 usage or config; 3 data."
app = typer.Typer(
    no_args_is_help=True,
    epilog=EPILOG,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

File = Annotated[Path, typer.Argument(help="A config, YAML or JSON.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key.path=value, after the file.")]
DataRoot = Annotated[
    Path | None, typer.Option(help="The data root.  [default: TRAINQ_DATA, else FILE's folder]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Argument(help="The folder of images; it is not touched.")]
Out = Annotated[Path, typer.Argument(help="The new folder.")]


@app.callback()
def data() -> None:
    """Look at a data set, split it, prepare another."""


# ---- looking -------------------------------------------------------------------------------------


@app.command(epilog=EPILOG)
def stats(
    file: File, overrides: Overrides = None, data: DataRoot = None, as_json: AsJson = False
) -> None:
    """Counts, sizes, mean, std, near-duplicates across the split.

    \b
    trainer data stats birds.yaml
    trainer data stats birds.yaml --data ~/data
    trainer data stats birds.yaml --json
    """
    with one_line():
        from trainer.data import stats as statistics

        config, root, settings = opened(file, overrides, data)
        images, parts = divided(config, root, settings, look=True)
        looks = statistics.looked_at(images, parts, track)
        found = statistics.statistics(images, parts, looks)
        say(found, as_json, statistics.page(found))


@app.command(epilog=EPILOG)
def report(
    file: File,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for it.  [default: FILE-data]")
    ] = None,
    classes: Annotated[
        int, typer.Option(min=1, max=40, help="The rarest classes get contact sheets.")
    ] = 20,
    data: DataRoot = None,
) -> None:
    """Write the same as a page with pictures.

    Classes, sizes, colours, contact sheets, and what looks the same in train and
    validation. One HTML file that needs no network, light enough to mail; PNGs beside it.

    \b
    trainer data report birds.yaml
    trainer data report birds.yaml -o eda --classes 40
    """
    with one_line():
        from trainer.data import stats as statistics
        from trainer.look import data_report

        config, root, settings = opened(file, overrides, data)
        images, parts = divided(config, root, settings, look=True)
        looks = statistics.looked_at(images, parts, track)
        place = out or Path(f"{file.stem}-data")
        page, source = place / f"{file.stem}.html", Path(config.data.source.root).name
        title = f"{source}, as {file.name} reads it" if source else file.stem
        typer.echo(data_report.make(page, title, images, parts, looks, classes))


@app.command(epilog=EPILOG)
def check(
    file: File, overrides: Overrides = None, data: DataRoot = None, as_json: AsJson = False
) -> None:
    """Look at every image as a run does before it trains.

    Those of data.test too.

    \b
    trainer data check birds.yaml
    trainer data check birds.yaml data.on_bad=skip
    trainer data check birds.yaml --json
    """
    with one_line():
        from trainer.data import inspection

        config, root, settings = opened(file, overrides, data)
        found = inspection.inspect(config.data, root, RunsRoot(settings.runs), still_alive)
        say(found, as_json, inspection.page(found))
        if found["refused"]:
            raise typer.Exit(3)
        divided(config, root, settings, look=True)  # what else a run would stumble over


@app.command(epilog=EPILOG)
def split(
    file: File,
    overrides: Overrides = None,
    data: DataRoot = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the split here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Which images validate, and the hash of the split.

    The hash is the same on every machine, and that of the file that -o writes.

    \b
    trainer data split birds.yaml
    trainer data split birds.yaml data.split.kind=kfold data.split.fold=2
    trainer data split birds.yaml -o split.csv
    """
    with one_line():
        from trainer.data.split import written
        from trainer.data.stats import part_of

        config, root, settings = opened(file, overrides, data)
        images, parts = divided(config, root, settings, look=False)
        text, digest = written(images, parts)
        if out:
            write_atomic(out, text)
        sides = {name: part_of(images, getattr(parts, name)) for name in ("train", "validate")}
        rows = [digest]
        for name, side in sides.items():
            people = f", {side['people']} people" if images.persons else ""
            rows.append(f"  {name:<9}{count(side['images'], 'image')}{people}")
        say({"split": digest, "data": images.digest, **sides}, as_json, rows)


# ---- preparing -----------------------------------------------------------------------------------


@app.command(epilog=EPILOG)
def crop(
    folder: Folder,
    out: Out,
    center: Annotated[str, typer.Option(metavar="WxH", help="Keep the middle, in pixels.")] = "",
    boxes: Annotated[
        Path | None, typer.Option(help="A table image_path,left,top,right,bottom.")
    ] = None,
) -> None:
    """Write cropped images: by their middle, or by boxes.

    Images without a box stay whole.

    \b
    trainer data crop train/images cropped --center 320x256
    trainer data crop train/images faces --boxes faces.csv
    """
    with one_line():
        from trainer.data import prepare

        size = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", center)
        if bool(center) == bool(boxes) or (center and not size):
            raise UsageError("crop by one of two ways", fix="--center 320x256, or --boxes FILE")
        change: prepare.Change
        if size:
            change = partial(prepare.middle, width=int(size[1]), height=int(size[2]))
        else:
            table = prepare.read_boxes(Path(str(boxes)), folder)
            change = partial(prepare.boxed, boxes=table)
        made = prepare.rewrite(folder, out, change, track, len(os.sched_getaffinity(0)))
        typer.echo(f"{out}: {count(made.written, 'image')}")


@app.command("offline-mixup", epilog=EPILOG)
def offline_mixup(
    folder: Annotated[Path, typer.Argument(help="The folder of people; it is not touched.")],
    out: Out,
    age: Annotated[int, typer.Option(help="Of people who are at least this old.")] = 60,
    seed: Annotated[
        int | None, typer.Option(help="Pair people by lot instead of by their names.")
    ] = None,
) -> None:
    """Mix rare people, half and half, into new ones.

    Two of one gender in the mask layout become a third, called after both.
    Train on them by data.extra; they are left out where one of the two validates.

    \b
    trainer data offline-mixup train/images mixed
    trainer data offline-mixup train/images mixed --age 58 --seed 1
    """
    with one_line():
        from trainer.data import prepare

        made = prepare.mix_people(folder, out, age, seed, track)
        typer.echo(f"{out}: {made} mixed people")


@app.command("prepare", epilog=EPILOG)
def own(
    folder: Folder,
    out: Out,
    by: Annotated[str, typer.Option(help="package.module:function, of a package of yours.")],
) -> None:
    """Write what a function of yours makes of images.

    It takes an image and gives one, or None for leaving it out. Its package must stand
    in TRAINQ_PLUGINS.

    \b
    trainer data prepare train/images cut --by faces.find:face
    """
    with one_line():
        from trainer.data import plugin, prepare

        function = plugin.own_function(by, Settings.read(os.environ, Path(".env")))
        made = prepare.rewrite(folder, out, lambda image, _: function(image), track, 1)
        typer.echo(f"{out}: {count(made.written, 'image')}, {len(made.left_out)} left out")


# ---- the cache of a host -------------------------------------------------------------------------


@app.command(epilog=EPILOG)
def prune(
    unused: Annotated[int, typer.Option(metavar="DAYS", min=0, help="Not used for so long.")] = 30,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete decoded images (TRAINQ_CACHE) that no run used for long.

    What a run reads or builds right now always stays; what is deleted, the next run that
    needs it decodes anew.

    \b
    trainer data prune
    trainer data prune --unused 7
    trainer data prune --unused 0 --yes
    """
    with one_line():
        from trainer.data import pruning

        root = Settings.read(os.environ, Path(".env")).cache.expanduser() / "pixels"
        found = pruning.survey(root, unused * pruning.DAY_S, time.time())
        able = [kept for kept in found if not kept.why]
        typer.echo("\n".join([f"{root}:", *(kept.line() for kept in found)]), err=True)
        size = f"{sum(kept.size for kept in able) / 1e9:.1f} GB"
        if able and not yes:
            if not sys.stdin.isatty():
                raise UsageError(f"this would free {size}; nothing was deleted", fix="add --yes")
            if not typer.confirm(f"Free {size}?", err=True):
                raise TrainqError("nothing was deleted")
        done = pruning.free(able)
        freed = sum(kept.size for kept in done)
        facts = {"freed": freed, "deleted": len(done), "kept": len(found) - len(done)}
        say(facts, as_json, [f"freed {freed / 1e9:.1f} GB, {facts['kept']} stay"])


# ---- what they share -----------------------------------------------------------------------------


@contextmanager
def one_line() -> Iterator[None]:
    """A mistake is one line and an exit code, here as everywhere."""
    try:
        yield
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error


def opened(
    file: Path, overrides: list[str] | None, data: Path | None
) -> tuple[TrainConfig, Path, Settings]:
    """A config, the root of its data, and the settings."""
    settings = Settings.read(os.environ, Path(".env"))
    root = data or (settings.data if "data" in settings.model_fields_set else file.parent)
    return load(file, overrides or ()).config, root.resolve(), settings


def divided(
    config: TrainConfig, root: Path, settings: Settings, *, look: bool
) -> "tuple[Images, Parts]":
    """The images and their split, as a run would have them."""
    from trainer.data import check as looking
    from trainer.data import sources, split

    images = sources.read(config.data, root)
    if look:
        shared = RunsRoot(settings.runs)
        images = looking.checked(images, config.data.on_bad, shared, still_alive)
    return images, split.divide(images, config.data.split, config.seed, root)


def say(found: dict[str, Any], as_json: bool, rows: list[str]) -> None:
    typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(rows))


def still_alive(what: str) -> None:
    """Nobody waits for a sign of life here."""


def track(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    """A bar on the terminal's stderr while this goes on."""
    from rich.console import Console
    from rich.progress import track as bar

    console = Console(stderr=True)
    quiet = not sys.stderr.isatty()
    return bar(items, what, total=total, console=console, transient=True, disable=quiet)
