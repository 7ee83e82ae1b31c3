"""The config that a person gets by saying nothing, known without making one: that takes 100 ms.

`usual.json` is written by `python -m schemas.usual`; a test holds it equal to the components.
"""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("usual.json")


def usual() -> dict[str, Any]:
    """Every key with its default; the model, which has none, is any."""
    read: dict[str, Any] = json.loads(FILE.read_text())
    return read


def made() -> str:
    """What the file has to say."""
    from schemas.config import TrainConfig

    config = TrainConfig.model_validate({"model": {"name": "resnet18"}})
    return json.dumps(config.canonical(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(made())
