"""Which optimizers timm has and what they take, known without torch.

`timm_optimizers.txt` is written by `python -m trainer.optimizer_names`; a test holds it equal.
"""

import json
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("timm_optimizers.txt")
HEADER = """\
# timm {version}, written by `python -m trainer.optimizer_names`. One line an optimizer: its name,
# and its keyword arguments with their defaults, but for lr and weight_decay."""

Refusal = tuple[str, str]  # what is wrong, and what to do


@cache
def optimizers() -> dict[str, dict[str, Any]]:
    """Every optimizer by its name: its options and their defaults."""
    rows = [
        row.split(" ") for row in FILE.read_text(encoding="utf-8").splitlines() if row[0] != "#"
    ]
    pairs = {name: [option.split("=", 1) for option in options] for name, *options in rows}
    return {name: {key: json.loads(value) for key, value in of} for name, of in pairs.items()}


def refusal(name: str) -> Refusal | None:
    """Why timm would not build this optimizer, if so."""
    if name in optimizers():
        return None
    close = get_close_matches(name.lower(), optimizers(), 3, 0.6)
    meant = " or ".join(f"'{each}'" for each in close)
    help = f"did you mean {meant}?" if close else f"these there are: {', '.join(optimizers())}"
    return f"timm has no optimizer '{name}' that a run could go on with", help


def refusal_of_option(name: str, option: str, value: Any) -> Refusal | None:
    """Why this known optimizer cannot have this option, if so."""
    known = optimizers()[name]
    if option not in known:
        close = get_close_matches(option, known, 1, 0.6)
        help = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(known) or 'none'}"
        return f"{name} has no option '{option}'", help
    if not alike(value, known[option]):
        return f"{option} is no value for it", f"its default is {json.dumps(known[option])}"
    return None


def alike(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of a default; whole numbers are numbers too."""
    if isinstance(default, list):
        same = isinstance(value, list | tuple) and len(value) == len(default)
        return same and all(alike(one, other) for one, other in zip(value, default, strict=True))
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
