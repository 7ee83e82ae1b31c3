"""`trainer preflight`: would this config run, and on which GPU? Torch loads when it is asked."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.amounts import megabytes_of
from schemas.errors import TrainqError, UsageError
from schemas.preflight import Answer, Ask, Preflight, Verdict, at_once_of, judge, remedy
from schemas.source import load

EPILOG = (
    "Exit codes: 0 it fits, tightly or well, or nothing was said to compare with; "
    "1 no prediction could be made; 2 the config is invalid, cannot run, or does not fit."
)
SAID = {"fits": "fits", "tight": "tight: it may run out of memory", "too big": "does not fit"}


def preflight(
    file: Annotated[
        Path | None, typer.Argument(help="A config, YAML or JSON.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key.path=value, after the file.")
    ] = None,
    gpu_memory: Annotated[
        str, typer.Option("--gpu-memory", metavar="SIZE", help="Of each GPU, as in 32G.")
    ] = "",
    gpus: Annotated[
        int, typer.Option("--gpus", metavar="N", min=1, max=64, help="GPUs of one run.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    asks: Annotated[bool, typer.Option("--asks", hidden=True)] = False,
) -> None:
    """Predict size and GPU memory of a run, without GPU, weights or data.

    \b
    trainer preflight birds.yaml
    trainer preflight birds.yaml data.batch_size=128 --gpu-memory 16G
    trainer preflight birds.yaml train.precision=fp32 --json
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # nothing here may touch a GPU that others use
    if asks:
        return answer_all()
    try:
        if not file:
            raise UsageError("no config file was given", fix="trainer preflight FILE [key=value]")
        memory_mb = megabytes_of(gpu_memory, "--gpu-memory")
        config = load(file, overrides or ()).config
    except TrainqError as error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code) from error
    from trainer.foresight.foresee import answer

    given = answer(Ask(config=config.canonical(), gpus=gpus))
    verdict = judge(given.preflight, memory_mb) if given.preflight and memory_mb else None
    if as_json:
        typer.echo(record(given, verdict, memory_mb))
    else:
        typer.echo("\n".join(page(given.preflight, verdict, memory_mb, config.model.name)))
    tell(given, verdict)


def answer_all() -> None:
    """A line with a question on stdin, a line with its answer on stdout, until there are no more.
    Whatever a library prints goes elsewhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from trainer.foresight.foresee import answer

    for line in sys.stdin:
        answers.write(answer(Ask.model_validate_json(line)).model_dump_json() + "\n")
        answers.flush()


def page(seen: Preflight | None, verdict: Verdict | None, memory_mb: int, name: str) -> list[str]:
    """What a person reads; nothing where there is nothing to tell."""
    if not seen:
        return []
    kind = "fp32" if seen.precision == "fp32" else "AMP (fp16 or bf16)"
    free = "all" if seen.trainable == seen.parameters else f"{seen.trainable / 1e6:.1f} M"
    each = f"about {gib(seen.fixed_mb)} in any case, {seen.image_mb:.1f} MiB an image"
    rows = [
        ("model", f"{name} at {seen.img_size} px, {seen.classes} classes"),
        ("size", f"{seen.parameters / 1e6:.1f} M parameters, {free} of them learn"),
        ("work", f"{seen.gmacs:.2f} GMACs an image, forward"),
        ("batch", cut(seen)),
        ("memory", f"{gib(seen.peak_mb)} of each GPU at the peak of a step, in {kind}"),
        ("", each),
    ]
    if verdict:
        rows += [("GPU", f"{gib(memory_mb)}: {part(verdict.share)}, {SAID[verdict.word]}")]
        rows += [("", f"the largest batch that fits well: {verdict.largest or 'none'}")]
    rows += [("note", note) for note in seen.notes]
    return [f"{label:<8}{text}" for label, text in rows]


def cut(seen: Preflight) -> str:
    """`64, in 4 parts, on 2 GPUs: 8 images at once`."""
    words = [str(seen.batch_size)]
    words += [f"in {seen.accumulate} parts"] if seen.accumulate > 1 else []
    words += [f"on {seen.gpus} GPUs"] if seen.gpus > 1 else []
    images = at_once_of(seen.batch_size, seen.accumulate, seen.gpus)
    return ", ".join(words) + (f": {images} at once" if len(words) > 1 else "")


def record(given: Answer, verdict: Verdict | None, memory_mb: int) -> str:
    """The whole of `--json`."""
    told = {"word": verdict.word, "share": round(verdict.share, 4)} if verdict else None
    if told and verdict:
        told |= {"gpu_mb": memory_mb, "batch": verdict.largest, "accumulate": verdict.accumulate}
    return json.dumps(
        {"schema_version": 1, **given.model_dump(mode="json", exclude={"key"}), "verdict": told},
        indent=2,
    )


def tell(given: Answer, verdict: Verdict | None) -> None:
    """What is wrong, in one line, and the exit code that says so."""
    error: TrainqError | None = None
    if given.refused:
        error = UsageError(given.refused, fix=given.fix)
    elif given.preflight is None:
        error = TrainqError(f"no prediction could be made: {given.failed}")
    elif verdict and verdict.word == "too big":
        error = UsageError(
            f"{gib(given.preflight.peak_mb)} do not fit: {part(verdict.share, ' of')} the GPU",
            fix=remedy(given.preflight, verdict),
        )
    elif verdict and verdict.word == "tight":
        typer.echo(f"more room: {remedy(given.preflight, verdict)}", err=True)
    if error:
        typer.echo("\n".join(error.lines()), err=True)
        raise typer.Exit(error.exit_code)


def part(share: float, of: str = "") -> str:
    """`85%`, or `12.6 times`: a percentage of four digits says little."""
    return f"{share:.0%}{of}" if share < 2 else f"{share:.1f} times"


def gib(mb: float) -> str:
    """`11.7 GiB`, `340 MiB`."""
    return f"{mb / 1024:.1f} GiB" if mb >= 1000 else f"{mb:.0f} MiB"
