"""What is known of a run before it runs: how large it is, and which GPU can hold it.

Pure: `trainer.foresight.foresee` fills these values in, whoever queues or runs decides by them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from schemas.run import Record

# Shares of a card's memory. What is left over holds what no prediction sees: the CUDA context,
# cuDNN's workspaces, and the gaps between blocks.
FITS = 0.80
TIGHT = 0.92

CLASSES = 1000  # assumed where the data cannot be asked
# Parts of a config that change neither a shape nor how many tensors there are
ELSEWHERE = frozenset(
    {"name", "note", "notify", "seed", "schedule", "augment", "evaluate"}
    | {"train.epochs", "train.deterministic", "train.log_every", "train.save_every_s"}
    | {"train.save_every_steps", "train.nan_limit", "model.pretrained", "model.weights"}
)
# all else of the data is what they show
OF_THE_DATA = frozenset({"data.img_size", "data.img_width", "data.smaller", "data.batch_size"})


class Ask(Record):
    """A question to a pre-flight: would this config run, and in how much memory?"""

    key: str = ""
    config: dict[str, Any]
    gpus: int = 1
    classes: int = 0  # 0: not known here


class Preflight(Record):
    """What a run will need. Memory is that of each GPU, in MiB."""

    key: str = ""  # the same for all configs that need the same
    peak_mb: int  # predicted for a step of training
    precision: Literal["fp32", "amp"]
    parameters: int
    trainable: int
    gmacs: float  # of one image, forward
    img_size: int
    batch_size: int
    accumulate: int = 1
    gpus: int = 1
    classes: int = CLASSES
    # peak = fixed + image * images at once + input * images of a step, + gradient when accumulating
    fixed_mb: float
    image_mb: float
    input_mb: float
    gradient_mb: float
    notes: tuple[str, ...] = ()
    by_hand: bool = False  # the memory that the run asks for was said by a person, not by us

    def peak(self, batch: int, accumulate: int) -> float:
        """The memory that another batch, or another cut of it, would need."""
        own, at_once = batch // self.gpus, at_once_of(batch, accumulate, self.gpus)
        kept = self.gradient_mb if own > at_once else 0.0
        return self.fixed_mb + self.image_mb * at_once + self.input_mb * own + kept


def at_once_of(batch: int, accumulate: int, gpus: int) -> int:
    """Images that go through the model of one process together."""
    return min(batch // accumulate, batch // gpus)


class Answer(Record):
    """What a pre-flight found: numbers, or why this cannot run, or why it does not know."""

    key: str = ""
    preflight: Preflight | None = None
    refused: str = ""
    fix: str = ""
    failed: str = ""  # its own fault; the run may be fine


class Verdict(NamedTuple):
    """Whether a GPU can hold a run, and what it could hold instead."""

    word: Literal["fits", "tight", "too big"]
    share: float  # of the GPU's memory
    largest: int  # batch that fits as it is cut now; 0: not even one image
    accumulate: int  # parts that the same batch fits in; 0: in none


def judge(seen: Preflight, memory_mb: int) -> Verdict:
    """The verdict over one GPU of this size."""
    share = seen.peak_mb / memory_mb
    word: Literal["fits", "tight", "too big"] = "too big"
    if share <= TIGHT:
        word = "fits" if share <= FITS else "tight"
    return Verdict(word, share, largest(seen, memory_mb), parts(seen, memory_mb))


def largest(seen: Preflight, memory_mb: int) -> int:
    """The largest batch that fits comfortably, cut as the config says and into equal shares."""
    unit = seen.gpus * seen.accumulate * 2  # mixing wants pairs
    least, room = seen.peak(unit, seen.accumulate), FITS * memory_mb
    each = seen.peak(2 * unit, seen.accumulate) - least
    if least > room or each <= 0:
        return 0
    return unit * (1 + int((room - least) // each))


def parts(seen: Preflight, memory_mb: int) -> int:
    """Into how many parts the same batch must be cut to fit comfortably: it stays what it is."""
    batch, room = seen.batch_size, FITS * memory_mb
    cuts = (n for n in range(seen.accumulate, batch + 1) if batch % n == 0)
    return next((n for n in cuts if seen.peak(batch, n) <= room), 0)


def remedy(seen: Preflight, verdict: Verdict) -> str:
    """What to write so that it fits."""
    if not verdict.largest and not verdict.accumulate:
        return "a smaller model or data.img_size: not even one image at a time fits"
    ways = []
    if verdict.accumulate > seen.accumulate:
        ways.append(f"train.accumulate={verdict.accumulate} (same batch of {seen.batch_size})")
    if verdict.largest:
        ways.append(f"data.batch_size={verdict.largest}")
    return " or ".join(ways)


def declared_mb(seen: Preflight) -> int:
    """What a run asks of a GPU so that only those claim it which could hold it.

    Whole GiB, rounded down: lanes are whole GiB too, and a card of 16 GB offers 15.8 of them.
    """
    needed = int(seen.peak_mb / TIGHT)
    return needed if needed < 1024 else needed // 1024 * 1024


def key_of(config: Mapping[str, Any], gpus: int, versions: Iterable[str]) -> str:
    """The same for all configs that need the same memory with the same source and libraries."""
    kept = dict(_matters(config))
    text = json.dumps([kept, gpus, list(versions)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _matters(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values, without what is of no consequence here."""
    for name, value in config.items():
        if name in ELSEWHERE:
            continue
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        for key, each in inner:
            dotted = f"{name}.{key}"
            if dotted in OF_THE_DATA or (name != "data" and dotted not in ELSEWHERE):
                yield dotted, _shape(each)


def _shape(value: Any) -> Any:
    """Of rates and probabilities only whether they are off: no tensor hangs on more."""
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return bool(value) if isinstance(value, float) else value
