"""Imported before timm, which would import W&B wherever it is installed; as `trainer` does it."""

import sys

sys.modules["wandb"] = None  # type: ignore[assignment]  # as the import system lets one say it
