"""What a trainer tells those who show its run elsewhere, as lines of a file."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from schemas.components.track import Track
from schemas.run import Best, Record

OFFLINE_S = 20.0  # to write down what could not be sent


class Begun(Record):
    """An attempt: which run it is of, and what that is called."""

    kind: Literal["begun"] = "begun"
    id: str
    name: str
    batch: str
    track: Track
    config: dict[str, Any]


class Numbers(Record):
    """What has numbers of a model, which may be none: NaN stays NaN on its way, and is no null."""

    model_config = ConfigDict(ser_json_inf_nan="constants")


class Rows(Numbers):
    """Epochs as metrics.csv has them; those of earlier attempts come again."""

    kind: Literal["rows"] = "rows"
    rows: tuple[dict[str, int | float], ...]


class Shown(Numbers):
    """A validation image, and what the model takes it for."""

    path: str
    name: str
    true: str
    answer: str
    sure: float


class Sight(Record):
    """What was seen at an evaluation."""

    kind: Literal["sight"] = "sight"
    epoch: int
    after_s: float = 0.0  # of this attempt's time
    best: bool = False  # shown at the end beside the last, as that of the best epoch
    classes: tuple[str, ...] = ()  # with cells only
    cells: tuple[tuple[int, int, int], ...] = ()  # truth, answer, how many images
    wrong: tuple[Shown, ...] = ()
    grid: tuple[Shown, ...] = ()


class Ended(Record):
    """The attempt is over; nothing comes after it."""

    kind: Literal["ended"] = "ended"
    code: int
    best: Best | None = None
    weights: str = ""  # absolute path of the best ones, where they are asked for
    limit_s: float = 0.0  # for what is not sent yet, from the end of the trainer on


Told = Annotated[Begun | Rows | Sight | Ended, Field(discriminator="kind")]
TOLD: TypeAdapter[Told] = TypeAdapter(Told)
