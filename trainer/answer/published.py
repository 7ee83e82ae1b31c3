"""A run's model in the layout that timm publishes models in: config.json and model.safetensors."""

import secrets
import shutil
from pathlib import Path
from typing import Any

from timm.data import resolve_model_data_config
from timm.models import save_for_hf
from torch import nn

from schemas.components.data import px, sides
from schemas.components.model import LastLayer, Timm
from schemas.errors import UsageError
from trainer.answer.finished import Finished


def write(run: Finished, out: Path, *, backbone: bool = False) -> str:
    """Make the folder appear whole; what is in it, in words."""
    spec, size = run.config.model, run.config.data.extent
    whole = f"{run.weights / 'weights.safetensors'} is its plain state_dict"
    if not isinstance(spec, Timm):
        raise UsageError(f"{run.name} is no model of timm", fix=whole)
    if not isinstance(spec.head, LastLayer) and not backbone:
        what = f"{run.name} has a head of its own ({spec.head.kind}), which no linear layer equals"
        raise UsageError(what, fix=f"--backbone writes the rest of it; {whole}")
    net, says = run.net(), f"{len(run.classes)} classes"
    if backbone:
        net.reset_classifier(0)  # type: ignore[operator]  # timm's own way to leave it out
        says = "features for heads of other models"
    labels = list(run.classes) if spec.answers == "classes" and not backbone else []
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        save_for_hf(
            net,
            str(temporary),
            model_config={"label_names": labels},
            data_config=judged_as(net, (spec.in_chans, *sides(size))),
            safe_serialization=True,
        )
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return f"{out}: {spec.name} at {px(size)}, {says}"


def judged_as(net: nn.Module, size: tuple[int, int, int]) -> dict[str, Any]:
    """How it was judged. The crop is named, because some models bring another one for tests, by
    which timm's validate.py would judge.
    """
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    return {"input_size": size, "crop_pct": look["crop_pct"]}
