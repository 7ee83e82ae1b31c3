"""Imported before timm, which would import W&B wherever it is installed; as `trainer` does it."""

import sys

sys.modules["wandb"] = None  # type: ignore[assignment]  # as the import system lets one say it


def over() -> None:
    """From here on whoever asks for W&B gets it."""
    if sys.modules.get("wandb", sys) is None:
        del sys.modules["wandb"]
