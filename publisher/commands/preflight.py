"""`publisher preflight`: what a config will need of a GPU. `trainer preflight` takes our place."""

import os
import sys
from typing import Annotated

import typer

from publisher.desk import console
from publisher.desk.options import MOST_GPUS, AsJson
from publisher.plans.preflight import TRAINER, libraries
from schemas.errors import UsageError

HELP = console.help_text(
    "Predict size and GPU memory of a config; queue nothing.",
    "publisher preflight birds.yaml",
    "publisher preflight birds.yaml data.batch_size=128 --gpu-memory 16G",
    "publisher preflight birds.yaml train.precision=fp32 --json",
)


def preflight(
    arguments: Annotated[list[str], typer.Argument(metavar="FILE|KEY=VALUE")],
    gpu_memory: Annotated[
        str, typer.Option("--gpu-memory", metavar="SIZE", help="Of each GPU, as in 32G.")
    ] = "",
    gpus: Annotated[
        int, typer.Option("--gpus", metavar="N", min=1, max=MOST_GPUS, help="GPUs of one run.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    if not libraries():
        raise UsageError(
            "a pre-flight builds the model, and torch or timm is not installed here",
            fix="pip install 'trainq[worker]', or submit: the worker looks before it trains",
        )
    flags = ["--gpus", str(gpus), *(["--gpu-memory", gpu_memory] if gpu_memory else [])]
    flags += ["--json"] if as_json else []
    words = [sys.executable, *TRAINER, "preflight", *flags, *arguments]
    sys.stdout.flush()
    os.execv(words[0], words)
