"""What a search may vary, how often it tries, and when it gives a trial up."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from schemas.components.spec import Count, NonNegative, Number, Spec, Switch, Whole

KEY = r"^[a-z_]+(\.[a-z0-9_]+)*$"
Key = Annotated[str, StringConstraints(pattern=KEY)]
Factor = Annotated[int, Field(strict=True, ge=2)]


class Range(Spec):
    """Any number between two."""

    kind: Literal["range"] = "range"
    key: Key
    """Of the config, such as optim.lr."""
    low: Number
    """The smallest."""
    high: Number
    """The largest."""
    log: Switch = False
    """Every factor of ten is tried as often as any other."""
    step: NonNegative = 0.0
    """Only so far apart, from the smallest on; 0: anywhere."""


class WholeRange(Spec):
    """Any whole number between two."""

    kind: Literal["whole"] = "whole"
    key: Key
    """Of the config, such as train.epochs."""
    low: Whole
    """The smallest."""
    high: Whole
    """The largest."""
    log: Switch = False
    """Every factor of ten is tried as often as any other."""


class Choice(Spec):
    """One of several values, which may be whole sections."""

    kind: Literal["choice"] = "choice"
    key: Key
    """Of the config, such as loss."""
    of: tuple[Any, ...]
    """What it may be."""


Axis = Annotated[Range | WholeRange | Choice, Field(discriminator="kind")]


class Search(Spec):
    """Trials of one config with other values, each chosen by what those before it came to."""

    trials: Count = 20
    """How many there are."""
    at_once: Count = 1
    """How many of them are in the queue together."""
    prune_from: Whole = 0
    """The epoch after which a trial may be given up for the first time; 0: none ever is."""
    prune_factor: Factor = 3
    """One of so many goes on, then and after so many times more epochs."""
    space: tuple[Axis, ...] = ()
    """What varies."""
