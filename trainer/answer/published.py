"""A run's model in the layout that timm publishes models in: config.json and model.safetensors."""

import secrets
import shutil
from pathlib import Path
from typing import Any

from timm.data import resolve_model_data_config
from timm.models import save_for_hf
from torch import nn

from schemas.components.model import LastLayer, Timm
from schemas.errors import UsageError
from trainer.answer.finished import Finished


def write(run: Finished, out: Path) -> str:
    """Make the folder appear whole; what is in it, in words."""
    spec, size = run.config.model, run.config.data.img_size
    if not isinstance(spec, Timm) or not isinstance(spec.head, LastLayer):
        raise UsageError(
            f"{run.name} is no model of timm as timm has it",
            fix=f"{run.weights / 'weights.safetensors'} is its plain state_dict",
        )
    net = run.net()
    labels = list(run.classes) if spec.answers == "classes" else []
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        save_for_hf(
            net,
            str(temporary),
            model_config={"label_names": labels},
            data_config=judged_as(net, (spec.in_chans, size, size)),
            safe_serialization=True,
        )
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return f"{out}: {spec.name} at {size} px, {len(run.classes)} classes"


def judged_as(net: nn.Module, size: tuple[int, int, int]) -> dict[str, Any]:
    """How it was judged. The crop is named, because some models bring another one for tests, by
    which timm's validate.py would judge.
    """
    look = resolve_model_data_config(net)  # type: ignore[no-untyped-call]
    return {"input_size": size, "crop_pct": look["crop_pct"]}
